"""Everything a provider can do wrong, as a table: name → (request, reply) → steps.

Ask for one with the header `x-sim-fault: name`, or at a rate in the scenario. Those about time, order and
the connection are here, those that break bytes in `corruptions`. `PAUSE` separates writes that must not
arrive in one read.
"""

import zlib
from collections.abc import Iterator
from functools import partial
from itertools import repeat

from msgspec.structs import replace

from gateway.simulator.corruptions import CORRUPTIONS
from gateway.simulator.reply import (
    LAST_CHUNK,
    PAUSE,
    End,
    Fault,
    Reply,
    Request,
    Steps,
    chunk,
    error_reply,
    framed,
    head,
    json_reply,
    normal,
    with_pieces,
)

HUGE = 32 * 1024 * 1024
DONE = b"data: [DONE]\n\n"


def _before_head(end: End, request: Request, reply: Reply) -> Steps:
    yield reply.first
    yield end


def _after_head(end: End, request: Request, reply: Reply) -> Steps:
    top, _ = framed(request, reply)
    yield reply.first
    yield top
    yield PAUSE
    yield end


def _mid_body(end: End, request: Request, reply: Reply) -> Steps:
    """Half of the pieces (or of the one body), then the end."""
    top, pieces = framed(request, reply)
    half = pieces[: len(pieces) // 2] if len(pieces) > 1 else [pieces[0][: len(pieces[0]) // 2]]
    yield reply.first
    yield top
    for piece in half:
        yield piece
        yield reply.gap
    yield PAUSE
    yield end


def _stall_after_done(request: Request, reply: Reply) -> Steps:
    """Everything but the end of the framing: the last chunk, or the body's last byte."""
    top, pieces = framed(request, reply)
    yield reply.first
    yield top
    whole = b"".join(pieces)
    yield whole.removesuffix(LAST_CHUNK) if reply.streamed else whole[:-1]
    yield End.STALL


def _status(status: int, request: Request, reply: Reply) -> Steps:
    wrong = error_reply(status, f"Simulated error {status}.", code=f"simulated_{status}")
    return normal(request, replace(wrong, first=reply.first))


def _no_stream_options(request: Request, reply: Reply) -> Steps:
    """A provider that does not know stream_options."""
    if b'"stream_options"' in request.body:
        reply = error_reply(
            400, "Unrecognized request argument supplied: stream_options", param="stream_options"
        )
    return normal(request, reply)


def _error_in_200(request: Request, reply: Reply) -> Steps:
    wrong = json_reply(
        {"error": {"message": "Simulated.", "type": "server_error", "param": None, "code": None}}
    )
    return normal(request, replace(wrong, first=reply.first))


def _huge_body(request: Request, reply: Reply) -> Steps:
    """A JSON string of 32 MiB, written piece by piece as the peer reads."""
    block = b"x" * 65536
    yield reply.first
    yield head(request, replace(reply, content_type=b"application/json"), length=HUGE + 2) + b'"'
    yield from repeat(block, HUGE // len(block))
    yield b'"'
    yield request.end


def _gzip(request: Request, reply: Reply) -> Steps:
    """Compressed, each piece flushed, so that events still come one by one."""
    squeeze = zlib.compressobj(wbits=31)
    pieces = [squeeze.compress(piece) + squeeze.flush(zlib.Z_SYNC_FLUSH) for piece in reply.pieces]
    pieces[-1] += squeeze.flush()
    headers = (*reply.headers, (b"content-encoding", b"gzip"))
    return normal(request, replace(reply, pieces=tuple(pieces), headers=headers))


def _close_without_done(request: Request, reply: Reply) -> Steps:
    """A clean end of the framing without [DONE]: truncation that looks like success."""
    return normal(request, with_pieces(reply, _without_done(reply)))


def _without_done(reply: Reply) -> Iterator[bytes]:
    return filter(None, (piece.removesuffix(DONE) for piece in reply.pieces))


def _dribble(request: Request, reply: Reply) -> Steps:
    """The head byte by byte, then the rest."""
    top, pieces = framed(request, reply)
    yield reply.first
    for at in range(len(top)):
        yield top[at : at + 1]
        yield 0.001
    yield b"".join(pieces)
    yield request.end


def _bytewise(request: Request, reply: Reply) -> Steps:
    """Every byte of the first 500 of head and body in a write of its own, then the rest."""
    top, pieces = framed(request, reply)
    whole = top + b"".join(pieces)
    for at in range(min(len(whole), 500)):
        yield whole[at : at + 1]
        yield 0.001
    yield whole[500:]
    yield request.end


def _no_keepalive(request: Request, reply: Reply) -> Steps:
    return normal(replace(request, keep_alive=False), reply)


def _close_after(request: Request, reply: Reply) -> Steps:
    """Promises keep-alive and closes: the race of a pooled connection that is going stale."""
    yield from _until_end(request, reply)
    yield PAUSE
    yield End.CLOSE


def _stale_on_reuse(request: Request, reply: Reply) -> Steps:
    """Answers the first request of a connection; closes at any later one without a byte."""
    if request.nth == 1:
        yield from normal(request, reply)
    else:
        yield End.CLOSE


def _extra_bytes(pause: float, request: Request, reply: Reply) -> Steps:
    """A complete reply, and then bytes that nobody asked for: at once, or when the connection is idle."""
    yield from _until_end(request, reply)
    yield pause
    yield b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
    yield request.end


def _until_end(request: Request, reply: Reply) -> Steps:
    return (step for step in normal(request, reply) if not isinstance(step, End))


def _until_close(version: bytes, request: Request, reply: Reply) -> Steps:
    """A body without length that ends with the connection."""
    yield reply.first
    yield head(request, reply, version=version)
    for piece in reply.pieces:
        yield piece
        yield reply.gap
    yield End.CLOSE


def _informational(lines: bytes, request: Request, reply: Reply) -> Steps:
    yield lines
    yield PAUSE
    yield from normal(request, reply)


def _trailers(request: Request, reply: Reply) -> Steps:
    """Chunked, with fields after the last chunk that must not be taken for headers."""
    yield reply.first
    yield head(request, reply, chunked=True)
    yield b"".join(map(chunk, reply.pieces))
    yield LAST_CHUNK[:3] + b"x-trailer: 1\r\nx-request-id: forged\r\n\r\n"
    yield request.end


def _pings(request: Request, reply: Reply) -> Steps:
    """Comments before the first event and between all."""
    return normal(request, with_pieces(reply, (b": ping\n\n" + piece for piece in reply.pieces)))


def _no_content(request: Request, reply: Reply) -> Steps:
    yield reply.first
    yield head(request, replace(reply, status=204))
    yield request.end


def _answer_early(request: Request, reply: Reply) -> Steps:
    """An answer while the body is still on its way, then the end: a provider that checks the length."""
    yield from _until_end(request, error_reply(413, "Simulated: too large.", code="simulated_413"))
    yield PAUSE
    yield End.CLOSE


_ENDS = {"reset": End.RESET, "close": End.CLOSE, "stall": End.STALL}
_STATUSES = (400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504)

FAULTS: dict[str, Fault] = {
    **{f"{name}_before_head": partial(_before_head, end) for name, end in _ENDS.items()},
    **{f"{name}_after_head": partial(_after_head, end) for name, end in _ENDS.items()},
    **{f"{name}_mid_stream": partial(_mid_body, end) for name, end in _ENDS.items()},
    **{f"status_{status}": partial(_status, status) for status in _STATUSES},
    **{f"{name}_mid_request": partial(_before_head, end) for name, end in _ENDS.items()},
    "answer_mid_request": _answer_early,
    "stall_after_done": _stall_after_done,
    "status_400_stream_options": _no_stream_options,
    "error_in_200": _error_in_200,
    "no_content": _no_content,
    "huge_body": _huge_body,
    "gzip": _gzip,
    "close_without_done": _close_without_done,
    "slow_headers": _dribble,
    "byte_by_byte": _bytewise,
    "no_keepalive": _no_keepalive,
    "close_after": _close_after,
    "stale_on_reuse": _stale_on_reuse,
    "extra_bytes": partial(_extra_bytes, 0.0),
    "late_bytes": partial(_extra_bytes, PAUSE),
    "http10": partial(_until_close, b"1.0"),
    "until_close": partial(_until_close, b"1.1"),
    "informational_100": partial(_informational, b"HTTP/1.1 100 Continue\r\n\r\n"),
    "informational_103": partial(
        _informational, b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"
    ),
    "trailers": _trailers,
    "pings": _pings,
    **CORRUPTIONS,
}

# These begin at the request's head, whatever of its body has come; the rest of it is thrown away.
EARLY = frozenset(name for name in FAULTS if name.endswith("_mid_request"))
