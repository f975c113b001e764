"""What is written by hand is what opentelemetry-proto's own classes read."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.telemetry.otlp import encode_span, request
from gateway.telemetry.spans import Event, Link, Span
from tests.support.collector import attributes

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
VALUES = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(TEXT, max_size=4),
)
ATTRIBUTES = st.dictionaries(TEXT, VALUES, max_size=6)
NANOSECONDS = st.integers(0, 2**64 - 1)
EVENTS = st.builds(Event, TEXT, NANOSECONDS, ATTRIBUTES)
SPANS = st.builds(
    Span,
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=8, max_size=8),
    st.sampled_from([b"", b"12345678"]),
    TEXT,
    TEXT,
    NANOSECONDS,
    NANOSECONDS,
    ATTRIBUTES,
    st.lists(EVENTS, max_size=2).map(tuple),
    st.none() | TEXT,
    st.sampled_from([1, 3]),
    st.lists(st.builds(Link, st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8))).map(
        tuple
    ),
)


def read(spans: list[Span], resource: dict[str, Any]) -> Any:
    message = ExportTraceServiceRequest.FromString(request(map(encode_span, spans), resource, "scope"))
    (found,) = message.resource_spans
    return found


@given(st.lists(SPANS, max_size=3), ATTRIBUTES)
def test_every_span_is_read_back(spans: list[Span], resource: dict[str, Any]) -> None:
    found = read(spans, resource)
    assert attributes(found.resource) == resource
    (scope,) = found.scope_spans
    assert scope.scope.name == "scope"
    for got, span in zip(scope.spans, spans, strict=True):
        assert (got.trace_id, got.span_id, got.parent_span_id) == (span.trace, span.span, span.parent)
        assert (got.trace_state, got.name, got.kind) == (span.state, span.name, span.kind)
        assert (got.start_time_unix_nano, got.end_time_unix_nano) == (span.start, span.end)
        assert attributes(got) == span.attributes
        assert got.flags == 1
        assert [(link.trace_id, link.span_id, link.flags) for link in got.links] == [
            (*link, 1) for link in span.links
        ]
        assert [(event.name, event.time_unix_nano, attributes(event)) for event in got.events] == [
            tuple(event) for event in span.events
        ]
        assert got.status.code == (got.status.STATUS_CODE_UNSET if span.error is None else 2)
        assert got.status.message == (span.error or "")


def test_a_lone_surrogate_is_replaced() -> None:
    span = Span(b"t" * 16, b"s" * 8, b"", "", "chat \ud800", 1, 2, {})
    assert read([span], {}).scope_spans[0].spans[0].name == "chat ?"
