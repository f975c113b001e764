"""A collector that answers late or never. `python -m benchmarks.telemetry.collector PORT DELAY`: s, or -1."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"


class Late(asyncio.Protocol):
    """Reads each export whole; it has no body of its own to give."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.buffer = b""
        self.left = -1  # bytes of the body; -1: in the head
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.left < 0:
            self.buffer += data
            head, found, data = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            self.left, self.buffer = int(lengths[0].split(b":")[1]), b""
        self.left -= len(data)
        if self.left <= 0:
            self.left = -1
            if self.delay >= 0:
                asyncio.get_running_loop().call_later(self.delay, self.answer)

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


async def serve(port: int, delay: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Late(delay), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
