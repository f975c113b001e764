"""Which session keys are no sessions: one that carries far more requests than a person could send.

A key shared by many users (a constant `user`, a health check) would put all of them on one arm. Above a
share of the last minute's requests of this worker, and above a count, it is assigned one by one instead.
"""

from __future__ import annotations

from typing import Final

WINDOW: Final = 30.0  # s; the last minute is the current window and the one before it
MAX_KEYS: Final = 200_000  # counted in one window; further keys are taken for cold


class HotKeys:
    __slots__ = ("_before", "_count", "_now", "_share", "_started", "_total", "_total_before")

    def __init__(self, *, share: float, count: int) -> None:
        self._share = share
        self._count = count
        self._now: dict[bytes, int] = {}
        self._before: dict[bytes, int] = {}
        self._total = 0
        self._total_before = 0
        self._started = 0.0

    def hot(self, session: bytes, now: float) -> bool:
        """Count one request of `session` at `now` (s) and tell whether the key is too busy."""
        if now - self._started >= WINDOW:
            self._turn(now)
        self._total += 1
        seen = self._now.get(session, 0) + 1
        if seen > 1 or len(self._now) < MAX_KEYS:
            self._now[session] = seen
        seen += self._before.get(session, 0)
        return seen > self._count and seen > self._share * (self._total + self._total_before)

    def _turn(self, now: float) -> None:
        recent = now - self._started < 2 * WINDOW
        self._before = self._now if recent else {}
        self._total_before = self._total if recent else 0
        self._now, self._total, self._started = {}, 0, now
