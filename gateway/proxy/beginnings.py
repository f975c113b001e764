"""How a connection's heads begin: an SDK sends the same lines again and again, and then two or three others.

From the third head on, those lines are compared as one piece instead of being looked at one by one. Where one
differs, as at the first turn of another session, the lines before it are what the heads begin with. They are
plain (`proxy.header_lines`), and one of them is the Host; a head that differs in any byte of them is parsed
as if nothing were known. Connections of one kind of client share what is known.
"""

from __future__ import annotations

from typing import Final

from gateway.proxy.base import Head, Headers
from gateway.proxy.header_lines import HeaderLines
from gateway.proxy.heads import body_length, split_target
from gateway.wire.written import KnownHeaders

MOST: Final = 256  # kept by one worker; then all are forgotten
LEAST_LINES: Final = 4  # what is shorter is not worth it


class Beginning:
    """`block` are the lines, the request line among them, each with its CRLF."""

    __slots__ = ("_closing", "_known", "_length", "_method", "_path", "_query", "block")

    def __init__(self, block: bytes, line: tuple[bytes, bytes, str], headers: Headers) -> None:
        self.block: Final = block
        self._known = KnownHeaders(headers)
        found = self._known.values
        self._method = line[0]
        self._path, self._query = split_target(line[1], found[b"host"])
        self._length = found.get(b"content-length")
        self._closing = any(
            header[0] == b"connection" and header[1].lower() == b"close" for header in headers
        )

    def head(self, block: bytes, lines: HeaderLines, received: float, most: int) -> tuple[Head, bool] | None:
        """A head that begins so, and whether its connection stays open; None if its other lines must be
        looked at more closely. `most`: header lines that it may have."""
        start, end = len(self.block), len(block) - 4
        headers = lines.read(block[start:end].split(b"\r\n")) if start < end else None
        if headers is None or len(headers) + len(self._known.headers) > most:
            return None
        length, closing = self._length, self._closing
        for name, value in headers:
            if name == b"content-length":
                if length is not None:
                    return None
                length = value
            elif name == b"connection":
                closing = closing or value.lower() == b"close"
            elif name == b"host":
                return None
        size = body_length(length, None, "1.1")
        whole = self._known.headers + headers
        known = self._known
        return Head(self._method, self._path, self._query, "1.1", whole, size, received, known), not closing


class Beginnings:
    """Shared by the connections of one worker."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, Beginning] = {}

    def learn(
        self, before: bytes, block: bytes, line: tuple[bytes, bytes, str], headers: Headers
    ) -> Beginning | None:
        """What two plain heads of one connection have in common; `line` and `headers` are of the second.
        `before` may be the beginning of one."""
        most = min(len(before), len(block)) - 4
        end = block.rfind(b"\r\n", 0, _common(before, block, most)) + 2
        count = block.count(b"\r\n", 0, end) - 1
        if count < LEAST_LINES or [name for name, _ in headers[:count]].count(b"host") != 1:
            return None
        key = block[:end]
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST:
                self._known.clear()
            known = self._known[key] = Beginning(key, line, headers[:count])
        return known


def _common(one: bytes, other: bytes, most: int) -> int:
    """How many bytes, at most `most`, two texts begin with alike."""
    low, high = 0, max(most, 0)
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
