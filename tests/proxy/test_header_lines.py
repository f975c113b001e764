"""Lines that were seen before mean what llhttp says they mean, and what is not plain is left to it."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.header_lines import MOST_BYTES, MOST_LINES, HeaderLines
from gateway.wire.written import TIMES

NOT_PLAIN = [
    b"",
    b" folded: line",
    b"no colon",
    b"white space : x",
    b": no name",
    b"name: a\nb",
    b"name: a\rb",
    b"name: a\0b",
    b"transfer-encoding: chunked",
    b"Upgrade: h2c",
    b"expect: 100-continue",
    b"connection: upgrade, http2-settings",
    b"content-length: +5",
    b"content-length: 5, 5",
    b"content-length: " + b"1" * 19,
]


class Heard:
    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))


@pytest.mark.parametrize("line", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_llhttp(line: bytes) -> None:
    assert HeaderLines().read([b"a: b", line]) is None


@given(
    st.lists(
        st.binary(max_size=30) | st.from_regex(rb"[A-Za-z-]{1,8}:[ -~\t\x80-\xff]{0,12}", fullmatch=True)
    )
)
def test_a_plain_line_means_what_llhttp_reads_in_it(lines: list[bytes]) -> None:
    seen = HeaderLines()
    found = [line for line in lines if all(seen.read([line]) is not None for _ in range(TIMES))]
    heard = Heard()
    parser = httptools.HttpRequestParser(heard)
    for line in found:
        if not line.lower().startswith((b"content-length", b"connection")):
            httptools.HttpRequestParser(Heard()).feed_data(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n")
    plain = [line for line in found if not line.lower().startswith((b"content-length", b"connection"))]
    parser.feed_data(b"GET / HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in plain) + b"\r\n")
    assert heard.headers == seen.read(plain) == HeaderLines().read(plain)


def test_what_is_kept_is_bounded() -> None:
    lines = HeaderLines()
    for number in range(MOST_LINES + 10):
        for _ in range(TIMES):
            assert lines.read([b"x-request: %d" % number]) == [(b"x-request", b"%d" % number)]
    assert 0 < len(lines._known) <= MOST_LINES
    long = b"cookie: " + b"x" * MOST_BYTES
    assert lines.read([long]) == [(b"cookie", b"x" * MOST_BYTES)]
