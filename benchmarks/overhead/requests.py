"""What the clients send: bytes made once, with a place for the session."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.overhead.peers import KEY, Peer

SDK_HEADERS = (
    "accept: application/json\r\naccept-encoding: gzip, deflate\r\n"
    "user-agent: OpenAI/Python 3.54.0\r\nx-stainless-lang: python\r\n"
    "x-stainless-package-version: 3.54.0\r\nx-stainless-os: Linux\r\nx-stainless-arch: x64\r\n"
    "x-stainless-runtime: CPython\r\nx-stainless-runtime-version: 3.11.7\r\n"
    "x-stainless-async: false\r\nx-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\n"
    f"authorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
)
TURNS = 4  # of a session: the session header changes so often, as in conversations


class Template(NamedTuple):
    head: bytes
    rest: bytes

    def filled(self, session: int) -> bytes:
        return self.head + b"x-session-id: s-%d\r\n" % session + self.rest


def template(peer: Peer, *, stream: bool, plan: str = "", extra: str = "", size: int = 0) -> Template:
    """A conversation of three turns; `plan` asks the provider for events (`provider.plan`), `extra` are
    header lines, `size` bytes are added to the last turn."""
    content = body(stream=stream, plan=plan, size=size)
    head = (
        f"POST {peer.path} HTTP/1.1\r\nhost: 127.0.0.1:{peer.port}\r\n{SDK_HEADERS}{peer.headers}{extra}"
        f"content-length: {len(content)}\r\n"
    )
    return Template(head.encode(), b"\r\n" + content)


def body(*, stream: bool, plan: str = "", size: int = 0) -> bytes:
    flag = ',"stream":true' if stream else ""
    turn = "A turn of the conversation, as people write them. " * 4
    messages = [
        f'{{"role":"user","content":"{plan} {turn}"}}',
        f'{{"role":"assistant","content":"{turn}"}}',
        f'{{"role":"user","content":"{turn}{"many words " * (size // 11)}"}}',
    ]
    return f'{{"model":"gpt-4o-mini","messages":[{",".join(messages)}],"temperature":0.2{flag}}}'.encode()
