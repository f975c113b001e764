"""Header lines as they are written: a header that comes again is put into bytes, and checked, once.

Of the lines of a head all but two or three are the same in every request. The others (a session, a trace, an
id) come a few times or never again, and `Doorkeeper` keeps them out: what is known fits into the processor's
cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.wire import Headers

# As numbers: with bytes, `in` first fails to read a number, and that exception costs a microsecond.
CR: Final = 13
LF: Final = 10
NUL: Final = 0
MOST_LINES: Final = 4096  # kept; then all are forgotten
MOST_BYTES: Final = 1024  # of a line that is kept
MOST_RUNS: Final = 256
SLOTS: Final = 512  # a power of two
SHORT: Final = (1 << 48) - 1  # of a hash: integers that need no memory of their own
TIMES: Final = 8  # more than most sessions have turns: what is kept for those costs more than it saves

Form = Callable[[tuple[bytes, bytes]], bytes]


class Doorkeeper:
    """Lets in what comes for the `TIMES`th time, as far as it remembers (after Einziger, Friedman, Manes:
    TinyLFU, doi:10.1145/3149371, section 3.4.2)."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: list[int] = [0] * SLOTS  # a hash, and in its low bits, which the place tells, how often

    def admits(self, hashed: int) -> bool:
        hashed &= SHORT
        slot = hashed & (SLOTS - 1)
        first = hashed - slot + 1
        times = self._seen[slot] - first + 1
        if not 0 < times < SLOTS:
            self._seen[slot] = first
            return False
        if times + 1 >= TIMES:
            return True
        self._seen[slot] = first + times
        return False


def line_of(header: tuple[bytes, bytes]) -> bytes:
    """With its CRLF. Raises ValueError for a name or value that would end the line.

    >>> line_of((b"content-type", b"application/json"))
    b'content-type: application/json\\r\\n'
    """
    line = b"".join((header[0], b": ", header[1]))
    if CR in line or LF in line or NUL in line:
        raise ValueError("a header holds CR, LF or NUL")
    return line + b"\r\n"


class KnownHeaders:
    """Headers that many heads begin with. `values`: the first of each name."""

    __slots__ = ("headers", "unique", "values")

    def __init__(self, headers: Headers) -> None:
        self.headers: Final = headers
        self.values: Final = dict(reversed(headers))
        self.unique: Final = len(self.values) == len(headers)


class WrittenLines:
    """`form` makes a header's line, b"" for one that is left out; what it raises is raised each time."""

    __slots__ = ("_door", "_form", "_known", "_runs")

    def __init__(self, form: Form = line_of) -> None:
        self._form = form
        self._known: dict[tuple[bytes, bytes], bytes] = {}
        self._runs: dict[KnownHeaders, bytes] = {}
        self._door = Doorkeeper()

    def block(self, headers: Headers, begin: KnownHeaders | None = None) -> bytes:
        """The lines of `headers`, each with its CRLF; `begin`: what they begin with, if that is known."""
        known = self._known
        lines = []
        if begin is not None:
            lines.append(self._run(begin))
            headers = headers[len(begin.headers) :]
        for header in headers:
            line = known.get(header)
            lines.append(self._learn(header) if line is None else line)
        return b"".join(lines)

    def _run(self, begin: KnownHeaders) -> bytes:
        run = self._runs.get(begin)
        if run is None:
            if len(self._runs) >= MOST_RUNS:
                self._runs.clear()
            run = self._runs[begin] = self.block(begin.headers)
        return run

    def _learn(self, header: tuple[bytes, bytes]) -> bytes:
        line = self._form(header)
        if len(line) <= MOST_BYTES and self._door.admits(hash(header)):
            if len(self._known) >= MOST_LINES:
                self._known.clear()
            self._known[header] = line
        return line
