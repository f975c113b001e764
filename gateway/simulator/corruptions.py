"""Faults that change the bytes themselves: events, encodings, and framing that a strict parser refuses."""

import re
from functools import partial
from itertools import pairwise

from msgspec.structs import replace

from gateway.simulator.reply import (
    LAST_CHUNK,
    PAUSE,
    End,
    Fault,
    Reply,
    Request,
    Steps,
    chunk,
    framed,
    head,
    normal,
    with_pieces,
)

_EVENT = re.compile(rb"(?<=\n\n)")
_CHARACTER = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")


def _garbage_sse(request: Request, reply: Reply) -> Steps:
    """Event streams that only look like one, between the good events."""
    garbage = (b"data: {not json\n\n", b"event: ping\n\n", b"data\n\n", b"\xff\xfe: x\n\n", b"data: []\n\n")
    pieces = (piece + garbage[i % len(garbage)] for i, piece in enumerate(reply.pieces[:-1]))
    return normal(request, with_pieces(reply, (*pieces, *reply.pieces[-1:])))


def _split_utf8(request: Request, reply: Reply) -> Steps:
    """Every multi-byte character arrives in two reads; the writes cut through events and chunks too."""
    top, pieces = framed(request, reply)
    whole = b"".join(pieces)
    cuts = [0, *(found.start() + 1 for found in _CHARACTER.finditer(whole)), len(whole)]
    yield reply.first
    yield top
    for start, end in pairwise(cuts):
        yield whole[start:end]
        yield PAUSE
    yield request.end


def _line_ends(line_end: bytes, request: Request, reply: Reply) -> Steps:
    """Another of the three line ends that the WHATWG event stream allows."""
    return normal(request, with_pieces(reply, (piece.replace(b"\n", line_end) for piece in reply.pieces)))


def _usage_in_last_choice(request: Request, reply: Reply) -> Steps:
    """Usage beside a last `choices: [{"delta": {}}]` instead of an event of its own."""
    last = reply.pieces[-1].replace(b'"choices":[],', b'"choices":[{"index":0,"delta":{}}],')
    return normal(request, with_pieces(reply, (*reply.pieces[:-1], last)))


def _usage_unasked(request: Request, reply: Reply) -> Steps:
    """A usage event although nobody asked for one."""
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n'
    last = reply.pieces[-1].replace(b"data: [DONE]", usage + b"data: [DONE]")
    return normal(request, with_pieces(reply, (*reply.pieces[:-1], last)))


def _no_usage(request: Request, reply: Reply) -> Steps:
    """A provider that never tells usage: no event of it, no field in a whole answer."""
    if reply.streamed:
        events = _EVENT.split(reply.pieces[-1])
        last = b"".join(event for event in events if b'"choices":[]' not in event)
        return normal(request, with_pieces(reply, (*reply.pieces[:-1], last)))
    whole = re.sub(rb'"usage":\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\},?', b"", reply.pieces[0])
    return normal(request, with_pieces(reply, (whole,)))


def _error_event(request: Request, reply: Reply) -> Steps:
    """An error in the middle of the events, then a clean end without [DONE]."""
    event = b'data: {"error":{"message":"Simulated.","type":"server_error","param":null,"code":null}}\n\n'
    half = reply.pieces[: max(len(reply.pieces) // 2, 1)]
    return normal(request, with_pieces(reply, (*half, event) if reply.streamed else half))


def _huge_event(request: Request, reply: Reply) -> Steps:
    """One event of 2 MiB after the first."""
    huge = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"x" * (2 * 1024 * 1024))
    return normal(request, with_pieces(reply, (*reply.pieces[:1], huge, *reply.pieces[1:])))


def _bom(request: Request, reply: Reply) -> Steps:
    """A byte order mark before the body, which event streams allow and JSON does not."""
    return normal(request, with_pieces(reply, (b"\xef\xbb\xbf" + reply.pieces[0], *reply.pieces[1:])))


def _bad_utf8(request: Request, reply: Reply) -> Steps:
    return normal(request, with_pieces(reply, (p.replace(b"quality", b"qual\xffity") for p in reply.pieces)))


def _broken_json(request: Request, reply: Reply) -> Steps:
    """A whole answer whose JSON stops half-way, with a length that fits."""
    return normal(request, with_pieces(reply, (piece[: len(piece) // 2] for piece in reply.pieces)))


def _extra_headers(headers: tuple[tuple[bytes, bytes], ...], request: Request, reply: Reply) -> Steps:
    return normal(request, replace(reply, headers=(*reply.headers, *headers)))


def _raw(top: bytes, request: Request, reply: Reply) -> Steps:
    """Literal bytes instead of a head, the body after it, then the connection ends."""
    yield reply.first
    yield top + b"".join(reply.pieces)
    yield PAUSE
    yield End.CLOSE


def _wrong_length(change: int, request: Request, reply: Reply) -> Steps:
    """A content-length that is `change` bytes off; where the body is too short, the connection ends."""
    body = b"".join(reply.pieces)
    yield reply.first
    yield head(request, reply, length=len(body) + change) + body
    yield PAUSE
    yield End.CLOSE if change > 0 else request.end


def _chunks(first: bytes, request: Request, reply: Reply) -> Steps:
    """Chunked with a first chunk as given."""
    yield reply.first
    yield head(request, reply, chunked=True) + first
    yield b"".join(map(chunk, reply.pieces)) + LAST_CHUNK
    yield request.end


_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

CORRUPTIONS: dict[str, Fault] = {
    "garbage_sse": _garbage_sse,
    "split_utf8": _split_utf8,
    "crlf_events": partial(_line_ends, b"\r\n"),
    "cr_events": partial(_line_ends, b"\r"),
    "usage_in_last_choice": _usage_in_last_choice,
    "usage_unasked": _usage_unasked,
    "no_usage": _no_usage,
    "error_event": _error_event,
    "huge_event": _huge_event,
    "bom": _bom,
    "bad_utf8": _bad_utf8,
    "broken_json": _broken_json,
    "many_headers": partial(_extra_headers, tuple((b"x-many-%d" % i, b"1") for i in range(200))),
    "huge_header": partial(_extra_headers, ((b"x-huge", b"x" * 200_000),)),
    "hop_headers": partial(
        _extra_headers, ((b"connection", b"x-hop"), (b"x-hop", b"1"), (b"keep-alive", b"timeout=5"))
    ),
    "set_cookie": partial(_extra_headers, ((b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"))),
    "short_body": partial(_wrong_length, 10),
    "long_body": partial(_wrong_length, -10),
    "two_lengths": partial(_raw, _OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\n"),
    "length_and_chunked": partial(_raw, _OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"),
    "bad_status_line": partial(_raw, b"HTTP/1.1 OK 200\r\n\r\n"),
    "not_http": partial(_raw, b"SSH-2.0-OpenSSH_9.9\r\n"),
    "nul_header": partial(_raw, _OK + b"x-nul: a\0b\r\ncontent-length: 0\r\n\r\n"),
    "folded_header": partial(_raw, _OK + b"x-folded: a\r\n b\r\n\r\n"),
    "bad_chunk": partial(_chunks, b"zz\r\nx\r\n"),
    "chunk_extension": partial(_chunks, b"1;name=value\r\n \r\n"),
}
