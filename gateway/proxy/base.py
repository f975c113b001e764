"""The seams of the data plane. Everything here is called on the event loop and returns at once.

    client ── edge (Link) ⇄ exchange (Handler, Receiver) ⇄ upstream (Call) ── provider

The edge makes one `Handler` for each request as soon as its head is complete. The handler answers through
its `Link`. Towards the provider it starts a `Call` and hears of the response as a `Receiver`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.errors import GatewayError
from gateway.wire import Piece
from gateway.wire.written import KnownHeaders

logger = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]  # names in lower case, values as sent, without surrounding white space


class Head:
    """A request's head, checked by the edge. `length` is None for a chunked body, 0 for none."""

    __slots__ = ("headers", "known", "length", "method", "path", "query", "received", "version")

    def __init__(
        self,
        method: bytes,
        path: bytes,
        query: bytes,
        version: str,
        headers: Headers,
        length: int | None,
        received: float,
        known: KnownHeaders | None = None,
    ) -> None:
        self.method = method
        self.path = path  # raw, as sent, without query
        self.query = query  # raw, without the question mark
        self.version = version  # "1.0" or "1.1"
        self.headers = headers
        self.length = length
        self.received = received  # loop time of the head's last byte, s
        self.known = known  # what `headers` begin with, where other heads do too

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Handler(Protocol):
    """One request, as the edge drives it."""

    def body(self, chunk: bytes) -> None: ...

    def body_end(self) -> None: ...

    def client_gone(self) -> None:
        """The client left before the answer's end; nothing more can be sent. Called at most once."""

    def client_writable(self, writable: bool) -> None:
        """The client's socket buffer is full (False) or has room again (True)."""


class Link(Protocol):
    """The client's side of one request, as its handler sees it. After `end`, `abort` or `client_gone`
    every call is ignored."""

    def respond(self, status: int, reason: bytes, headers: Headers, length: int | None) -> None:
        """Write the response's head. Framing and `connection` are the edge's: `length` in bytes, or None
        for chunked (to HTTP/1.0: until close). HEAD, 204 and 304 never get a body."""

    def send(self, data: bytes) -> None:
        """More of the body; like the head it goes out with `flush`, `end` or `abort`."""

    def flush(self) -> None: ...

    def end(self) -> None:
        """The answer is complete; the connection is kept if it can be."""

    def abort(self) -> None:
        """Close at once, without a clean end: the client must notice that the answer is cut."""

    def fail(self, error: GatewayError) -> None:
        """Answer with an error of our own; only before `respond`."""

    def speak(self, error_body: Callable[[GatewayError], bytes]) -> None:
        """The shape of our own errors on this route, where it is not OpenAI's."""

    def pause_body(self) -> None:
        """Stop reading the request's body (backpressure)."""

    def resume_body(self) -> None: ...


OpenHandler = Callable[[Head, Link], Handler]


class ResponseHead:
    """A final (not 1xx) response's head. `length` None: chunked, or until the connection's end."""

    __slots__ = ("headers", "length", "reason", "status")

    def __init__(self, status: int, reason: bytes, headers: Headers, length: int | None) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.length = length


class Receiver(Protocol):
    """Who hears of a response. After `response_end` or `response_failed` nothing more is called."""

    def response_head(self, head: ResponseHead) -> None: ...

    def response_data(self, data: bytes) -> None: ...

    def response_flush(self) -> None:
        """All that one read brought has been told, and the answer goes on."""

    def response_end(self) -> None: ...

    def response_failed(self, error: GatewayError) -> None:
        """Also in the middle of a body: then what was relayed is not the whole."""

    def upstream_writable(self, writable: bool) -> None:
        """For streamed request bodies: the provider's socket is full (False) or has room again (True)."""


class Call(Protocol):
    """One request to the provider."""

    def write(self, data: bytes) -> None:
        """More of a streamed body; framed by the connection when the body is chunked."""

    def end_body(self) -> None: ...

    def cancel(self) -> None:
        """Nobody waits any longer: close the connection. The receiver hears nothing more."""

    def pause(self) -> None:
        """Stop reading the response (backpressure)."""

    def resume(self) -> None: ...


class Upstream(Protocol):
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
        """Send a request: `head` is request line and headers, each line with its CRLF, without framing and
        without the blank line. `body` pieces are the whole body; None announces a streamed one of `length`
        bytes, or a chunked one if `length` is None. `first_byte` lowers the limit of the wait for the answer,
        s. Never raises: failures reach the receiver, from a later callback."""


def unforeseen() -> GatewayError:
    """What a client is told of the exception that is being handled; the log is told all."""
    logger.exception("a request could not be handled")
    return GatewayError("the gateway failed inside; its log says why")
