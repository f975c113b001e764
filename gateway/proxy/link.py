"""The answer's side of one request: status line, headers, framing. One object for each request, so that a
handler that answers late can never write into the next request's answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Protocol

from gateway.errors import GatewayError
from gateway.proxy.gathering import size_of
from gateway.wire.error_body import error_body
from gateway.wire.written import WrittenLines

JOIN_BYTES: Final = 16 * 1024  # smaller chunks are copied into one buffer with their framing
USUAL_REASON: Final = 64  # bytes
NO_BODY: Final = frozenset((204, 304))

_LINES: Final = WrittenLines()
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


class Wire(Protocol):
    """What a link asks of the connection below it."""

    def write(self, data: bytes) -> None: ...

    def write_pieces(self, pieces: Sequence[bytes]) -> None: ...

    def must_close(self) -> bool:
        """Whether the connection ends with the answer that begins now."""

    def answered(self, close: bool) -> None:
        """The answer is complete."""

    def cut(self, reset: bool) -> None:
        """Close without a clean end; `reset`: an orderly close would look like one."""

    def body_wanted(self, wanted: bool) -> None: ...


class ClientLink:
    """Implements `base.Link`. What is written waits in `_out` until `flush` or the end: one system call for
    what one read of the provider's answer brought."""

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_close",
        "_error_body",
        "_left",
        "_legacy",
        "_out",
        "_wire",
        "started",
    )

    def __init__(self, wire: Wire, method: bytes, version: str) -> None:
        self._wire: Wire | None = wire  # None once nothing more can be written
        self._legacy = version == "1.0"
        self._bodiless = method == b"HEAD"
        self._chunked = False
        self._close = False
        self._left: int | None = None  # bytes of the announced length still to come
        self._out: list[bytes] = []
        self._error_body: Callable[[GatewayError], bytes] = error_body
        self.started = False

    @property
    def open(self) -> bool:
        """The answer is not complete yet, and can still be."""
        return self._wire is not None

    def drop(self) -> None:
        self._wire = None

    def respond(
        self, status: int, reason: bytes, headers: list[tuple[bytes, bytes]], length: int | None
    ) -> None:
        """See `base.Link`. Raises ValueError for a header that would break the framing."""
        wire = self._wire
        if wire is None:
            return
        if self.started:
            raise ValueError("respond is called once for each request")
        self._close = wire.must_close() or (self._legacy and length is None)
        lines = _LINES.block(headers)
        first = _status_line(status, reason) if len(reason) <= USUAL_REASON else _first_line(status, reason)
        framing = self._frame(status, length)
        last = b"connection: keep-alive\r\n" if self._legacy else b""
        if self._close:
            last = b"connection: close\r\n"
        self.started = True
        self._out.append(b"".join((first, lines, framing, last, b"\r\n")))

    def _frame(self, status: int, length: int | None) -> bytes:
        if status in NO_BODY:
            self._bodiless = True
            return b""
        if length is not None:
            self._left = None if self._bodiless else length
            return b"content-length: %d\r\n" % length
        if self._legacy or self._bodiless:
            return b""
        self._chunked = True
        return b"transfer-encoding: chunked\r\n"

    def send(self, data: bytes) -> None:
        """See `base.Link`. Raises ValueError beyond the announced length: it would be the next answer."""
        wire = self._wire
        if wire is None or not data or self._bodiless:
            return
        if self._chunked:
            if len(data) <= JOIN_BYTES:
                self._out.append(b"%x\r\n%b\r\n" % (len(data), data))
            else:
                self._out += (b"%x\r\n" % len(data), data, b"\r\n")
            return
        if self._left is not None:
            if len(data) > self._left:
                self.abort()
                raise ValueError("more bytes than the announced content-length")
            self._left -= len(data)
        self._out.append(data)

    def flush(self) -> None:
        """See `base.Link`."""
        out, wire = self._out, self._wire
        if not out or wire is None:
            return
        self._out = []
        if len(out) == 1:
            wire.write(out[0])
            return
        if size_of(out) <= JOIN_BYTES:
            wire.write(b"".join(out))
        else:
            wire.write_pieces(out)

    def end(self) -> None:
        """See `base.Link`. An answer shorter than announced is cut instead: it must not look whole."""
        wire = self._wire
        if wire is None:
            return
        if self._left or not self.started:
            self.abort()
            return
        if self._chunked:
            self._out.append(b"0\r\n\r\n")
        self.flush()
        self._wire = None
        wire.answered(self._close)

    def abort(self) -> None:
        wire = self._wire
        if wire is None:
            return
        self.flush()
        self._wire = None
        until_close = self.started and not self._chunked and self._left is None and not self._bodiless
        wire.cut(reset=until_close)

    def fail(self, error: GatewayError) -> None:
        """See `base.Link`. After `respond` only a cut is left."""
        if self._wire is None:
            return
        if self.started:
            self.abort()
            return
        body = self._error_body(error)
        headers = [(b"content-type", b"application/json")]
        retry_after = 1.0 if error.retry_after is None and error.status in (429, 503) else error.retry_after
        if retry_after is not None:
            headers.append((b"retry-after", b"%d" % math.ceil(retry_after)))
        self.respond(error.status, _REASONS.get(error.status, b"Error"), headers, len(body))
        self.send(body)
        self.end()

    def speak(self, error_body: Callable[[GatewayError], bytes]) -> None:
        """See `base.Link`."""
        self._error_body = error_body

    def pause_body(self) -> None:
        if self._wire is not None:
            self._wire.body_wanted(False)

    def resume_body(self) -> None:
        if self._wire is not None:
            self._wire.body_wanted(True)


@lru_cache(maxsize=256)
def _status_line(status: int, reason: bytes) -> bytes:
    return _first_line(status, reason)


def _first_line(status: int, reason: bytes) -> bytes:
    if b"\n" in reason or b"\r" in reason or b"\0" in reason:
        raise ValueError("a reason holds CR, LF or NUL")
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)
