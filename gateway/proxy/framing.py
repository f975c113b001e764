"""Cuts a client's byte stream into heads and bodies. Knows no socket and no time.

llhttp (httptools) judges heads and chunked bodies; a body with a length is only counted. llhttp has neither
limits nor a way to stop at a message's end, so limits come before it and no feed ever crosses such an end.
The answer to a stream is a function of its bytes: how they were split over reads does not matter.
"""

import re
from typing import Final

import httptools

from gateway.errors import ClientError, HeadersTooLarge, MalformedRequest, UriTooLong
from gateway.proxy.base import Head, Headers
from gateway.proxy.beginnings import Beginning, Beginnings
from gateway.proxy.header_lines import HeaderLines
from gateway.proxy.heads import METHODS, check_head, check_line, check_start, unknown_coding
from gateway.settings import Limits

END: Final = b"\r\n\r\n"
BARE_LF: Final = "a line must end with CR LF, not with LF alone"
LINE_SLACK: Final = 32  # bytes of a request line that are not target: method, version, two spaces
KNOWN_BYTES: Final = 8 * 1024  # of a head that is remembered
CHUNK_SLACK: Final = 16 * 1024  # bytes of chunk framing beyond 16 for each byte of body

_PLAIN_STARTS: Final = tuple(method + b" /" for method in METHODS)
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_CHUNKED: Final = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"


class HeadParser:
    """Finds and checks heads. One for each connection, so that its callbacks are bound once."""

    __slots__ = (
        "_before",
        "_beginning",
        "_beginnings",
        "_complete",
        "_headers",
        "_limits",
        "_lines",
        "_parser",
        "_plain",
        "keep_alive",
        "waits",
    )

    def __init__(self, limits: Limits, lines: HeaderLines, beginnings: Beginnings) -> None:
        self._limits = limits
        self._lines = lines
        self._beginnings = beginnings
        self._beginning: Beginning | None = None  # of this connection's heads
        self._before = b""  # the last plain head, until that is known
        self._plain = min(limits.target_bytes, limits.head_bytes - 4)  # a head below this breaks no limit
        self._headers: Headers = []
        self._complete = False
        self._parser: httptools.HttpRequestParser | None = None  # only while it is being fed
        self.keep_alive = False  # what the last head's version and Connection header ask for
        self.waits = False  # the last head's client waits for 100 Continue

    def find_end(self, data: bytes, at: int) -> int:
        """Index after the head that starts at `at`, -1 if there is more to come. Raises `ClientError` as soon
        as no good head can follow, so that nobody waits for a time limit on a hopeless one."""
        # One empty line before a request is tolerated (RFC 9112 section 2.2).
        start = at + 2 if data.startswith(b"\r\n", at) else at
        end = data.find(END, start)
        if 0 <= end < at + self._plain:
            return end + 4
        stop = end + 4 if end >= 0 else len(data)
        self._refuse_early(data[start:stop], start - at)
        return end + 4 if end >= 0 else -1

    def parse(self, block: bytes, received: float) -> Head:
        """A whole head, with its last empty line. Raises `ClientError`."""
        head = self._parse_known(block, received) or self._parse_plain(block, received)
        return self._judge(block, received) if head is None else head

    def _parse_known(self, block: bytes, received: float) -> Head | None:
        """A head that begins as those before it."""
        known = self._beginning
        if known is None:
            return None
        if not block.startswith(known.block):
            self._beginning, self._before = None, known.block  # what both have in common will do
            return None
        found = known.head(block, self._lines, received, self._limits.headers)
        if found is None:
            return None
        head, self.keep_alive = found
        self.waits = False
        return head

    def _parse_plain(self, block: bytes, received: float) -> Head | None:
        """A head of plain lines only, as an SDK's is."""
        lines = block[:-4].split(b"\r\n")
        line = lines.pop(0)
        if not (line.startswith(_PLAIN_STARTS) and line.endswith(b" HTTP/1.1")):
            return None
        headers = self._lines.read(lines)
        if headers is None:
            return None
        closing = lengths = 0
        for name, value in headers:
            if name == b"content-length":
                lengths += 1
            elif name == b"connection":
                closing += value.lower() == b"close"
        if lengths > 1:
            return None
        self.keep_alive = not closing
        parts = check_line(line)
        head = self._checked(parts, headers, received)
        if self._beginning is None and len(block) <= KNOWN_BYTES:
            self._beginning = self._beginnings.learn(self._before, block, parts, headers)
            self._before = b"" if self._beginning is not None else block
        return head

    def _judge(self, block: bytes, received: float) -> Head:
        """By llhttp."""
        self._headers = []
        self._complete = False
        self._parser = parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(block)
        except httptools.HttpParserUpgrade:
            pass  # declined: the request is answered as HTTP/1.1, its body is framed as its head says
        except httptools.HttpParserError as error:
            raise self._explain(block, error) from None
        finally:
            self._parser = None  # it holds this object's methods: a cycle
        line = check_line(_first_line(block))
        headers = self._headers
        if b" \r" in block or b"\t" in block:  # llhttp leaves trailing white space to us
            headers = [(name, value.rstrip(b" \t")) for name, value in headers]
        return self._checked(line, headers, received)

    def _checked(self, line: tuple[bytes, bytes, str], headers: Headers, received: float) -> Head:
        if len(line[1]) > self._limits.target_bytes:
            raise self._uri_too_long()
        if len(headers) > self._limits.headers:
            raise HeadersTooLarge(f"more than {self._limits.headers} header lines; send fewer")
        head, self.waits = check_head(line, headers, received)
        return head

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._complete = True
        if self._parser is not None:  # asked here because llhttp forgets it with the message's end
            self.keep_alive = self._parser.should_keep_alive()

    def _refuse_early(self, piece: bytes, skipped: int) -> None:
        """Raise for the first byte, in the stream's order, after which `piece` cannot become a good head."""
        if not piece or (piece == b"\r" and not skipped):
            return
        check_start(piece)
        stray = _BARE_LF.search(piece)
        bare = stray.start() if stray else len(piece)
        line_end = piece.find(b"\r\n")
        longest = self._limits.target_bytes + LINE_SLACK
        known = line_end if line_end >= 0 else len(piece) - piece.endswith(b"\r")
        if min(known, bare) > longest:
            raise self._uri_too_long()
        if 0 <= line_end < bare:
            check_line(piece[:line_end])
        if bare < len(piece) and bare + skipped <= self._limits.head_bytes:
            raise MalformedRequest(BARE_LF)
        if len(piece) + skipped > self._limits.head_bytes:
            raise HeadersTooLarge(f"request line and headers exceed {self._limits.head_bytes} bytes")

    def _explain(self, block: bytes, error: Exception) -> ClientError:
        """llhttp's refusal in our words, and in the order in which the bytes came."""
        try:
            check_line(_first_line(block))
        except ClientError as slip:
            return slip
        if _BARE_LF.search(block):
            return MalformedRequest(BARE_LF)
        if self._complete:  # the only thing llhttp refuses after a good head
            codings = [value for name, value in self._headers if name == b"transfer-encoding"]
            return unknown_coding(b", ".join(codings))
        return MalformedRequest(f"malformed request head: {error}")

    def _uri_too_long(self) -> UriTooLong:
        return UriTooLong(f"request target exceeds {self._limits.target_bytes} bytes")


def _first_line(block: bytes) -> bytes:
    start = 2 if block.startswith(b"\r\n") else 0
    check_start(block[start : start + 1])
    end = block.find(b"\n", start)
    if block[end - 1] != 13:
        raise MalformedRequest(BARE_LF)
    return block[start : end - 1]


class SizedBody:
    """A body of known length: counted, never copied."""

    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        self.left: int | None = length

    @property
    def complete(self) -> bool:
        return not self.left

    def feed(self, data: bytes, at: int) -> tuple[bytes, int]:
        """The body's bytes in `data` from `at` on, and the index after them."""
        left = self.left or 0
        stop = min(at + left, len(data))
        self.left = left - (stop - at)
        return (data if at == 0 and stop == len(data) else data[at:stop]), stop


class ChunkedBody:
    """A chunked body, decoded. Trailers and extensions are judged and dropped.

    The parser is a fresh one, primed with a bare head: that of the real head has left the message behind
    where it offered an upgrade, and a Content-Length among trailers would mean something to it.
    """

    __deletable__ = ("_parser",)
    __slots__ = ("_framing", "_parser", "_pieces", "_tail", "complete", "left")

    def __init__(self) -> None:
        self.complete = False
        self.left: int | None = None
        self._pieces: list[bytes] = []
        self._tail = b""  # of what was fed, for ends that are split over reads
        self._framing = -CHUNK_SLACK
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(_CHUNKED)

    def feed(self, data: bytes, at: int) -> tuple[bytes, int]:
        """The body's bytes in `data` from `at` on, and the index after what belongs to it.
        Raises `MalformedRequest`."""
        while at < len(data) and not self.complete:
            stop = self._next_stop(data, at)
            piece = data[at:stop]
            self._tail = (self._tail + piece[-3:])[-3:]
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserError as error:
                raise MalformedRequest(f"malformed chunked body: {error}") from None
            self._framing += len(piece)
            at = stop
        if self.complete:
            del self._parser  # it holds this object's methods: a cycle
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._framing -= 17 * len(body)
        if self._framing > 0:
            raise MalformedRequest("chunk extensions and trailers are out of proportion to the body")
        return body, at

    def _next_stop(self, data: bytes, at: int) -> int:
        """Index after the next CR LF CR LF, the only place where the message can end, or of data's end."""
        tail = self._tail
        split = (tail + data[at : at + 3]).find(END) if tail else -1
        if split >= 0:
            return at + split + 4 - len(tail)
        end = data.find(END, at)
        return end + 4 if end >= 0 else len(data)

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self.complete = True


Body = SizedBody | ChunkedBody
