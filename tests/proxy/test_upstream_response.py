"""Responses from bytes: every split, every framing, and what is refused."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import UpstreamBroken
from gateway.proxy.upstream_response import ResponseReader

LIMIT = 4096
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

# name: (bytes, status, body, connection is reusable)
GOOD = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", True),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b"", True),
    "no reason": (b"HTTP/1.1 200 \r\ncontent-length: 1\r\n\r\nx", 200, b"x", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304 with the length of what is not sent": (
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n",
        304,
        b"",
        True,
    ),
    "chunked": (CHUNKED + b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n", 200, b"abcde", True),
    "chunked, with trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nx-cost: 1\r\n\r\n", 200, b"abc", True),
    "chunked, empty": (CHUNKED + b"0\r\n\r\n", 200, b"", True),
    "chunked by another spelling": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding:  Chunked \r\n\r\n1\r\na\r\n0\r\n\r\n",
        200,
        b"a",
        True,
    ),
    "100 before": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
    ),
    "many 1xx before": (
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 20
        + b"HTTP/1.1 102 Processing\r\n\r\n"
        + CHUNKED
        + b"2\r\nok\r\n0\r\n\r\n",
        200,
        b"ok",
        True,
    ),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\ncontent-length: 2\r\n\r\nok", 200, b"ok", False),
    "1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, b"ok", False),
    "1.0 keep-alive": (
        b"HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
    ),
    "1.0 keep-alive and close": (
        b"HTTP/1.0 200 OK\r\nconnection: close\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
        200,
        b"ok",
        False,
    ),
    "1.0 chunked is faulty": (
        CHUNKED.replace(b"1.1", b"1.0").replace(b"OK\r\n", b"OK\r\nconnection: keep-alive\r\n")
        + b"2\r\nok\r\n0\r\n\r\n",
        200,
        b"ok",
        False,
    ),
    "an upgrade is offered": (
        b"HTTP/1.1 200 OK\r\nupgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
    ),
    "unknown status": (b"HTTP/1.1 799 Odd\r\ncontent-length: 2\r\n\r\nok", 799, b"ok", True),
}


def read(pieces: list[bytes], *, answers_head: bool = False) -> tuple[ResponseReader, bytes]:
    reader = ResponseReader(LIMIT, answers_head=answers_head)
    body = b"".join([reader.feed(piece) for piece in pieces])
    return reader, body


@pytest.mark.parametrize("name", GOOD)
def test_it_reads_whole_and_byte_by_byte_and_at_every_split(name: str) -> None:
    data, status, body, reusable = GOOD[name]
    ways = [[data[:at], data[at:]] for at in range(1, len(data))]
    for pieces in [[data], *ways]:
        reader, got = read(pieces)
        assert reader.head is not None
        assert (reader.head.status, got, reader.complete) == (status, body, True)
        if len(pieces[-1]) >= 5 or b"chunked" not in data.lower():
            assert reader.reusable is reusable
    reader, got = read([bytes([byte]) for byte in data])
    assert (got, reader.complete) == (body, True)


def test_a_chunked_end_too_short_to_judge_costs_the_connection_only() -> None:
    data = CHUNKED + b"1\r\na\r\n0\r\n\r\n"
    reader, body = read([data[:-2], data[-2:]])
    assert (body, reader.complete, reader.reusable) == (b"a", True, False)


def test_names_are_lower_case_and_values_as_sent() -> None:
    reader, _ = read(
        [
            b"HTTP/1.1 200 Fine thanks\r\nX-Odd:  A b\tc \t\r\nX-Empty:\r\nX-Odd: 2\r\n"
            b"content-length: 0\r\n\r\n"
        ]
    )
    assert reader.head is not None
    assert reader.head.reason == b"Fine thanks"
    assert reader.head.headers == [
        (b"x-odd", b"A b\tc"),
        (b"x-empty", b""),
        (b"x-odd", b"2"),
        (b"content-length", b"0"),
    ]


@pytest.mark.parametrize("framing", [b"content-length: 9", b"transfer-encoding: chunked", b"x: y"])
def test_an_answer_to_head_ends_with_its_head(framing: bytes) -> None:
    reader, body = read([b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n"], answers_head=True)
    assert (body, reader.complete, reader.reusable) == (b"", True, True)
    reader, body = read([b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\nhello"], answers_head=True)
    assert (body, reader.complete, reader.reusable) == (b"", True, False)


def test_the_length_is_told_where_there_is_one() -> None:
    lengths = []
    for framing in (b"content-length: 9", b"transfer-encoding: chunked", b"x: y"):
        reader, _ = read([b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n"])
        assert reader.head is not None
        lengths.append(reader.head.length)
    assert lengths == [9, None, None]


def test_a_body_without_framing_ends_with_the_connection() -> None:
    reader, body = read([b"HTTP/1.1 200 OK\r\n\r\n", b"he", b"llo"])
    assert (body, reader.complete) == (b"hello", False)
    assert reader.end_of_file()
    assert (reader.complete, reader.reusable) == (True, False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
        CHUNKED,
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
    ],
)
def test_a_cut_answer_is_no_whole_one(data: bytes) -> None:
    reader, _ = read([data])
    assert not reader.end_of_file()
    assert not reader.complete


@pytest.mark.parametrize(
    "extra", [b"\n", b"\r\n", b"\r\n\r\n", b"x", b"\x00", GOOD["length"][0], CHUNKED + b"1\r\nz\r\n"]
)
@pytest.mark.parametrize("name", [name for name in GOOD if GOOD[name][3]])
def test_a_byte_too_many_costs_the_connection_and_is_never_body(name: str, extra: bytes) -> None:
    data, _, body, _ = GOOD[name]
    reader, got = read([data + extra])
    assert (got, reader.complete, reader.reusable) == (body, True, False)


BAD = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n",
    "lower case": b"http/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "blank line first": b"\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "101 without upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
    "list of lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\n\r\nabc",
    "signed length": b"HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc",
    "empty length": b"HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nabc",
    "length of words": b"HTTP/1.1 200 OK\r\ncontent-length: 3 4\r\n\r\nabc",
    "length beyond 64 bits": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nabc",
    "length and chunked": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
    "chunked and length": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nabc",
    "gzip": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\na : b\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\na: b\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\na: b\x00\r\n\r\n",
    "bad chunk size": CHUNKED + b"xyz\r\n",
    "signed chunk size": CHUNKED + b"+3\r\nabc\r\n",
    "chunk longer than it says": CHUNKED + b"2\r\nabc\r\n",
    "chunk size beyond 64 bits": CHUNKED + b"fffffffffffffffff\r\n",
    "bare LF in a chunk": CHUNKED + b"3\nabc\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_response_is_refused(name: str) -> None:
    data = BAD[name]
    with pytest.raises(UpstreamBroken):
        read([data])
    with pytest.raises(UpstreamBroken):
        read([bytes([byte]) for byte in data])


def test_a_head_is_bounded_however_it_comes() -> None:
    head = b"HTTP/1.1 200 OK\r\nx: %b\r\ncontent-length: 0\r\n\r\n"
    fits = head % (b"y" * (LIMIT - len(head) + 2))
    assert len(fits) == LIMIT
    assert read([fits])[0].complete
    over = head % (b"y" * (LIMIT - len(head) + 3))
    for pieces in ([over], [over[:100], over[100:]], [over[:-1], over[-1:]]):
        with pytest.raises(UpstreamBroken, match="exceeds 4096 bytes"):
            read(pieces)


def test_a_large_body_in_the_heads_read_is_not_the_head() -> None:
    body = b"x" * (3 * LIMIT)
    _, got = read([b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)])
    assert got == body


def test_1xx_without_end_are_bounded() -> None:
    with pytest.raises(UpstreamBroken, match="exceeds 4096 bytes"):
        read([b"HTTP/1.1 102 Processing\r\n\r\n"] * 200)


@pytest.mark.parametrize("start", [b"1;", b"0\r\nx: "])
def test_chunk_framing_without_end_is_bounded(start: bytes) -> None:
    with pytest.raises(UpstreamBroken, match="without end"):
        read([CHUNKED, start, *[b"y" * 100] * 100])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=200), max_size=8), st.data())
def test_any_chunks_split_anywhere_are_the_same_body(chunks: list[bytes], data: st.DataObject) -> None:
    wire = CHUNKED + b"".join([b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]) + b"0\r\n\r\n"
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=8))
    reader, body = read([wire[a:b] for a, b in pairwise(sorted([0, *cuts, len(wire)]))])
    assert body == b"".join(chunks)
    assert reader.complete


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.integers(0, 200), st.binary(max_size=3), st.integers(1, 60))
def test_damaged_answers_are_read_or_refused(name: str, at: int, junk: bytes, cut: int) -> None:
    whole = GOOD[name][0]
    wire = whole[: at % len(whole)] + junk + whole[at % len(whole) + len(junk) :]
    reader = ResponseReader(LIMIT)
    try:
        for piece in (wire[:cut], wire[cut:]):
            if not reader.complete:
                reader.feed(piece)
    except UpstreamBroken:
        pass


RESPONSE_LINES = [
    b"content-length: 3",
    b"Content-Length: 4",
    b"content-length: x",
    b"connection: close",
    b"Connection: keep-alive",
    b"connection: x-a",
    b"transfer-encoding: chunked",
    b"content-type: text/event-stream; charset=utf-8",
    b"x-a: \xe9 b ",
    b"date:",
    b" folded",
    b"bad name: x",
    b"upgrade: h2c",
]
STATUSES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 404 ",
    b"HTTP/1.1 500",
    b"HTTP/1.1 099 X",
]


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(STATUSES) | st.from_regex(rb"HTTP/1\.1 [2-5][0-9]{2} [ -~]{0,8}", fullmatch=True),
    st.lists(st.sampled_from(RESPONSE_LINES), max_size=5),
    st.booleans(),
)
def test_a_plain_head_means_what_llhttp_reads_in_it(status: bytes, lines: list[bytes], answers: bool) -> None:
    wire = b"\r\n".join([status, *lines, b"", b""])
    plain, judged = (ResponseReader(LIMIT, answers_head=answers) for _ in range(2))
    if not plain._read_plain(wire):
        return
    assert judged._read_any(wire)
    for reader in (plain, judged):
        assert reader.head is not None
    one, other = [
        (reader.head.status, reader.head.reason, reader.head.headers, reader.head.length, reader.complete)
        for reader in (plain, judged)
        if reader.head is not None
    ]
    assert one == other
    assert plain.reusable == judged.reusable
    assert plain._left == judged._left
