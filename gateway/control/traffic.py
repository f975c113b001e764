"""How many sessions a prompt gets, from the records of measured ones: each stands for 1 / its sample rate."""

from __future__ import annotations

from collections import deque
from math import sqrt

from gateway.domain.observation import Assigned, Batch

WINDOW = 600  # s
KNOWN_AFTER = 60.0  # s of looking before anything is sized by it


class Traffic:
    """Sessions of the last ten minutes, by second of their pin. `since`: when looking began, store time,
    s."""

    def __init__(self, since: float) -> None:
        self._since = since
        self._seconds: deque[list[float]] = deque()  # second, sessions

    def add(self, batch: Batch) -> None:
        for record in batch.records:
            if isinstance(record, Assigned):
                unit = record.unit
                rate = unit.q1 if unit.canary else unit.q0
                self._count(int(unit.pinned_at), 1.0 / rate if rate > 0.0 else 0.0)

    def _count(self, second: int, sessions: float) -> None:
        seconds = self._seconds
        if seconds and second <= seconds[-1][0]:
            seconds[-1][1] += sessions  # pins of several workers come a little out of order
            return
        seconds.append([second, sessions])
        while seconds[0][0] < second - WINDOW:
            seconds.popleft()

    def rate(self, now: float, window: float = WINDOW) -> float:
        """Sessions per second."""
        sessions, seen = self._recent(now, window)
        return sessions / seen

    def per_hour(self, now: float) -> float | None:
        """Sessions per hour; None before one can tell."""
        return self.rate(now) * 3600.0 if now - self._since >= KNOWN_AFTER else None

    def per_hour_at_most(self, now: float) -> float | None:
        """Sessions per hour, two standard errors above what was seen, so that few of them do not make a
        stage too large; None before one can tell."""
        if now - self._since < KNOWN_AFTER:
            return None
        sessions, seen = self._recent(now, WINDOW)
        return (sessions + 2.0 * sqrt(sessions + 1.0)) / seen * 3600.0

    def _recent(self, now: float, window: float) -> tuple[float, float]:
        start = max(now - window, self._since)
        return sum(count for second, count in self._seconds if second >= start - 1), max(now - start, 1.0)
