"""Times by version as HDR histograms: to the first token, in all, and between events.

Two significant digits from 0.1 ms to an hour: an error of 1 % at most, 20 KB each. A version that is used
least recently loses its place to a new one, so memory is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hdrh.histogram import HdrHistogram

UNIT = 1e-4  # s
LONGEST = 3600.0  # s; longer counts as this
DIGITS = 2
VERSIONS = 512


class Version(NamedTuple):
    prompt: str
    number: int


class Times:
    """One version's histograms. Values are s."""

    __slots__ = ("first_token", "gap", "total")

    def __init__(self) -> None:
        self.first_token = _histogram()
        self.total = _histogram()
        self.gap = _histogram()


class Histograms:
    def __init__(self, size: int = VERSIONS) -> None:
        self._size = size
        self._times: OrderedDict[Version, Times] = OrderedDict()

    def record(
        self, prompt: str, number: int, total: float, first_token: float | None, gaps: Iterable[float] = ()
    ) -> None:
        """One answer of a version; `gaps` are the times between its events."""
        times = self._of(Version(prompt, number))
        times.total.record_value(_ticks(total))
        if first_token is not None:
            times.first_token.record_value(_ticks(first_token))
        for gap in gaps:
            times.gap.record_value(_ticks(gap))

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


def _histogram() -> HdrHistogram:
    return HdrHistogram(1, int(LONGEST / UNIT), DIGITS)


def _ticks(seconds: float) -> int:
    return max(int(min(seconds, LONGEST) / UNIT), 1)
