"""W3C Trace Context: what is a valid parent, and what goes on."""

import doctest

import pytest

from gateway.wire import traceparent
from gateway.wire.traceparent import parse, put

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"


def test_doctests() -> None:
    assert doctest.testmod(traceparent).failed == 0


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (b"00-%b-%b-01" % (TRACE, SPAN), True),
        (b"00-%b-%b-00" % (TRACE, SPAN), False),
        (b"00-%b-%b-03" % (TRACE, SPAN), True),
        (b"cc-%b-%b-01" % (TRACE, SPAN), True),
        (b"cc-%b-%b-01-more" % (TRACE, SPAN), True),
    ],
)
def test_a_valid_parent(value: bytes, sampled: bool) -> None:
    context = parse(value)
    assert context == (bytes.fromhex(TRACE.decode()), bytes.fromhex(SPAN.decode()), sampled)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"00-%b-%b" % (TRACE, SPAN),
        b"00-%b-%b-01-more" % (TRACE, SPAN),
        b"00-%b-%b-1" % (TRACE, SPAN),
        b"ff-%b-%b-01" % (TRACE, SPAN),
        b"00-%b-%b-01" % (b"0" * 32, SPAN),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"00-%b-%b-01" % (TRACE.upper(), SPAN),
        b"00-%b-%b-01\n" % (TRACE, SPAN),
    ],
)
def test_no_valid_parent(value: bytes | None) -> None:
    assert parse(value) is None


def test_our_span_takes_the_place_of_the_parent() -> None:
    headers = [(b"a", b"1"), (b"traceparent", b"old"), (b"tracestate", b"x=1"), (b"baggage", b"k=v")]
    ours = (b"traceparent", b"00-%b-%b-01" % (b"ab" * 16, b"cd" * 8))
    trace, span = b"\xab" * 16, b"\xcd" * 8
    assert put(headers, trace, span, begun=False) == [headers[0], headers[2], headers[3], ours]
    assert put(headers, trace, span, begun=True) == [headers[0], headers[3], ours]
