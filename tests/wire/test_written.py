"""A header's line is the same whether it was seen before or not, and what is kept is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.written import MOST_BYTES, MOST_LINES, TIMES, KnownHeaders, WrittenLines, line_of

NAMES = st.sampled_from([b"accept", b"x-session-id", b"content-type", b"x"])
VALUES = st.binary(max_size=8).filter(lambda value: not set(value) & set(b"\r\n\0"))
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


@given(st.lists(HEADERS, max_size=6), st.integers(0, 8))
def test_a_line_is_the_same_whenever_it_comes(heads: list[list[tuple[bytes, bytes]]], known: int) -> None:
    lines = WrittenLines()
    for headers in heads * (TIMES + 1):
        expected = b"".join(b"%b: %b\r\n" % header for header in headers)
        begin = KnownHeaders(headers[:known])
        assert lines.block(headers) == lines.block(headers, begin) == lines.block(headers, begin) == expected


@pytest.mark.parametrize("bad", [b"a\nb", b"a\rb", b"a\0b"])
def test_what_would_end_a_line_is_refused_each_time(bad: bytes) -> None:
    lines = WrittenLines()
    for _ in range(3):
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            lines.block([(b"x", bad)])
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            line_of((bad, b"x"))


def test_what_comes_a_few_times_is_not_kept_and_what_is_kept_is_bounded() -> None:
    lines = WrittenLines()
    usual = (b"accept", b"*/*")
    for number in range(20_000):
        lines.block([usual, (b"x-session-id", b"%d" % (number // (TIMES - 1)))])
    assert usual in lines._known
    assert len(lines._known) < 10
    for number in range(2 * MOST_LINES):
        for _ in range(TIMES):
            lines.block([(b"x", b"%d" % number)])
    assert len(lines._known) <= MOST_LINES
    long = (b"x", b"y" * MOST_BYTES)
    for _ in range(TIMES + 1):
        lines.block([long])
    assert long not in lines._known
