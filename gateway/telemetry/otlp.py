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
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


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


def _tag(field: int, kind: int) -> bytes:
    return varint(field << 3 | kind)


def _field(field: int, value: bytes) -> bytes:
    return _tag(field, _BYTES) + varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _field(field, value.encode("utf-8", "replace"))


_STRING, _BOOL, _INT, _DOUBLE = _tag(1, _BYTES), _tag(2, _VARINT), _tag(3, _VARINT), _tag(4, _FIXED64)
_SAMPLED = struct.pack("<I", SAMPLED)
_FLAGS = _tag(6, _FIXED32) + _SAMPLED  # of Link
_VALUE = _tag(2, _BYTES)  # of KeyValue
_DOUBLE_PACK = struct.Struct("<d").pack
_NANOSECONDS = struct.Struct("<Q").pack
_key = lru_cache(maxsize=256)(partial(_text, 1))  # names of attributes are few


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
    return _field(5, b"".join(_field(1, _value(item)) for item in value))


def _attributes(field: int, attributes: Mapping[str, Value]) -> bytes:
    """Repeated KeyValue."""
    tag = _tag(field, _BYTES)
    parts: list[bytes] = []
    for name, given in attributes.items():
        key, value = _key(name), _value(given)
        size = varint(len(value))
        parts += (tag, varint(len(key) + 1 + len(size) + len(value)), key, _VALUE, size, value)
    return b"".join(parts)


def _event(event: Event) -> bytes:
    at = _tag(1, _FIXED64) + _NANOSECONDS(event.at)
    return at + _text(2, event.name) + _attributes(3, event.attributes)


def _link(link: Link) -> bytes:
    return _field(1, link.trace) + _field(2, link.span) + _FLAGS


def encode_span(span: Span) -> bytes:
    """As a field of ScopeSpans."""
    parts = [_field(1, span.trace), _field(2, span.span)]
    if span.state:
        parts.append(_text(3, span.state))
    if span.parent:
        parts.append(_field(4, span.parent))
    parts += [
        _text(5, span.name),
        _tag(6, _VARINT) + varint(span.kind),
        _tag(7, _FIXED64) + _NANOSECONDS(span.start),
        _tag(8, _FIXED64) + _NANOSECONDS(span.end),
        _attributes(9, span.attributes),
        *(_field(11, _event(event)) for event in span.events),
        *(_field(13, _link(link)) for link in span.links),
    ]
    if span.error is not None:
        parts.append(_field(15, _text(2, span.error) + _tag(3, _VARINT) + varint(ERROR)))
    parts.append(_tag(16, _FIXED32) + _SAMPLED)
    return _field(2, b"".join(parts))


def request(spans: Iterable[bytes], resource: Mapping[str, Value], scope: str) -> bytes:
    """ExportTraceServiceRequest of spans that `encode_span` made."""
    scoped = _field(1, _text(1, scope)) + b"".join(spans)
    return _field(1, _field(1, _attributes(1, resource)) + _field(2, scoped))
