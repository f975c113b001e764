"""A fixed upstream. `python -m benchmarks.overhead.provider [--awake] PORT [CERT KEY]`.

POST with `"stream":true` in the body is answered with `EVENTS` events, one every `GAP` s, written one by
one, or as a message asks (`plan`); anything else, spans for a collector too, with one completion. It reads
just enough HTTP for the peers that are measured, and keeps no more of a large body than it must, so that it
is not the provider that other streams wait for.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
from typing import cast

import uvloop

from benchmarks.overhead.awake import Awake

EVENTS = 200
GAP = 0.002  # s
READ_PLAN = 64 * 1024  # bytes of a body that are looked at
_PLAN = re.compile(rb"bench:events=(\d+),gap_ms=(\d+)")

_TEXT = "The quick brown fox jumps over the lazy dog. " * 8
COMPLETION = (
    '{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini","choices":'
    '[{"index":0,"message":{"role":"assistant","content":"' + _TEXT + '"},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":80,"completion_tokens":90,"total_tokens":170}}'
).encode()
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_1\r\n"
    b"openai-processing-ms: 12\r\ndate: Mon, 02 Nov 2026 10:00:00 GMT\r\ncontent-length: %d\r\n\r\n"
    % len(COMPLETION)
) + COMPLETION
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_1\r\n"
    b"date: Mon, 02 Nov 2026 10:00:00 GMT\r\ntransfer-encoding: chunked\r\n\r\n"
)


def plan(events: int, gap: float) -> str:
    """To be part of a message: so many events, one every `gap` s (whole ms)."""
    return f"bench:events={events},gap_ms={round(gap * 1000)}"


def planned(body: bytes) -> tuple[int, float]:
    found = _PLAN.search(body)
    return (EVENTS, GAP) if found is None else (int(found[1]), int(found[2]) / 1000)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(content: str, finish: str = "null") -> bytes:
    data = (
        '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini",'
        '"choices":[{"index":0,"delta":{"content":"' + content + '"},"finish_reason":' + finish + "}]}"
    )
    return chunk(f"data: {data}\n\n".encode())


DELTA = event(" token")
LAST = event("", '"stop"') + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Provider(asyncio.Protocol):
    awake: Awake | None = None

    def __init__(self) -> None:
        self.buffer = b""
        self.body = b""  # as far as it is looked at
        self.left = -1  # bytes of the body still to come; -1: in the head
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        if self.left < 0:
            data = self.head(data)
            if self.left < 0:
                return
        if len(self.body) < READ_PLAN:
            self.body += data[: self.left]
        rest = data[self.left :]
        self.left -= len(data) - len(rest)
        if self.left == 0:
            self.left = -1
            self.answer(self.body)
            self.body = b""
            if rest:
                self.data_received(rest)

    def head(self, data: bytes) -> bytes:
        """Returns what follows the head, once it is there."""
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return b""
        head, rest = self.buffer[:end].lower(), self.buffer[end + 4 :]
        self.buffer = b""
        at = head.find(b"content-length:")
        self.left = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        return rest

    def answer(self, body: bytes) -> None:
        if self.awake is not None:
            self.awake.stay()
        if b'"stream":true' in body.replace(b" ", b""):
            self.transport.write(STREAM_HEAD)
            self.send(*planned(body))
        else:
            self.transport.write(ANSWER)

    def send(self, left: int, gap: float) -> None:
        if self.transport.is_closing():
            return
        if left <= 1:
            self.transport.write(LAST)
            return
        self.transport.write(DELTA)
        asyncio.get_running_loop().call_later(gap, self.send, left - 1, gap)


async def serve(port: int, context: ssl.SSLContext | None) -> None:
    server = await asyncio.get_running_loop().create_server(
        Provider, "127.0.0.1", port, ssl=context, backlog=4096
    )
    await server.serve_forever()


def main(arguments: list[str]) -> None:
    context = None
    if arguments[0] == "--awake":
        Provider.awake = Awake()
        arguments = arguments[1:]
    if len(arguments) == 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments[1], arguments[2])
    uvloop.run(serve(int(arguments[0]), context))


if __name__ == "__main__":
    main(sys.argv[1:])
