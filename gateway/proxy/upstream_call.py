"""One request to the provider.

    QUEUED ──> CONNECTING ──> SENT ──> READING ──> DONE
       └──────────┴─────────────┴──────────┴────────^      (answered, failed or cancelled)

An `OpenCall` is in exactly one phase; with a pooled connection it goes from QUEUED to SENT at once. It goes
back from SENT to CONNECTING when it is sent again. Nothing here waits: the connection reports bytes, the
pool's sweep reports time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import GatewayError, UpstreamBroken
from gateway.proxy.base import Receiver, ResponseHead
from gateway.proxy.gathering import size_of
from gateway.wire import Piece

if TYPE_CHECKING:
    from gateway.proxy.upstream_connection import Connection

JOINED: Final = 64 * 1024  # bytes; up to here head and body are copied into one write
SLICE: Final = 256 * 1024  # bytes of a large body handed over at once: encrypting 64 MiB stops the loop long
METHODS_WITH_BODY: Final = frozenset((b"POST", b"PUT", b"PATCH"))
NEVER: Final = float("inf")


class Phase(Enum):
    QUEUED = "queued"
    CONNECTING = "connecting"
    SENT = "sent"
    READING = "reading"
    DONE = "done"


class Owner(Protocol):
    """What calls and connections ask of their pool."""

    origin: str
    head_bytes: int
    buffer_bytes: int

    def clock(self) -> float: ...

    def connected(self, connection: Connection) -> None: ...

    def release(self, connection: Connection, now: float) -> None: ...

    def discard(self, connection: Connection) -> None: ...

    def gone(self, connection: Connection) -> None: ...

    def send_again(self, call: OpenCall) -> None: ...

    def answered(self, call: OpenCall, head: ResponseHead) -> None: ...

    def closed(self, call: OpenCall, error: GatewayError | None) -> None: ...


class OpenCall:
    """A request under way; implements `Call`. `since` is when it last made progress, for the time limits."""

    __deletable__ = ("receiver",)
    __slots__ = (
        "_head",
        "_told_writable",
        "_unsent",
        "_waiting_bytes",
        "_written",
        "answered",
        "body",
        "connection",
        "ended",
        "first_byte",
        "length",
        "method",
        "owner",
        "paused",
        "phase",
        "receiver",
        "resent",
        "since",
        "slow",
        "streamed",
    )

    def __init__(
        self,
        owner: Owner,
        head: bytes,
        body: Sequence[Piece] | None,
        receiver: Receiver,
        *,
        length: int | None,
        method: bytes,
        first_byte: float,
    ) -> None:
        self.owner = owner
        self.receiver = receiver
        self.method = method
        self.length = size_of(body) if length is None and body is not None else length  # None: chunked
        self.first_byte = first_byte  # limit, s
        self.streamed = body is None
        self.ended = body is not None
        self.phase = Phase.QUEUED
        self.connection: Connection | None = None
        self.since = 0.0
        self.answered = False  # a byte of the answer has come
        self.resent = False
        self.slow = False  # and its pool has told so
        self.paused = False
        self._head = head
        self.body: Sequence[Piece] = body or ()  # kept until the answer begins, for sending it again
        self._unsent: deque[Piece] = deque()
        self._waiting_bytes = 0  # of a streamed body, while there is no connection
        self._written = 0  # bytes of a streamed body, before chunk framing
        self._told_writable = True

    # --- Call: what the exchange does

    def write(self, data: bytes) -> None:
        if self.phase is Phase.DONE or self.ended or not data:
            return
        self._written += len(data)
        if self.length is None:
            self._unsent.extend(_chunk(data))
        elif self._written > self.length:
            self.fail(UpstreamBroken(f"the request's body is longer than its announced {self.length} bytes"))
            return
        else:
            self._unsent.append(data)
        self._push()

    def end_body(self) -> None:
        if self.phase is Phase.DONE or self.ended:
            return
        if self.length is None:
            self._unsent.append(b"0\r\n\r\n")
        elif self._written < self.length:
            self.fail(UpstreamBroken(f"the request's body ended before its announced {self.length} bytes"))
            return
        self.ended = True
        self._push()

    def cancel(self) -> None:
        if self.phase is not Phase.DONE:
            self._close(None)

    def pause(self) -> None:
        self.paused = True
        if self.connection is not None:
            self.connection.pause_reading()

    def resume(self) -> None:
        self.paused = False
        self.since = self.owner.clock()
        if self.connection is not None:
            self.connection.resume_reading()

    # --- what the pool and the connection do

    def start(self, connection: Connection) -> None:
        """Write the request to a connection that is ready for it."""
        self.connection = connection
        self.phase = Phase.SENT
        connection.take(self)
        head = self._head + self._framing()
        size = self.length or 0
        if self.streamed or size > JOINED:
            connection.transport.write(head)
            if not self.streamed:
                self._unsent = deque(_slices(self.body))
            self._waiting_bytes = 0
            self.pump()
        else:
            connection.transport.write(b"".join((head, *self.body)) if size else head)

    def pump(self) -> None:
        """Hand what is unsent to the transport, as far as that has room."""
        connection = self.connection
        if self.phase is Phase.DONE or connection is None or not connection.ready:
            return
        while self._unsent and connection.writable:
            connection.transport.write(self._unsent.popleft())
        self._tell_writable(connection.writable and not self._unsent)

    def sent_whole(self) -> bool:
        return self.ended and not self._unsent

    def may_be_sent_again(self) -> bool:
        """After its pooled connection closed: such a connection was most likely closed for being idle, before
        the provider saw the request. A streamed body that has begun is gone."""
        return not (self.answered or self.resent or (self.streamed and (self._written or self.ended)))

    def deadline(self, *, queue: float, connect: float, idle: float) -> float:
        """When patience with the provider ends, on the pool's clock; the arguments are limits in s. Never
        while the client is what is waited for: its body, or its reading of the answer."""
        if self.phase is Phase.QUEUED:
            return self.since + queue
        if self.phase is Phase.CONNECTING:
            return self.since + connect
        if self.paused:
            return NEVER
        if self.phase is Phase.READING:
            return self.since + idle
        if self.ended:
            return self.since + self.first_byte
        return NEVER if self._told_writable else self.since + idle

    def grows_slow(self, now: float, limit: float | None) -> bool:
        """True once, when the wait for the first byte has become longer than `limit` s."""
        waits = limit is not None and not self.slow and self.phase is Phase.SENT and self.ended
        self.slow = self.slow or (waits and limit is not None and now - self.since >= limit)
        return waits and self.slow

    def fail(self, error: GatewayError) -> None:
        if self.phase is not Phase.DONE:
            receiver = self.receiver
            self._close(error)
            receiver.response_failed(error)

    def finish(self) -> None:
        """The answer is complete; the connection is the caller's."""
        self._end()
        self.owner.closed(self, None)

    # --- private

    def _close(self, error: GatewayError | None) -> None:
        connection = self.connection
        self._end()
        self.owner.closed(self, error)
        if connection is not None:
            self.owner.discard(connection)

    def _end(self) -> None:
        self.phase = Phase.DONE
        self.connection = None
        self.body = ()
        self._unsent.clear()
        del self.receiver  # which holds this call: without the cycle both are freed at once

    def _push(self) -> None:
        connection = self.connection
        if connection is not None and connection.ready:
            self.since = self.owner.clock()
            self.pump()
            return
        self._waiting_bytes = size_of(self._unsent)
        self._tell_writable(self._waiting_bytes < self.owner.buffer_bytes)

    def _tell_writable(self, writable: bool) -> None:
        if self.streamed and writable != self._told_writable and self.phase is not Phase.DONE:
            self._told_writable = writable
            self.receiver.upstream_writable(writable)

    def _framing(self) -> bytes:
        if self.length is None:
            return b"transfer-encoding: chunked\r\n\r\n"
        if self.length or self.method in METHODS_WITH_BODY:
            return b"content-length: %d\r\n\r\n" % self.length
        return b"\r\n"


def _chunk(data: bytes) -> Sequence[Piece]:
    size = b"%x\r\n" % len(data)
    return (b"".join((size, data, b"\r\n")),) if len(data) < JOINED else (size, *_slices((data,)), b"\r\n")


def _slices(pieces: Sequence[Piece]) -> Sequence[Piece]:
    return [
        piece[at : at + SLICE] if len(piece) > SLICE else piece
        for whole in pieces
        if len(piece := memoryview(whole))
        for at in range(0, len(piece), SLICE)
    ]
