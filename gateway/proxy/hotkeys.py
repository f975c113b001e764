"""Which session keys are no sessions: one that carries far more requests than a person could send.

A key shared by many users (a constant `user`, a health check) would put all of them on one arm. Above a
share of the last minute's requests of this worker, and above a count, it is assigned one by one instead.
"""

from __future__ import annotations

from typing import Final

from gateway.proxy.sessions import Recent

WINDOW: Final = 30.0  # s; the last minute is the current window and the one before it


class HotKeys:
    __slots__ = ("_count", "_share", "_started", "_total", "_total_before", "_window")

    def __init__(self, *, share: float, count: int) -> None:
        self._share = share
        self._count = count
        self._window = 0
        self._total = 0
        self._total_before = 0
        self._started = 0.0

    def hot(self, recent: Recent, now: float) -> bool:
        """Count one request of a session at `now` (s) and tell whether its key is too busy."""
        if now - self._started >= WINDOW:
            self._turn(now)
        self._total += 1
        if recent.window != self._window:
            recent.before = recent.count if recent.window == self._window - 1 else 0
            recent.count = 0
            recent.window = self._window
        recent.count += 1
        seen = recent.count + recent.before
        return seen > self._count and seen > self._share * (self._total + self._total_before)

    def _turn(self, now: float) -> None:
        follows = now - self._started < 2 * WINDOW
        self._window += 1 if follows else 2
        self._total_before = self._total if follows else 0
        self._total, self._started = 0, now
