"""Pooled keep-alive connections of one worker to one provider.

    upstream              the pool: which connection serves which request; limits, ages, time limits
    upstream_call         one request: its phases, its body, what it still waits for
    upstream_connection   one connection: bytes between a transport and a call
    upstream_response     bytes → response, without I/O

A request takes the connection that was used last, or starts to connect, or waits in a bounded queue, and this
is decided at once, in the caller's callback. Connecting is the only thing that takes a task.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit

from gateway.errors import (
    ConfigError,
    GatewayError,
    Overloaded,
    Unavailable,
    UpstreamConnectTimeout,
    UpstreamError,
    UpstreamImpatience,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.proxy.base import Call, Receiver, ResponseHead
from gateway.proxy.upstream_call import OpenCall, Phase
from gateway.proxy.upstream_connection import Connection
from gateway.settings import Limits, Timeouts
from gateway.wire import Piece

RETRY_AFTER: Final = 1.0  # s; a full queue moves as fast as the provider answers
JITTER: Final = 0.25  # share of the maximum age, so that a fleet's connections do not all end together


class Health(Protocol):
    """Who judges the provider by what becomes of its calls; each is told of once."""

    slow_after: float | None  # s without a first byte

    def answered(self, head: ResponseHead) -> None: ...

    def broke(self, error: GatewayError) -> None:
        """No answer, or not the whole, for whatever reason; not if the client left."""

    def slow(self) -> None:
        """No answer for `slow_after`; it may still come."""


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """`open` counts connections in every state, `idle` and `connecting` are among them; `queued` are requests
    that wait for one. The others are totals: requests that got a pooled connection, requests sent again,
    requests failed."""

    open: int
    idle: int
    connecting: int
    queued: int
    reused: int
    retried: int
    failures: int

    def __add__(self, other: PoolCounts) -> PoolCounts:
        return PoolCounts(*map(int.__add__, astuple(self), astuple(other)))


def tls_context(ca_file: str | None = None, *, verify: bool = True) -> ssl.SSLContext:
    """How to speak TLS to a provider: HTTP/1.1, TLS 1.2 or newer, certificates signed by the authorities in
    `ca_file` (PEM) or by the system's. Raises `ConfigError` for a file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"upstream.ca_file {ca_file!r} cannot be used as a PEM file: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Pool:
    """Implements `Upstream` for the origin of `base_url` (http or https; its path is the caller's matter).

    `clock` gives monotonic seconds, `random` [0, 1). `sweep` is to be called about once a second.
    `connections` lowers the limit of connections, and of requests that wait for one.
    """

    def __init__(
        self,
        base_url: str,
        limits: Limits,
        timeouts: Timeouts,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        tls: ssl.SSLContext | None = None,
        connections: int | None = None,
        health: Health | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        secure = parts.scheme == "https"
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.head_bytes = limits.head_bytes
        self.buffer_bytes = limits.stream_buffer_bytes
        self.clock = clock
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if secure else 80)
        self._tls = (tls or tls_context()) if secure else None
        self._limits = limits
        self._most = connections or limits.upstream_connections
        self._health = health
        self._timeouts = timeouts
        self._random = random
        self._connections: set[Connection] = set()  # connecting, busy, idle, and closing until they are gone
        self._idle: dict[Connection, None] = {}  # in the order of their last use
        self._queue: dict[OpenCall, None] = {}
        self._calls: set[OpenCall] = set()
        self._closing = False
        self._all_gone: asyncio.Future[None] | None = None
        self._reused = self._retried = self._failures = 0

    @property
    def counts(self) -> PoolCounts:
        connecting = sum(call.phase is Phase.CONNECTING for call in self._calls)
        return PoolCounts(
            open=len(self._connections),
            idle=len(self._idle),
            connecting=connecting,
            queued=len(self._queue),
            reused=self._reused,
            retried=self._retried,
            failures=self._failures,
        )

    @property
    def calls(self) -> int:
        """Requests under way."""
        return len(self._calls)

    @property
    def has_room(self) -> bool:
        """Whether a request would not have to wait for a connection that others use."""
        return bool(self._idle) or len(self._connections) < self._most

    # --- Upstream

    def request(
        self,
        head: bytes,
        body: Sequence[Piece] | None,
        receiver: Receiver,
        *,
        length: int | None,
        method: bytes,
        first_byte: float | None = None,
    ) -> Call:
        patience = self._timeouts.first_byte if first_byte is None else first_byte
        patience = min(patience, self._timeouts.first_byte)
        call = OpenCall(self, head, body, receiver, length=length, method=method, first_byte=patience)
        now = call.since = self.clock()
        self._calls.add(call)
        connection = self._take_idle(now)
        if connection is not None:
            self._reused += 1
            call.start(connection)
        elif self._closing:
            self._fail_soon(call, Unavailable("the gateway is shutting down", retry_after=RETRY_AFTER))
        elif len(self._connections) < self._most:
            self._connect(call)
        elif len(self._queue) < self._most:
            self._queue[call] = None
        else:
            self._fail_soon(call, self._overloaded(f"{len(self._queue)} requests wait for a connection"))
        return call

    # --- time and the end

    def sweep(self, now: float) -> None:
        """Enforce the time limits. `now` is on the pool's clock."""
        for connection in [connection for connection in self._idle if connection.expires <= now]:
            self.discard(connection)
        limits = self._timeouts
        for call in list(self._calls):
            if now >= call.deadline(queue=limits.queue, connect=limits.connect, idle=limits.idle):
                call.fail(self._impatience(call))
            elif self._health is not None and call.grows_slow(now, self._health.slow_after):
                self._health.slow()

    async def answers(self) -> bool:
        """Whether its port takes connections, within the limit of connecting."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeouts.connect):
                transport, _ = await loop.create_connection(asyncio.Protocol, self._host, self._port)
        except OSError:  # TimeoutError is one
            return False
        transport.abort()
        return True

    def drain(self) -> None:
        """Close idle connections, and the others after the answer that they carry. New requests are refused
        unless a connection is free."""
        self._closing = True
        for connection in list(self._idle):
            self.discard(connection)

    async def close(self) -> None:
        """Cut what is still under way, then wait until every connection is gone. Receivers hear of it."""
        self.drain()
        for call in list(self._calls):
            call.fail(Unavailable("the gateway is shutting down", retry_after=RETRY_AFTER))
        if self._connections:
            self._all_gone = asyncio.get_running_loop().create_future()
            await self._all_gone

    # --- what connections and calls report

    def connected(self, connection: Connection) -> None:
        call = connection.call
        assert call is not None
        now = call.since = self.clock()
        connection.retires = now + self._timeouts.upstream_age * (1 - JITTER * self._random())
        call.start(connection)

    def release(self, connection: Connection, now: float) -> None:
        """The connection is free; the request that has waited longest takes it."""
        if connection.retires <= now or self._closing:
            self.discard(connection)
        elif self._queue:
            call = next(iter(self._queue))
            del self._queue[call]
            self._reused += 1
            call.since = now
            call.start(connection)
        elif len(self._idle) < self._limits.upstream_idle:
            connection.expires = min(now + self._timeouts.upstream_keep_alive, connection.retires)
            self._idle[connection] = None
        else:
            self.discard(connection)

    def discard(self, connection: Connection) -> None:
        """Close it at once: no request on it is of use any more. Abort, not close: TLS would wait for the
        peer's farewell, and a buffer for being read."""
        connection.drop()
        self._idle.pop(connection, None)

    def gone(self, connection: Connection) -> None:
        """It is closed, or was never opened: there is room for another."""
        self._connections.discard(connection)
        while self._queue and len(self._connections) < self._most:
            call = next(iter(self._queue))
            del self._queue[call]
            call.since = self.clock()
            self._connect(call)
        if self._all_gone is not None and not self._connections and not self._all_gone.done():
            self._all_gone.set_result(None)

    def send_again(self, call: OpenCall) -> None:
        """On a fresh connection: an idle one may be as dead as the first. The limit may be exceeded by the
        dead connection, for a moment."""
        self._retried += 1
        call.resent = True
        self._connect(call)

    def answered(self, call: OpenCall, head: ResponseHead) -> None:
        if self._health is not None and not call.slow:
            self._health.answered(head)

    def closed(self, call: OpenCall, error: GatewayError | None) -> None:
        self._calls.discard(call)
        self._queue.pop(call, None)
        if error is None:
            return
        self._failures += 1
        told = call.slow or isinstance(error, UpstreamImpatience)
        if self._health is not None and not told and isinstance(error, UpstreamError):
            self._health.broke(error)

    # --- connecting

    def _take_idle(self, now: float) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.expires > now and not connection.transport.is_closing():
                return connection
            self.discard(connection)
        return None

    def _connect(self, call: OpenCall) -> None:
        call.phase = Phase.CONNECTING
        connection = call.connection = Connection(self, call)
        self._connections.add(connection)
        loop = asyncio.get_running_loop()
        server_name = self._host if self._tls is not None else None
        connection.task = loop.create_task(
            loop.create_connection(
                lambda: cast(Any, connection),
                self._host,
                self._port,
                ssl=self._tls,
                server_hostname=server_name,
            )
        )
        connection.task.add_done_callback(partial(self._connect_ended, connection))

    def _connect_ended(self, connection: Connection, task: asyncio.Task[object]) -> None:
        """Only failures are of interest: `connected` was called before, and a connection that was made tells
        of its own end. Not so one whose task was cancelled while it was being made: uvloop then closes the
        socket after connection_made, and connection_lost is never called."""
        connection.task = None
        cancelled = task.cancelled()
        error = None if cancelled else task.exception()
        if error is None and not cancelled:
            return
        call = connection.call
        connection.call = None
        if call is not None and error is not None:
            if call.resent or isinstance(error, ssl.SSLCertVerificationError):
                call.fail(self._unreachable(error))
            else:
                self.send_again(call)
        self.gone(connection)

    # --- errors

    def _fail_soon(self, call: OpenCall, error: GatewayError) -> None:
        asyncio.get_running_loop().call_soon(call.fail, error)

    def _overloaded(self, why: str) -> Overloaded:
        return Overloaded(
            f"all {self._most} connections to {self.origin} are in use and {why}",
            retry_after=RETRY_AFTER,
        )

    def _impatience(self, call: OpenCall) -> GatewayError:
        if call.phase is Phase.QUEUED:
            return self._overloaded(f"none became free within {self._timeouts.queue:g} s")
        if call.phase is Phase.CONNECTING:
            return UpstreamConnectTimeout(
                f"no connection to {self.origin} within {self._timeouts.connect:g} s"
            )
        if call.phase is Phase.READING:
            return UpstreamTimeout(
                f"{self.origin} sent nothing for {self._timeouts.idle:g} s inside its answer"
            )
        if not call.ended:
            return UpstreamTimeout(f"{self.origin} took nothing of the request for {self._timeouts.idle:g} s")
        silent = UpstreamTimeout if call.first_byte >= self._timeouts.first_byte else UpstreamImpatience
        return silent(f"{self.origin} did not answer within {call.first_byte:g} s")

    def _unreachable(self, error: BaseException) -> UpstreamUnreachable:
        if isinstance(error, ssl.SSLCertVerificationError):
            return UpstreamUnreachable(
                f"the certificate of {self.origin} was refused: {error.verify_message}. If an authority"
                " of your own signed it, set upstream.ca_file to that authority's PEM file"
            )
        if isinstance(error, ssl.SSLError):
            return UpstreamUnreachable(
                f"{self.origin} does not speak TLS as expected: {error.reason or error}. Check that"
                " upstream.base_url has the right scheme and port"
            )
        return UpstreamUnreachable(f"cannot connect to {self.origin}: {error or type(error).__name__}")
