"""One client's connection: requests in, one at a time and in order; answers out.

    phase    what comes in next is                              what ends it
    HEAD     a head, or nothing yet                             head complete → BODY or ANSWER
    BODY     body, for the open handler                         body complete → ANSWER; answered → DISCARD
    ANSWER   kept unparsed until the answer is complete         answered → HEAD
    DISCARD  the rest of a body whose request is answered       body complete → HEAD
    LINGER   thrown away: the last answer is on its way         client closes, or a limit → CLOSED
    CLOSED   nothing

Every answer that ends the connection leads to LINGER or CLOSED. LINGER is there because closing a socket with
unread bytes resets the connection, and the reset can overtake the answer (RFC 9112 section 9.6).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from gateway.errors import ClientError, GatewayError, MalformedRequest, Overloaded, RequestTimeout
from gateway.proxy.base import Handler, OpenHandler
from gateway.proxy.beginnings import Beginnings
from gateway.proxy.framing import Body, ChunkedBody, HeadParser, SizedBody
from gateway.proxy.hangup import hung_up
from gateway.proxy.header_lines import HeaderLines
from gateway.proxy.link import ClientLink
from gateway.settings import Limits, Timeouts

DISCARD_BYTES: Final = 256 * 1024  # of an answered request's body; beyond it the connection ends
REQUESTS_A_TURN: Final = 8  # pipelined requests served before other connections have their turn
LINGER_IDLE, LINGER_TOTAL = 5.0, 30.0  # s
JITTER: Final = 0.1

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger: on, 0 s

HEAD: Final = 0  # the phases
BODY: Final = 1
ANSWER: Final = 2
DISCARD: Final = 3
LINGER: Final = 4
CLOSED: Final = 5


class EdgeState(Protocol):
    """What the connections of one worker share."""

    open_handler: OpenHandler
    limits: Limits
    lines: HeaderLines
    beginnings: Beginnings
    timeouts: Timeouts
    clock: Callable[[], float]  # monotonic, s
    random: Callable[[], float]  # [0, 1)
    draining: bool
    connections: set[EdgeConnection]
    accepted: int
    requests: int
    refused: int
    exchanges: int


class EdgeConnection:
    """One client. Its links write through it (`link.Wire`)."""

    __slots__ = (
        "__weakref__",
        "_advancing",
        "_at",
        "_body",
        "_body_paused",
        "_closing",
        "_edge",
        "_ends",
        "_flushed",
        "_handler",
        "_link",
        "_parser",
        "_phase",
        "_progress",
        "_read_paused",
        "_requests_left",
        "_rest",
        "_scheduled",
        "_since",
        "_spare",
        "_transport",
        "_write_paused",
        "_written",
    )

    def __init__(self, edge: EdgeState) -> None:
        self._edge = edge
        self._parser = HeadParser(edge.limits, edge.lines, edge.beginnings)
        self._phase: int = HEAD
        self._rest = b""  # read and not yet used, from _at on
        self._at = 0
        self._link: ClientLink | None = None
        self._handler: Handler | None = None
        self._body: Body | None = None
        self._body_paused = self._read_paused = self._write_paused = False
        self._advancing = self._scheduled = False
        self._closing = False  # after a framing error nothing that follows can be trusted
        self._spare = 0  # bytes thrown away after an answer
        self._since = 0.0  # HEAD: first byte or start of idleness; BODY, DISCARD, LINGER: last read
        self._written = self._flushed = 0  # bytes handed to the transport; of these, gone at _progress
        self._progress = 0.0

    # --- the transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        edge = self._edge
        limits = edge.limits
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=limits.stream_buffer_bytes)
        self._since = self._progress = now = edge.clock()
        spread = 1 - JITTER + 2 * JITTER * edge.random()
        self._requests_left = max(1, round(limits.requests_per_connection * spread))
        self._ends = now + limits.connection_age * spread
        edge.connections.add(self)
        edge.accepted += 1
        crowd = len(edge.connections) - limits.connections
        if crowd > 64 + limits.connections // 10:  # even refusals need sockets
            self.kill()
        elif crowd > 0:
            self._refuse(Overloaded("this worker has all the connections it may have", retry_after=1.0))

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase >= LINGER:
            self._throw_away(len(data), self._edge.limits.body_bytes)
            return
        if self._at < len(self._rest):
            self._rest = self._rest[self._at :] + data
            if phase != HEAD:
                self._since = self._edge.clock()
        else:
            self._rest = data
            self._since = self._edge.clock()
        self._at = 0
        self._advance()

    def eof_received(self) -> None:
        """A client that half-closes while its answer is due counts as gone, as for nginx: most have left."""
        if self._link is not None:
            self.kill()
        self._phase = CLOSED  # the transport closes itself, after what is left to write

    def connection_lost(self, exc: Exception | None) -> None:
        self._edge.connections.discard(self)
        self._client_left()
        self._rest, self._at = b"", 0
        self._body = None

    def pause_writing(self) -> None:
        self._write_paused = True
        if self._handler is not None:
            self._handler.client_writable(False)

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._handler is not None:
            self._handler.client_writable(True)
        self._advance()

    # --- requests

    def _advance(self) -> None:
        """Use what was read as far as it may be used. A loop, not a recursion through `answered`: one read
        can hold thousands of requests."""
        if self._advancing:
            return
        self._advancing = True
        turns = REQUESTS_A_TURN
        try:
            while self._at < len(self._rest):
                phase = self._phase
                if phase == HEAD:
                    if self._write_paused:
                        break
                    if turns == 0:
                        self._later()
                        break
                    turns -= 1
                    if not self._take_head():
                        break
                elif phase == BODY:
                    if self._body_paused:
                        break
                    self._take_body()
                elif phase == DISCARD:
                    self._take_spare()
                else:
                    break
        finally:
            self._advancing = False
        self._pace_reading()

    def _later(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._continue)

    def _continue(self) -> None:
        self._scheduled = False
        self._advance()

    def _take_head(self) -> bool:
        """Open a handler for the next request. False: its head is not complete, or not acceptable."""
        edge, parser, at = self._edge, self._parser, self._at
        try:
            end = parser.find_end(self._rest, at)
            if end < 0:
                return False
            head = parser.parse(self._rest[at:end], edge.clock())
        except ClientError as error:
            self._refuse(error, b"HEAD" if self._rest.startswith(b"HEAD ", at) else b"")
            return False
        self._at = end
        if head.length == 0:
            self._phase = ANSWER
        else:
            self._phase = BODY
            self._body = ChunkedBody() if head.length is None else SizedBody(head.length)
        edge.requests += 1
        self._requests_left -= 1
        link = self._begin(head.method, head.version)
        handler = edge.open_handler(head, link)
        if not link.open:
            return True
        self._handler = handler
        if self._write_paused:
            handler.client_writable(False)
        if parser.waits:
            parser.waits = False
            self.write(_CONTINUE)
        if self._phase == ANSWER:
            handler.body_end()
        return True

    def _begin(self, method: bytes, version: str) -> ClientLink:
        self._edge.exchanges += 1
        self._link = link = ClientLink(self, method, version)
        return link

    def _take_body(self) -> None:
        body, handler = self._body, self._handler
        if body is None or handler is None:
            return
        try:
            chunk, self._at = body.feed(self._rest, self._at)
        except MalformedRequest as error:
            self._break(error)
            return
        complete = body.complete
        if complete:
            self._phase = ANSWER
            self._body = None
        if chunk:
            handler.body(chunk)
        if complete and self._handler is handler:
            handler.body_end()

    def _take_spare(self) -> None:
        body = self._body
        if body is None:
            return
        before = self._at
        try:
            _, self._at = body.feed(self._rest, before)
        except MalformedRequest:
            self._finish()
            return
        if body.complete:
            self._body = None
            self._phase = HEAD
        else:
            self._throw_away(self._at - before, DISCARD_BYTES)

    def _throw_away(self, size: int, limit: int) -> None:
        self._since = self._edge.clock()
        self._spare += size
        if self._spare <= limit:
            return
        if self._phase == DISCARD:
            self._finish()
        elif self._phase == LINGER:
            self.kill()

    def _refuse(self, error: GatewayError, method: bytes = b"") -> None:
        """Answer in place of a handler, and close."""
        self._edge.refused += 1
        self._closing = True
        self._begin(method, "1.1").fail(error)

    def _break(self, error: GatewayError) -> None:
        """The body cannot be read to its end: answer if that is still possible, close, tell the handler."""
        self._edge.refused += 1
        self._closing = True
        handler, self._handler = self._handler, None
        if self._link is not None:
            self._link.fail(error)
        if handler is not None:
            handler.client_gone()

    def _pace_reading(self) -> None:
        waiting = self._phase == ANSWER or self._write_paused or self._scheduled
        full = waiting and len(self._rest) - self._at > self._edge.limits.pipelined_bytes
        pause = (self._body_paused or full) and self._phase < LINGER
        if self._at >= len(self._rest):
            self._rest, self._at = b"", 0
        if pause is not self._read_paused and not self._transport.is_closing():
            self._read_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    # --- answers: what links ask for

    def write(self, data: bytes) -> None:
        self._written += len(data)
        self._transport.write(data)

    def write_pieces(self, pieces: Sequence[bytes]) -> None:
        self._written += sum(map(len, pieces))
        self._transport.writelines(pieces)

    def must_close(self) -> bool:
        edge = self._edge
        if self._closing or edge.draining or self._requests_left <= 0 or not self._parser.keep_alive:
            return True
        if self._phase != BODY or self._body is None:
            return False
        left = self._body.left
        # A client that still waits for 100 Continue may send its body or not: nobody can tell which.
        return left is None or left > DISCARD_BYTES or self._parser.waits

    def answered(self, close: bool) -> None:
        self._forget_exchange()
        if close:
            self._finish()
            return
        self._phase = HEAD if self._body is None else DISCARD
        self._spare = 0
        self._since = self._edge.clock()
        self._advance()

    def cut(self, reset: bool) -> None:
        self._forget_exchange()
        self._phase = CLOSED
        if reset:
            client = self._transport.get_extra_info("socket")
            if client is not None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()
        else:
            self._transport.close()

    def body_wanted(self, wanted: bool) -> None:
        self._body_paused = not wanted
        self._since = self._edge.clock()
        self._advance()

    # --- ends

    def _forget_exchange(self) -> None:
        self._edge.exchanges -= 1
        self._link = self._handler = None
        self._body_paused = False

    def _client_left(self) -> None:
        self._phase = CLOSED
        link, handler = self._link, self._handler
        if link is None:
            return
        link.drop()
        self._forget_exchange()
        if handler is not None:
            handler.client_gone()

    def _finish(self) -> None:
        """The last answer is written."""
        clean = self._phase == ANSWER and not self._closing and self._at >= len(self._rest)
        self._rest, self._at = b"", 0
        self._body = None
        if clean:
            self._phase = CLOSED
            self._transport.close()
            return
        self._phase = LINGER
        self._spare = 0
        self._since = now = self._edge.clock()
        self._ends = now + LINGER_TOTAL
        if not self._transport.is_closing():  # it may have failed already, without having told us yet
            self._transport.write_eof()
        self._pace_reading()

    def kill(self) -> None:
        self._client_left()
        self._transport.abort()

    def close_if_idle(self) -> None:
        if self._phase == HEAD and self._at >= len(self._rest):
            self._phase = CLOSED
            self._transport.close()

    @property
    def buffered(self) -> int:
        return len(self._rest) - self._at

    # --- time

    def sweep(self, now: float) -> None:
        """One look at every limit that applies in this phase."""
        limits = self._edge.timeouts
        flushed = self._written - self._transport.get_write_buffer_size()
        if flushed == self._written or flushed > self._flushed:
            self._flushed, self._progress = flushed, now
        elif now - self._progress > limits.write_stalled:
            self.kill()
            return
        if self._read_paused and hung_up(self._transport):
            self.kill()
            return
        phase, idle = self._phase, now - self._since
        if now > self._ends and phase < LINGER:
            self._requests_left = 0  # the next answer is the last
        if phase == HEAD:
            self._sweep_head(idle)
        elif phase == BODY:
            if idle > limits.body_idle and not self._body_paused:
                self._break(RequestTimeout(f"no more of the request's body for {limits.body_idle:g} s"))
        elif phase == DISCARD:
            if idle > limits.body_idle:
                self._finish()
        elif phase == LINGER and (idle > LINGER_IDLE or now > self._ends):
            self.kill()

    def _sweep_head(self, idle: float) -> None:
        limits = self._edge.timeouts
        begun = self._rest[self._at :].strip(b"\r\n")
        if begun and not self._write_paused and not self._scheduled:
            if idle > limits.head:
                self._refuse(RequestTimeout(f"the request's head was not complete after {limits.head:g} s"))
        elif idle > limits.keep_alive and not self._write_paused:
            self.close_if_idle()
