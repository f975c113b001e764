"""Spans as OTLP, which is protobuf (https://protobuf.dev/programming-guides/encoding): the few messages of
opentelemetry/proto/collector/trace/v1 that a span needs, with their field numbers, written directly. Tests
read them back with opentelemetry-proto's own classes; see docs/adr/0012 for why it is not used here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial

from gateway.telemetry.spans import Event, Link, Span, Value

ERROR = 2  # Status.StatusCode
SAMPLED = 1  # Span.flags
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(number: int) -> bytes:
    """`number`: 0 or more, or an int64, whose two's complement is written.

    >>> varint(300).hex(), len(varint(-1))
    ('ac02', 10)
    """
    if 0 <= number < 128:
        return _SMALL[number]
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL = tuple(bytes((number,)) for number in range(128))


def tag(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def field(number: int, value: bytes) -> bytes:
    return tag(number, BYTES) + varint(len(value)) + value


def text(number: int, value: str) -> bytes:
    return field(number, value.encode("utf-8", "replace"))


_STRING, _BOOL, _INT, _DOUBLE = tag(1, BYTES), tag(2, VARINT), tag(3, VARINT), tag(4, FIXED64)
_SAMPLED = struct.pack("<I", SAMPLED)
_FLAGS = tag(6, FIXED32) + _SAMPLED  # of Link
_VALUE = tag(2, BYTES)  # of KeyValue
_DOUBLE_PACK = struct.Struct("<d").pack
_NANOSECONDS = struct.Struct("<Q").pack
_key = lru_cache(maxsize=256)(partial(text, 1))  # names of attributes are few


def _value(value: Value) -> bytes:
    """AnyValue."""
    if isinstance(value, str):
        data = value.encode("utf-8", "replace")
        return _STRING + varint(len(data)) + data
    if isinstance(value, bool):
        return _BOOL + varint(value)
    if isinstance(value, int):
        return _INT + varint(value)
    if isinstance(value, float):
        return _DOUBLE + _DOUBLE_PACK(value)
    return field(5, b"".join(field(1, _value(item)) for item in value))


def attributes(number: int, pairs: Mapping[str, Value]) -> bytes:
    """Repeated KeyValue."""
    begin = tag(number, BYTES)
    parts: list[bytes] = []
    for name, given in pairs.items():
        key, value = _key(name), _value(given)
        size = varint(len(value))
        parts += (begin, varint(len(key) + 1 + len(size) + len(value)), key, _VALUE, size, value)
    return b"".join(parts)


def _event(event: Event) -> bytes:
    at = tag(1, FIXED64) + _NANOSECONDS(event.at)
    return at + text(2, event.name) + attributes(3, event.attributes)


def _link(link: Link) -> bytes:
    return field(1, link.trace) + field(2, link.span) + _FLAGS


def encode_span(span: Span) -> bytes:
    """As a field of ScopeSpans."""
    parts = [field(1, span.trace), field(2, span.span)]
    if span.state:
        parts.append(text(3, span.state))
    if span.parent:
        parts.append(field(4, span.parent))
    parts += [
        text(5, span.name),
        tag(6, VARINT) + varint(span.kind),
        tag(7, FIXED64) + _NANOSECONDS(span.start),
        tag(8, FIXED64) + _NANOSECONDS(span.end),
        attributes(9, span.attributes),
        *(field(11, _event(event)) for event in span.events),
        *(field(13, _link(link)) for link in span.links),
    ]
    if span.error is not None:
        parts.append(field(15, text(2, span.error) + tag(3, VARINT) + varint(ERROR)))
    parts.append(tag(16, FIXED32) + _SAMPLED)
    return field(2, b"".join(parts))


def request(spans: Iterable[bytes], resource: Mapping[str, Value], scope: str) -> bytes:
    """ExportTraceServiceRequest of spans that `encode_span` made."""
    scoped = field(1, text(1, scope)) + b"".join(spans)
    return field(1, field(1, attributes(1, resource)) + field(2, scoped))
