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
    """A head without its end, and what follows the session's line, for each turn of a conversation."""

    head: bytes
    turns: tuple[bytes, ...]

    def filled(self, session: int, turn: int = 0) -> bytes:
        return self.head + b"x-session-id: s-%d\r\n" % session + self.turns[turn]


def template(peer: Peer, *, stream: bool, plan: str = "", extra: str = "") -> Template:
    """A conversation that grows by an answer and a question with each turn; `plan` asks the provider for
    events (`provider.plan`), `extra` are header lines."""
    head = f"POST {peer.path} HTTP/1.1\r\nhost: 127.0.0.1:{peer.port}\r\n{SDK_HEADERS}{peer.headers}{extra}"
    bodies = [body(stream=stream, plan=plan, turn=turn) for turn in range(TURNS)]
    turns = [b"content-length: %d\r\n\r\n%b" % (len(content), content) for content in bodies]
    return Template(head.encode(), tuple(turns))


def body(*, stream: bool, plan: str = "", turn: int = 1) -> bytes:
    """With `turn` answers of the model in it."""
    flag = ',"stream":true' if stream else ""
    said = "A turn of the conversation, as people write them. " * 4
    messages = [f'{{"role":"user","content":"{plan} {said}"}}']
    for _ in range(turn):
        messages += [f'{{"role":"{role}","content":"{said}"}}' for role in ("assistant", "user")]
    return f'{{"model":"gpt-4o-mini","messages":[{",".join(messages)}],"temperature":0.2{flag}}}'.encode()
