"""One request and its answer, both streamed, bytes verbatim: every route that no prompt is injected into.

`Exchange` is also the answering half of a managed request (`proxy.managed`), which differs in what it sends
and in what it looks at while the answer passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.domain.client_key import ClientKey
from gateway.errors import GatewayError
from gateway.proxy.base import Call, Head, Headers, Link, ResponseHead, unforeseen
from gateway.proxy.router import Outbound
from gateway.wire import Piece
from gateway.wire.decoding import GZIP, Inflater
from gateway.wire.error_body import sse_error
from gateway.wire.headers import response_headers

if TYPE_CHECKING:
    from gateway.proxy.worker import Worker

EVENT_STREAM: Final = b"text/event-stream"
EVENT_ENDS = (b"\n\n", b"\r\r", b"\r\n\r\n")


class Exchange:
    """Implements `Handler` towards the edge and `Receiver` towards the upstream."""

    __slots__ = (
        "call",
        "client",
        "event_stream",
        "finished",
        "head",
        "link",
        "managed",
        "responded",
        "tail",
        "worker",
    )

    def __init__(self, worker: Worker, head: Head, link: Link) -> None:
        self.worker = worker
        self.managed = False
        self.head = head
        self.link = link
        self.client: ClientKey | None = None  # whose request it is, where the gateway has its own keys
        self.call: Call | None = None
        self.responded = False
        self.event_stream = False
        self.finished = False
        self.tail = b""  # what was sent last

    # --- the request

    def forward(
        self, path: bytes, body: Sequence[Piece] | None, length: int | None, model: str | None = None
    ) -> None:
        """Send it on; `body` None: it will be streamed. Raises what `Router.send` does."""
        outbound = Outbound(self.head, path, body, length, model, self.managed)
        self.call = self.worker.upstream.send(outbound, self)

    def body(self, chunk: bytes) -> None:
        if self.call is not None:
            self.call.write(chunk)

    def body_end(self) -> None:
        if self.call is not None:
            self.call.end_body()

    # --- the answer

    def response_head(self, head: ResponseHead) -> None:
        content_type = header(head.headers, b"content-type")
        events = content_type is not None and content_type.lower().startswith(EVENT_STREAM)
        self.event_stream = events and header(head.headers, b"content-encoding") is None
        headers = response_headers(head.headers, self.added_headers(), managed=self.managed)
        # An event stream may lose an event or gain one, so a length that it announced is not kept.
        length = None if self.event_stream else head.length
        self.link.respond(head.status, head.reason, headers, length)
        self.responded = True

    def added_headers(self) -> Headers:
        return []

    def response_data(self, data: bytes) -> None:
        self.tail = data
        self.link.send(data)

    def response_flush(self) -> None:
        self.link.flush()

    def response_end(self) -> None:
        self.finish()
        self.link.end()

    def response_failed(self, error: GatewayError) -> None:
        """Before the head there is a status to tell it with; after, an event and an abrupt end, since
        clients take a clean end for the whole answer."""
        self.finish()
        if not self.responded:
            self.link.fail(error)
            return
        if self.event_stream:
            if self.tail and not self.tail.endswith(EVENT_ENDS):  # cut inside of an event
                self.link.send(b"\n\n")
            self.link.send(self.error_event(error))
        self.link.abort()

    def error_event(self, error: GatewayError) -> bytes:
        return sse_error(error)

    def crash(self) -> None:
        """To be called where an exception is handled that nobody thought of: answer or cut."""
        error = unforeseen()
        if self.call is not None:
            self.call.cancel()
        self.worker.counts.refused(error.code)
        self.finish()
        self.link.fail(error)

    # --- both directions' backpressure, and the client that leaves

    def client_gone(self) -> None:
        if self.call is not None:
            self.call.cancel()
        self.finish()

    def client_writable(self, writable: bool) -> None:
        if self.call is not None:
            if writable:
                self.call.resume()
            else:
                self.call.pause()

    def upstream_writable(self, writable: bool) -> None:
        if writable:
            self.link.resume_body()
        else:
            self.link.pause_body()

    def fail(self, error: GatewayError) -> None:
        """Answer with an error of our own, before anything went upstream."""
        self.finish()
        self.link.fail(error)

    def finish(self) -> None:
        """The exchange is over; called once or more."""
        self.finished = True


class Refusal:
    """The rest of a request that was answered at its head."""

    def body(self, chunk: bytes) -> None: ...

    def body_end(self) -> None: ...

    def client_gone(self) -> None: ...

    def client_writable(self, writable: bool) -> None: ...


def header(headers: Headers, name: bytes) -> bytes | None:
    for key, value in headers:
        if key == name:
            return value
    return None


def inflating(head: ResponseHead) -> tuple[Inflater | None, ResponseHead]:
    """Some providers compress although they were asked not to; the client may not even be able to read it."""
    encoding = header(head.headers, b"content-encoding")
    if encoding is None or encoding.lower() not in GZIP:
        return None, head
    headers = [pair for pair in head.headers if pair[0] != b"content-encoding"]
    return Inflater(), ResponseHead(head.status, head.reason, headers, None)
