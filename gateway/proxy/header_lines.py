"""Header lines that were seen before, so that a line is looked at once and not for each request.

Clients repeat themselves: of an SDK's fifteen lines all but two or three are the same in every request. A
line is plain if it has the form that RFC 9112 section 5 gives it and decides nothing about framing in an
unusual way; such lines mean the same wherever they stand. A head that holds any other line goes to llhttp,
which alone refuses heads.
"""

import re
from typing import Final

from gateway.wire.written import MOST_BYTES, MOST_LINES, Doorkeeper

_PLAIN: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*"
)
_UNUSUAL: Final = frozenset(
    (b"transfer-encoding", b"upgrade", b"expect", b"http2-settings", b"proxy-connection")
)
_PERSISTENCE: Final = frozenset((b"keep-alive", b"close"))


class HeaderLines:
    """Shared by the connections of one worker. A line is kept when it has come a few times."""

    __slots__ = ("_door", "_known")

    def __init__(self) -> None:
        self._door = Doorkeeper()
        self._known: dict[bytes, tuple[bytes, bytes]] = {}

    def read(self, lines: list[bytes]) -> list[tuple[bytes, bytes]] | None:
        """Name in lower case and value of each line; None if one of them is not plain."""
        known = self._known
        found = []
        for line in lines:
            header = known.get(line)
            if header is None:
                header = self._learn(line)
                if header is None:
                    return None
            found.append(header)
        return found

    def _learn(self, line: bytes) -> tuple[bytes, bytes] | None:
        match = _PLAIN.fullmatch(line)
        if match is None:
            return None
        name, value = match[1].lower(), match[2]
        if name in _UNUSUAL or (name == b"connection" and value.lower() not in _PERSISTENCE):
            return None
        if name == b"content-length" and not (value.isdigit() and len(value) <= 18):
            return None
        header = (name, value)
        if len(line) <= MOST_BYTES and self._door.admits(hash(line)):
            if len(self._known) >= MOST_LINES:
                self._known.clear()
            self._known[line] = header
        return header
