"""An edge without sockets: a transport and a handler that note what is done to them."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

from gateway.errors import Unauthorized
from gateway.proxy.base import Handler, Head, Link
from gateway.proxy.connection import EdgeConnection
from gateway.proxy.edge import Edge
from gateway.settings import Limits, Timeouts

SMALL = Limits(head_bytes=4096, target_bytes=1024, headers=32, pipelined_bytes=4096)


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = ""  # how it was closed first: eof, close or abort
        self.reading = True
        self.stuck = 0  # bytes that the peer does not take

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.stuck

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        for data in list_of_data:
            self.written += data

    def is_closing(self) -> bool:
        return self.closed in ("close", "abort")

    def write_eof(self) -> None:
        assert not self.is_closing()
        self.closed = self.closed or "eof"

    def close(self) -> None:
        self.closed = self.closed or "close"

    def abort(self) -> None:
        self.closed = self.closed or "abort"

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class NotingHandler:
    """Answers 200 when the body is complete; /early 401 at once; /never not at all."""

    def __init__(self, log: "Log", head: Head, link: Link) -> None:
        self.head = head
        self.link = link
        self.chunks: list[bytes] = []
        self.writable: list[bool] = []
        self.gone = 0
        self.complete = False
        self.log = log
        log.handlers.append(self)
        if head.path == b"/early":
            link.fail(Unauthorized("no such key"))

    def body(self, chunk: bytes) -> None:
        assert chunk and not self.complete and not self.gone
        self.chunks.append(chunk)

    def body_end(self) -> None:
        assert not self.complete and not self.gone
        self.complete = True
        self.log.bodies.append(b"".join(self.chunks))
        if self.head.path != b"/never":
            self.link.respond(200, b"OK", [(b"x-a", b"b")], 2)
            self.link.send(b"ok")
            self.link.end()

    def client_gone(self) -> None:
        assert not self.gone
        self.gone += 1

    def client_writable(self, writable: bool) -> None:
        self.writable.append(writable)


class Log:
    """Opens noting handlers and keeps them."""

    def __init__(self) -> None:
        self.handlers: list[NotingHandler] = []
        self.bodies: list[bytes] = []

    def open(self, head: Head, link: Link) -> Handler:
        return NotingHandler(self, head, link)

    @property
    def gone(self) -> int:
        return sum(handler.gone for handler in self.handlers)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """An edge on a bench: one clock, one log, any number of connections."""

    def __init__(self, limits: Limits = SMALL, timeouts: Timeouts | None = None, opener: Any = None) -> None:
        self.log = Log()
        self.clock = Clock()
        self.edge = Edge(
            opener or self.log.open, limits, timeouts or Timeouts(), clock=self.clock, random=lambda: 0.5
        )

    def connect(self) -> tuple[EdgeConnection, FakeTransport]:
        connection = cast(EdgeConnection, self.edge.protocol_factory())
        transport = FakeTransport()
        connection.connection_made(transport)
        return connection, transport


async def feed(
    connection: EdgeConnection, transport: FakeTransport, pieces: Sequence[bytes], eof: bool = False
) -> None:
    """As a transport would: nothing once it is closed, end of file once everything is served."""
    for piece in pieces:
        if transport.closed in ("close", "abort"):
            return
        connection.data_received(piece)
    before = -1
    while before != len(transport.written):  # pipelined requests are served some at a turn
        before = len(transport.written)
        await asyncio.sleep(0)
    if eof and transport.closed in ("", "eof"):
        connection.eof_received()
        transport.close()


# Error bodies quote what the client sent, a status line perhaps; but JSON has no CR LF before its last quote.
_STATUS = re.compile(rb'HTTP/1\.1 (\d{3}) [^\r\n"]*\r\n')


def statuses(written: bytes) -> tuple[int, ...]:
    """Status codes of the answers in `written`."""
    return tuple(int(status) for status in _STATUS.findall(written))
