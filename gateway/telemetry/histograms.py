"""Times by version as HDR histograms: to the first token, in all, and between events.

Two significant digits from 0.1 ms to an hour: an error of 1 % at most, 20 KB each. A version that is used
least recently loses its place to a new one, so memory is bounded.
"""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hdrh.histogram import HdrHistogram

UNIT = 1e-4  # s
LONGEST = 3600.0  # s; longer counts as this
DIGITS = 2
VERSIONS = 512
MOST_WAITING = 4096  # values of one series, 32 KB


class Version(NamedTuple):
    prompt: str
    number: int


class Series:
    """One histogram. Values wait in an array until somebody looks or many have come: recording one costs a
    microsecond and a half, counting equal ones together a tenth of that."""

    __slots__ = ("_histogram", "_waiting")

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, int(LONGEST / UNIT), DIGITS)
        self._waiting = array("d")

    def add(self, seconds: Iterable[float]) -> None:
        self._waiting.extend(seconds)
        if len(self._waiting) > MOST_WAITING:
            self.histogram()

    def histogram(self) -> HdrHistogram:
        """With everything that was added."""
        waiting, self._waiting = self._waiting, array("d")
        for ticks, times in Counter(map(_ticks, waiting)).items():
            self._histogram.record_value(ticks, times)
        return self._histogram


class Times:
    """One version's times, s."""

    __slots__ = ("_first_token", "_gap", "_total")

    def __init__(self) -> None:
        self._first_token = Series()
        self._total = Series()
        self._gap = Series()

    def add(self, total: float, first_token: float | None, gaps: Iterable[float]) -> None:
        self._total.add((total,))
        if first_token is not None:
            self._first_token.add((first_token,))
        self._gap.add(gaps)

    @property
    def first_token(self) -> HdrHistogram:
        return self._first_token.histogram()

    @property
    def total(self) -> HdrHistogram:
        return self._total.histogram()

    @property
    def gap(self) -> HdrHistogram:
        return self._gap.histogram()


class Histograms:
    def __init__(self, size: int = VERSIONS) -> None:
        self._size = size
        self._times: OrderedDict[Version, Times] = OrderedDict()

    def record(
        self, prompt: str, number: int, total: float, first_token: float | None, gaps: Iterable[float] = ()
    ) -> None:
        """One answer of a version; `gaps` are the times between its events."""
        self._of(Version(prompt, number)).add(total, first_token, gaps)

    def _of(self, version: Version) -> Times:
        times = self._times.get(version)
        if times is None:
            times = self._times[version] = Times()
            if len(self._times) > self._size:
                self._times.popitem(last=False)
        else:
            self._times.move_to_end(version)
        return times

    def __iter__(self) -> Iterator[tuple[Version, Times]]:
        return iter(self._times.items())


def percentile(histogram: HdrHistogram, share: float) -> float:
    """In s, within 1 %; 0 for an empty histogram. `share`: 0.5 is the median."""
    return float(histogram.get_value_at_percentile(100.0 * share)) * UNIT


def _ticks(seconds: float) -> int:
    return max(int(min(seconds, LONGEST) / UNIT), 1)
