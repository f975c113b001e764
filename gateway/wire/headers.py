"""Headers on their way through (RFC 9110 section 7.6): what concerns one connection stays behind.

Framing (`content-length`, `transfer-encoding`) and `connection` are written by whoever owns the connection,
so they are dropped here in both directions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from gateway.errors import MalformedRequest
from gateway.wire import Headers
from gateway.wire.written import KnownHeaders

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
OURS: Final = frozenset({b"x-prompt", b"x-prompt-variables"})
RESPONSE_OURS = frozenset(
    {
        b"x-prompt-name",
        b"x-prompt-version",
        b"x-prompt-arm",
        b"x-prompt-rollout",
        b"x-prompt-reason",
        b"x-upstream-request-id",
    }
)

REQUEST_DROP: Final = HOP_BY_HOP | OURS | {b"host", b"expect"}  # expect is answered by the edge
MANAGED_DROP: Final = REQUEST_DROP | {b"accept-encoding", b"content-encoding"}
_STREAM_DROP: Final = frozenset({b"cache-control", b"x-accel-buffering"})
_STREAM_ADD: Final[Headers] = [(b"x-accel-buffering", b"no"), (b"cache-control", b"no-cache")]
USUAL_CONNECTION: Final = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})
_NONE: Final[frozenset[bytes]] = frozenset()
_NO_HEADERS: Final[Headers] = []
ONCE = (b"x-prompt", b"x-prompt-variables", b"content-encoding")  # must be unambiguous


def request_block(
    headers: Headers,
    host: bytes,
    *,
    added: Headers = _NO_HEADERS,
    dropped: frozenset[bytes] = _NONE,
    managed: bool = False,
) -> bytes:
    """Header lines for the upstream, each with its CRLF, without framing and without the blank line.

    Those named in `dropped` are not forwarded, `added` are put in. A `managed` body has been decoded and is
    answered in the clear: no content-encoding, and accept-encoding is identity. Raises `MalformedRequest` for
    a name or value that would end its line.
    """
    drop = MANAGED_DROP if managed else REQUEST_DROP
    if dropped:
        drop = drop | dropped
    lines = [b"host: " + host]
    named = _NONE
    for header in headers:
        if header[0] not in drop:
            lines.append(b": ".join(header))
        elif header[0] == b"connection" and header[1] not in USUAL_CONNECTION:
            named = named | connection_named(header[1])
    if named - drop:
        lines = lines[:1] + [b": ".join(header) for header in headers if header[0] not in drop | named]
    if managed:
        lines.append(b"accept-encoding: identity")
    for header in added:
        lines.append(b": ".join(header))
    return _block(lines)


def single(headers: Headers, begin: KnownHeaders | None = None) -> dict[bytes, bytes]:
    """The first value of each; `begin`: what `headers` begin with, if that is known. Raises
    `MalformedRequest` for a repeated one that must be unambiguous."""
    if begin is not None and begin.unique:
        found = begin.values.copy()
        for name, value in headers[len(begin.headers) :]:
            found[name] = value
    else:
        found = dict(headers)
    if len(found) < len(headers):
        names = [name for name, _ in headers]
        for name in ONCE:
            if names.count(name) > 1:
                shown = name.decode()
                raise MalformedRequest(f"header {shown} is there more than once; send it once", param=shown)
        found = dict(reversed(headers))
    return found


def _block(lines: list[bytes]) -> bytes:
    lines.append(b"")
    block = b"\r\n".join(lines)
    ends = len(lines) - 1
    if block.count(b"\n") != ends or block.count(b"\r") != ends or b"\0" in block:
        raise MalformedRequest("a header holds CR, LF or NUL")
    return block


def response_headers(headers: Headers, added: Iterable[tuple[bytes, bytes]], *, managed: bool) -> Headers:
    """The client's header list: hop-by-hop and Connection-named ones removed, and on managed routes `added`
    (see `prompt_headers`) put in, the upstream's `x-request-id` renamed to `x-upstream-request-id`, and event
    streams marked as not to be buffered."""
    drop = HOP_BY_HOP | RESPONSE_OURS if managed else HOP_BY_HOP
    stream = False
    for name, value in headers:
        if name == b"connection" and value not in USUAL_CONNECTION:
            drop = drop | connection_named(value)
        elif name == b"content-type":
            stream = managed and value[:17].lower() == b"text/event-stream"
    if stream:
        drop = drop | _STREAM_DROP
    kept = [header for header in headers if header[0] not in drop]
    if not managed:
        return kept
    kept = [(b"x-upstream-request-id", h[1]) if h[0] == b"x-request-id" else h for h in kept]
    kept += added
    return kept + _STREAM_ADD if stream else kept


def prompt_headers(
    prompt: str, version: int, arm: str, rollout: str, reason: str, request_id: bytes
) -> Headers:
    """What a managed response tells of itself. All values are names, numbers or ids, so none can break a
    line; without a rollout there is no such header."""
    return [*_told(prompt, version, arm, rollout, reason), (b"x-request-id", request_id)]


@lru_cache(maxsize=1024)  # few of them at a time
def _told(prompt: str, version: int, arm: str, rollout: str, reason: str) -> tuple[tuple[bytes, bytes], ...]:
    found = (
        (b"x-prompt-name", prompt.encode()),
        (b"x-prompt-version", b"%d" % version),
        (b"x-prompt-arm", arm.encode()),
        (b"x-prompt-reason", reason.encode()),
    )
    return (*found, (b"x-prompt-rollout", rollout.encode())) if rollout else found


def connection_named(value: bytes) -> frozenset[bytes]:
    """The header names that a Connection header lists."""
    return frozenset(name.strip().lower() for name in value.split(b","))
