"""The `traceparent` header of W3C Trace Context (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from gateway.wire import Headers

_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_SAMPLED = 1


class Context(NamedTuple):
    """Whose child a span is. Ids are bytes, 16 and 8 of them."""

    trace: bytes
    span: bytes
    sampled: bool


def parse(value: bytes | None) -> Context | None:
    """None for what is no valid header (section 3.2.2): a new trace begins.

    >>> parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").sampled
    True
    >>> parse(b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01")
    """
    match = None if value is None else _FORM.match(value)
    if match is None:
        return None
    version, trace, span, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more) or not trace.strip(b"0") or not span.strip(b"0"):
        return None
    return Context(
        bytes.fromhex(trace.decode()), bytes.fromhex(span.decode()), bool(int(flags, 16) & _SAMPLED)
    )


def trace_of(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The trace that a request says it belongs to."""
    context = parse(headers.get(b"traceparent"))
    return None if context is None else context.trace


def put(headers: Headers, trace: bytes, span: bytes, *, begun: bool) -> Headers:
    """The headers with a sampled span of ours as the parent. `begun`: the trace is ours, so a `tracestate`
    that came belongs to no trace (section 3.3.1)."""
    dropped = (b"traceparent", b"tracestate") if begun else (b"traceparent",)
    ours = b"00-%b-%b-01" % (trace.hex().encode(), span.hex().encode())
    return [*(pair for pair in headers if pair[0] not in dropped), (b"traceparent", ours)]
