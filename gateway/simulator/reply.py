"""Request and reply values, and a reply played as steps.

A step is bytes to write, seconds to wait, or how it ends. Replies become steps by `normal`; a fault is
another function of the same shape. So whatever can happen on the wire is a short generator.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum

import msgspec
import orjson
from msgspec.structs import replace

Headers = tuple[tuple[bytes, bytes], ...]
JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"
LAST_CHUNK = b"0\r\n\r\n"
PAUSE = 0.01  # seconds between writes that must not arrive in one read
REASONS = {
    200: b"OK",
    204: b"No Content",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    409: b"Conflict",
    413: b"Content Too Large",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


class End(Enum):
    """How a reply ends."""

    KEEP = "keep"  # complete, the connection stays
    CLOSE = "close"  # flush, then FIN
    RESET = "reset"  # RST, whatever was not sent is lost
    STALL = "stall"  # nothing more until the client leaves


Step = bytes | float | End
Steps = Iterator[Step]


class Request(msgspec.Struct):
    """One request as received. `headers` keep their order and spelling; `sim` are the x-sim-* ones."""

    number: int
    method: bytes
    target: bytes
    version: bytes
    headers: Headers
    sim: dict[bytes, bytes]
    keep_alive: bool
    nth: int  # on its connection, from 1
    body: bytes = b""
    size: int = 0  # bytes of body; more than len(body) where it was too long to keep
    sha256: str = ""  # of the body, on echo routes
    at: float = 0.0  # when it was complete, Unix time
    outcome: str = "open"  # then completed, reset (by a fault) or cancelled (by the client)

    @property
    def end(self) -> End:
        """How a complete reply ends."""
        return End.KEEP if self.keep_alive else End.CLOSE

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header, by its lower-case name."""
        return next((value for key, value in self.headers if key.lower() == name), None)


class Reply(msgspec.Struct, frozen=True):
    """An answer: its pieces are SSE events where `streamed`, else one body."""

    pieces: tuple[bytes, ...]
    status: int = 200
    content_type: bytes = JSON
    headers: Headers = ()
    streamed: bool = False
    first: float = 0.0  # seconds before the head
    gap: float = 0.0  # seconds between pieces
    fault: str = ""  # what the scenario lets go wrong; a name of `faults.FAULTS`
    rule: str = ""  # whose behaviour it is, for the statistics


Fault = Callable[[Request, Reply], Steps]


def json_reply(value: object, status: int = 200, headers: Headers = ()) -> Reply:
    """Reply with `value` as JSON."""
    return Reply((orjson.dumps(value),), status=status, headers=headers)


def error_reply(status: int, message: str, *, param: str | None = None, code: str | None = None) -> Reply:
    """Reply with an error of the provider's shape."""
    kind = "invalid_request_error" if status < 500 and status != 429 else "server_error"
    kind = "rate_limit_error" if status == 429 else kind
    error = {"message": message, "type": kind, "param": param, "code": code}
    retry = ((b"retry-after", b"1"),) if status in (429, 503) else ()
    return json_reply({"error": error}, status, retry)


def head(
    request: Request,
    reply: Reply,
    *,
    length: int | None = None,
    chunked: bool = False,
    version: bytes = b"1.1",
) -> bytes:
    """Return status line and headers; without length and chunked the body ends with the connection."""
    lines = [
        b"HTTP/%s %d %s\r\ncontent-type: %s\r\nserver: prompt-canary-simulator\r\n"
        b"openai-version: 2020-10-01\r\nx-ratelimit-remaining-requests: 9999\r\nx-request-id: sim-%d\r\n"
        % (version, reply.status, REASONS.get(reply.status, b"-"), reply.content_type, request.number)
    ]
    lines += [b"%s: %s\r\n" % pair for pair in reply.headers]
    if chunked:
        lines.append(b"transfer-encoding: chunked\r\n")
    elif length is not None:
        lines.append(b"content-length: %d\r\n" % length)
    if not request.keep_alive:
        lines.append(b"connection: close\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def chunk(data: bytes) -> bytes:
    """Frame `data` (not empty) as one chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def normal(request: Request, reply: Reply) -> Steps:
    """Play a reply as a good provider does."""
    top, pieces = framed(request, reply)
    if reply.first:
        yield reply.first
    if len(pieces) == 1:
        yield top + pieces[0]
    else:
        yield top
        yield from paced(pieces, reply.gap)
    yield request.end


def framed(request: Request, reply: Reply) -> tuple[bytes, list[bytes]]:
    """Return the head, and the body's writes: one, or a chunk for each event, the last chunk with the last.

    HTTP/1.0 knows no chunks and gets events as one body with a length; HEAD gets no body.
    """
    if reply.streamed and request.version != b"1.0":
        top = head(request, reply, chunked=True)
        pieces = [chunk(piece) for piece in reply.pieces]
        pieces[-1] += LAST_CHUNK
    else:
        body = b"".join(reply.pieces)
        top = head(request, reply, length=len(body))
        pieces = [body]
    return top, [b""] if request.method == b"HEAD" else pieces


def paced(pieces: Iterable[bytes], gap: float) -> Steps:
    """Yield pieces `gap` seconds apart; without a gap all at once, in one write."""
    if not gap:
        yield b"".join(pieces)
        return
    for index, piece in enumerate(pieces):
        if index:
            yield gap
        yield piece


def with_pieces(reply: Reply, pieces: Iterable[bytes]) -> Reply:
    """Return the reply with other pieces."""
    return replace(reply, pieces=tuple(pieces))
