"""The counts of all processes of one supervisor, added up for as long as it lives.

What a process tells are differences, so a sum never goes back: not when a worker dies, nor when another takes
its place. Versions beyond `size` give their counts to `OTHER`, those first that were counted least lately;
the sum over all stays what it was. A version's models beyond `models` are counted as `OTHER` from the start.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from gateway.telemetry.metrics import BY_NAME, METRICS, OTHER, SERVED, VERSION, Sample

Series = dict[tuple[str, tuple[str, ...]], list[float]]  # by metric and the labels after prompt and version


class Tally:
    def __init__(self, size: int, models: int = 16) -> None:
        self.size = size
        self.models = models
        self._served: dict[tuple[str, ...], set[tuple[str, ...]]] = {}  # of a version: provider and model
        self._plain: Series = {
            (metric.name, labels): [0]
            for metric in METRICS
            if metric.kind == "counter"
            for labels in ([()] if not metric.labels else [(value,) for value in metric.known])
        }
        self._versions: OrderedDict[tuple[str, ...], Series] = OrderedDict()  # by prompt and version
        self._other: Series = {}

    def add(self, samples: Iterable[Sample]) -> None:
        for name, labels, values in samples:
            known = BY_NAME[name].labels
            if known[:2] != VERSION:
                _add(self._plain, name, tuple(labels), values)
                continue
            version, more = tuple(labels[:2]), tuple(labels[2:])
            if known[2:4] == SERVED[2:]:
                more = (*self._bounded(version, more[:2]), *more[2:])
            _add(self._of(version), name, more, values)

    def _bounded(self, version: tuple[str, ...], served: tuple[str, ...]) -> tuple[str, ...]:
        seen = self._served.setdefault(version, set())
        if served not in seen:
            if len(seen) >= self.models:
                return (OTHER, OTHER)
            seen.add(served)
        return served

    def _of(self, version: tuple[str, ...]) -> Series:
        if version[0] == OTHER:
            return self._other
        series = self._versions.get(version)
        if series is not None:
            self._versions.move_to_end(version)
            return series
        while len(self._versions) >= self.size:
            gone, least = self._versions.popitem(last=False)
            self._served.pop(gone, None)
            for (name, labels), values in least.items():
                more = (OTHER, OTHER, *labels[2:]) if BY_NAME[name].labels[2:4] == SERVED[2:] else labels
                _add(self._other, name, more, values)
        return self._versions.setdefault(version, {})

    def __iter__(self) -> Iterator[Sample]:
        for (name, labels), values in self._plain.items():
            yield name, labels, values
        for version, series in (*self._versions.items(), ((OTHER, "0"), self._other)):
            for (name, labels), values in series.items():
                yield name, (*version, *labels), values


def _add(series: Series, name: str, labels: tuple[str, ...], values: Iterable[float]) -> None:
    key = (name, labels)
    before = series.get(key)
    series[key] = list(values) if before is None else [a + b for a, b in zip(before, values, strict=True)]


def together(samples: Iterable[Sample]) -> list[Sample]:
    """One gauge of several processes: their sum, or their maximum where the table says so.

    >>> together([("connections", [], [2]), ("snapshot_age_seconds", [], [0.1]), ("connections", [], [3])])
    [('connections', (), [5]), ('snapshot_age_seconds', (), [0.1])]
    """
    found: dict[tuple[str, tuple[str, ...]], float] = {}
    for name, labels, (value,) in samples:
        key = (name, tuple(labels))
        if key not in found:
            found[key] = value
        elif BY_NAME[name].across == "max":
            found[key] = max(found[key], value)
        else:
            found[key] += value
    return [(name, labels, [value]) for (name, labels), value in found.items()]
