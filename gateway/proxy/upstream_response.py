"""Reads one response from a provider's bytes, and the 1xx before it. No I/O: bytes in, head and body out.

The head is cut at its blank line and given to llhttp, which is strict about it (bare LF, obs-fold, NUL, two
lengths, a length beside chunked). The framing of the body is then decided here: counted bodies are passed on
without a copy and without the parser, chunked ones are llhttp's, all else lasts until the connection's end
(RFC 9112, 6.3). llhttp cannot be told that a response answers HEAD; cutting at the head makes that needless.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import httptools

from gateway.errors import UpstreamBroken
from gateway.proxy.base import Headers, ResponseHead
from gateway.proxy.header_lines import HeaderLines

HEAD_END: Final = b"\r\n\r\n"
FRAMING: Final = frozenset((b"content-length", b"transfer-encoding", b"connection"))
NEVER_A_BODY: Final = frozenset((204, 304))
USUAL_LINE: Final = 128  # bytes of a status line
TO_THE_END: Final = -1  # of the connection, where a length would stand
_STATUS: Final = re.compile(rb"HTTP/1\.1 ([2-9][0-9]{2})(?: ([\t -~\x80-\xff]*))?")
_LINES: Final = HeaderLines()


class _NextMessage(Exception):
    """llhttp starts on bytes after the response's end."""


class _Events:
    """What llhttp reports. `on_body` is the list's own append: no Python frame for each chunk."""

    __slots__ = ("done", "headers", "on_body", "pieces", "reason")

    def __init__(self) -> None:
        self.reason = b""
        self.headers: Headers | None = []
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append
        self.done = False

    def on_message_begin(self) -> None:
        if self.done:
            raise _NextMessage

    def on_status(self, part: bytes) -> None:
        self.reason += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.headers is not None:  # else a trailer: ignored
            self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_message_complete(self) -> None:
        self.done = True


class ResponseReader:
    """One response. Feed it until `complete`; then `reusable` says whether the connection may serve again
    as far as this response is concerned: keep-alive, framed, and not a byte left over.

    `limit` bounds the head in bytes, all 1xx included, and any run of chunk framing or trailers that yields
    no body. Names in `head` are lower case; framing and connection headers are in it, as sent.
    """

    __slots__ = (
        "_answers_head",
        "_buffer",
        "_events",
        "_head_left",
        "_left",
        "_limit",
        "_parser",
        "_quiet",
        "complete",
        "head",
        "reusable",
    )

    def __init__(self, limit: int, *, answers_head: bool = False) -> None:
        self.head: ResponseHead | None = None
        self.complete = False
        self.reusable = False
        self._limit = self._head_left = limit
        self._answers_head = answers_head
        self._buffer = b""
        self._left = TO_THE_END
        self._events: _Events | None = None  # of a chunked body
        self._parser: httptools.HttpResponseParser | None = None
        self._quiet = 0

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`. Raises `UpstreamBroken`; not to be called again after that."""
        if self.head is None:
            rest = self._read_heads(data)
            if not rest:
                return b""
            if self.complete:
                self.reusable = False
                return b""
            data = rest
        if self._events is not None:
            return self._read_chunks(self._events, data)
        if self._left == TO_THE_END:
            return data
        return self._read_counted(data)

    def end_of_file(self) -> bool:
        """The provider has sent all it will. True if that was the response's end."""
        if self.head is not None and self._events is None and self._left == TO_THE_END:
            self.complete = True
        return self.complete

    def _read_heads(self, data: bytes) -> bytes:
        """Heads up to and with the final one; what follows it. The 1xx count towards the limit."""
        if self._buffer:
            data = self._buffer + data
        while data:
            end = data.find(HEAD_END) + len(HEAD_END)
            cut = end < len(HEAD_END)
            if (len(data) if cut else end) > self._head_left:
                raise UpstreamBroken(f"the provider's response head exceeds {self._limit} bytes")
            if cut:
                break
            self._head_left -= end
            final = self._read_head(data[:end])
            data = data[end:]
            if final:
                self._buffer = b""
                return data
        self._buffer = data
        return b""

    def _read_head(self, data: bytes) -> bool:
        """Whether it was the final one."""
        return self._read_plain(data) or self._read_any(data)

    def _read_plain(self, data: bytes) -> bool:
        """A final head of plain lines only, whose body is not chunked; False for any other."""
        lines = data[:-4].split(b"\r\n")
        line = lines.pop(0)
        status, reason = _status(line) if len(line) <= USUAL_LINE else (0, b"")
        if not status:
            return False
        headers = _LINES.read(lines)
        if headers is None or sum([name == b"content-length" for name, _ in headers]) > 1:
            return False
        bodyless = self._answers_head or status in NEVER_A_BODY
        self._frame(headers, modern=True, bodyless=bodyless)
        self._begin(status, reason, headers, bodyless=bodyless)
        return True

    def _begin(self, status: int, reason: bytes, headers: Headers, *, bodyless: bool) -> None:
        self.head = ResponseHead(status, reason, headers, None if self._left < 0 else self._left)
        self.complete = bodyless or self._left == 0

    def _read_any(self, data: bytes) -> bool:
        """By llhttp."""
        if not data.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")):
            raise UpstreamBroken(f"the provider's answer is not HTTP/1.1: it begins with {data[:32]!r}")
        events = _Events()
        parser = httptools.HttpResponseParser(events)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise UpstreamBroken(f"the provider's response head is not valid HTTP: {error}") from error
        status = parser.get_status_code()
        if status < 100 or status == 101:
            raise UpstreamBroken(f"the provider answered with status {status}, which was not asked for")
        if status < 200:
            return False
        headers = events.headers or []
        events.headers = None
        bodyless = self._answers_head or status in NEVER_A_BODY
        chunked = self._frame(headers, modern=data.startswith(b"HTTP/1.1"), bodyless=bodyless)
        self._begin(status, events.reason, headers, bodyless=bodyless)
        if chunked and not self.complete:
            self._events, self._parser = events, parser
        return True

    def _frame(self, headers: Headers, *, modern: bool, bodyless: bool) -> bool:
        """Decide how the body ends and whether the connection lives on (RFC 9112, 6.3 and 9.3); whether it
        is chunked. A chunked body in HTTP/1.0 is faulty: it is read, and the connection closed."""
        chunked = False
        options: set[bytes] = set()  # of the connection
        for name, value in headers:
            if name not in FRAMING:
                continue
            if name == b"content-length":
                self._left = int(value)
            elif name == b"connection":
                options.update(token.strip() for token in value.lower().split(b","))
            elif not chunked and value.lower() == b"chunked":
                chunked = True
            else:
                raise UpstreamBroken(f"the provider's transfer-encoding {value[:64]!r} is not just 'chunked'")
        keep_alive = b"close" not in options and (modern or b"keep-alive" in options)
        self.reusable = keep_alive and (modern if chunked else bodyless or self._left >= 0)
        return chunked

    def _read_counted(self, data: bytes) -> bytes:
        length = len(data)
        if length < self._left:
            self._left -= length
            return data
        self.complete = True
        if length > self._left:
            self.reusable = False
            return data[: self._left]
        return data

    def _read_chunks(self, events: _Events, data: bytes) -> bytes:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not events.done:
                raise UpstreamBroken(f"the provider's chunked body is broken: {error}") from error
            self.reusable = False
        if events.done:
            self.complete = True
            self.reusable = self.reusable and _ends_a_chunked_body(data)
        pieces = events.pieces
        if len(pieces) == 1:
            return pieces.pop()
        if not pieces:
            self._count_quiet(len(data))
            return b""
        body = b"".join(pieces)
        pieces.clear()
        return body

    def _count_quiet(self, length: int) -> None:
        self._quiet += length
        if self._quiet > self._limit and not self.complete:
            raise UpstreamBroken("the provider sends chunk extensions or trailers without end")


def _ends_a_chunked_body(data: bytes) -> bool:
    """Whether the read that completed a chunked body holds nothing after it. llhttp skips CR and LF between
    messages in silence: those are told by a blank line that another one precedes. A read too short to tell
    counts as no."""
    return len(data) >= 5 and data.endswith(HEAD_END) and data[-5] not in b"\r\n"


@lru_cache(maxsize=64)
def _status(line: bytes) -> tuple[int, bytes]:
    """Of a final HTTP/1.1 answer; zero for any other line."""
    match = _STATUS.fullmatch(line)
    return (0, b"") if match is None else (int(match[1]), match[2] or b"")
