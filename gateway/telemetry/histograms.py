"""Times in buckets, as /metrics shows them: one search and two additions for a value (docs/adr/0010)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

# Doubling from 10 ms, as the OpenTelemetry GenAI conventions advise (v1.41), and on to eleven minutes.
LONG: Final = tuple(0.01 * 2**step for step in range(17))
SHORT: Final = tuple(0.001 * 2**step for step in range(15))  # 1 ms to 16 s: between events
TOKENS: Final = tuple(4.0**step for step in range(14))  # 1 to 67,108,864, as the same conventions advise
OVERHEAD = (5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # s


class Histogram:
    """`bounds`: upper bounds of the buckets, s, rising; one more bucket is above them all.

    >>> times = Histogram((0.1, 1.0))
    >>> for seconds in (0.05, 0.1, 0.7, 3.0):
    ...     times.record(seconds)
    >>> times.values()
    [2, 1, 1, 3.85]
    """

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def record(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def __bool__(self) -> bool:
        return any(self._counts)

    def values(self) -> list[float]:
        """How many in each bucket, not added up, and the sum of all values."""
        return [*self._counts, self._sum]
