"""A head means the same after any others on its connection."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import ClientError
from gateway.proxy.beginnings import LEAST_LINES, MOST, Beginnings
from gateway.proxy.framing import KNOWN_BYTES, HeadParser
from gateway.proxy.header_lines import HeaderLines
from gateway.settings import Limits

SDK = b"Host: a\r\nAccept: */*\r\nUser-Agent: x\r\nAuthorization: Bearer k\r\n"
LINES = [
    b"Content-Length: 5",
    b"Content-Length: 7",
    b"content-length: +5",
    b"Content-Length: 5, 5",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: upgrade",
    b"Expect: 100-continue",
    b"Host: b",
    b"X-Session-Id: s-1",
    b"X-Session-Id: s-2",
    b" folded",
    b"Accept: text/plain",
    b"X: " + b"y" * 40,
]
STARTS = [b"POST /v1/x HTTP/1.1\r\n", b"GET /v1/x?a=b HTTP/1.1\r\n", b"POST /v1/x HTTP/1.0\r\n"]
HEADS = st.builds(
    lambda start, first, lines: start + first + b"".join(line + b"\r\n" for line in lines) + b"\r\n",
    st.sampled_from(STARTS),
    st.sampled_from([SDK, SDK, SDK[9:], SDK + b"Connection: close\r\n", SDK + b"Content-Length: 5\r\n"]),
    st.lists(st.sampled_from(LINES), max_size=4),
)
FEW = Limits(headers=8)


def meaning(parser: HeadParser, block: bytes) -> object:
    try:
        head = parser.parse(block, 1.0)
    except ClientError as error:
        return type(error), str(error)
    read = head.method, head.path, head.query, head.version, head.headers, head.length, head.received
    return (*read, parser.keep_alive, parser.waits)


def parser(beginnings: Beginnings) -> HeadParser:
    return HeadParser(FEW, HeaderLines(), beginnings)


@settings(max_examples=600, deadline=None)
@given(st.lists(HEADS, min_size=1, max_size=7))
@example([STARTS[0] + SDK + b"Content-Length: 5\r\n\r\n"] * 3)
def test_a_head_means_the_same_after_any_others(blocks: list[bytes]) -> None:
    shared = Beginnings()
    one, other = parser(shared), parser(shared)
    for block in blocks:
        alone = meaning(parser(Beginnings()), block)
        assert meaning(one, block) == alone
        for _ in range(2):  # its own beginning is known then, where it has one
            assert meaning(other, block) == alone


def test_from_the_third_head_on_the_beginning_is_known() -> None:
    shared = Beginnings()
    one, other = parser(shared), parser(shared)
    heads = [STARTS[0] + SDK + b"x: %d\r\n\r\n" % number for number in range(3)]
    known = [one.parse(head, 0.0).known for head in heads]
    assert known[:2] == [None, None]
    assert known[2] is not None
    assert known[2].headers == [
        (b"host", b"a"),
        (b"accept", b"*/*"),
        (b"user-agent", b"x"),
        (b"authorization", b"Bearer k"),
    ]
    assert [other.parse(head, 0.0).known for head in heads][2] is known[2]
    assert one.parse(STARTS[1] + SDK + b"\r\n", 0.0).known is None


def test_where_heads_differ_what_they_have_in_common_stays_known() -> None:
    """Sessions of three turns each: only the first one's line is ever part of what is known."""
    shared = Beginnings()
    one = parser(shared)
    lines = [b"session: s-%d\r\nx: %d\r\n\r\n" % (number // 3, number) for number in range(30)]
    heads = [STARTS[0] + SDK + line for line in lines]
    known = [one.parse(head, 0.0).known for head in heads]
    assert known[2] is not None and len(known[2].headers) == 5
    assert known[4] is not None and len(known[4].headers) == 4
    assert set(known[4:]) == {known[4]}
    assert len(shared._known) == 2


@pytest.mark.parametrize("lines", [LEAST_LINES - 1, LEAST_LINES])
def test_what_is_short_is_not_learned(lines: int) -> None:
    one = parser(Beginnings())
    block = STARTS[0] + b"".join(SDK.splitlines(keepends=True)[:lines])
    known = [one.parse(block + b"x: %d\r\n\r\n" % number, 0.0).known for number in range(3)]
    assert (known[2] is not None) == (lines >= LEAST_LINES)


def test_what_is_known_is_bounded() -> None:
    shared = Beginnings()
    for number in range(MOST + 10):
        one = parser(shared)
        for turn in range(3):
            one.parse(STARTS[0] + SDK + b"y: %d\r\nx: %d\r\n\r\n" % (number, turn), 0.0)
    assert 0 < len(shared._known) <= MOST


def test_a_large_head_is_not_kept() -> None:
    shared = Beginnings()
    one = parser(shared)
    for number in range(3):
        head = one.parse(STARTS[0] + SDK + b"y: %b\r\nx: %d\r\n\r\n" % (b"z" * KNOWN_BYTES, number), 0.0)
        assert head.known is None
    assert not shared._known
    assert one._before == b""
