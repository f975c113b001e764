"""What one worker counts, since it last told its supervisor.

Counts are told as differences and begin anew, so a worker that ends takes nothing back, and one that starts
has nothing to remember. Nothing is formatted here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from gateway.telemetry.histograms import LONG, OVERHEAD, SHORT, TOKENS, Histogram
from gateway.telemetry.metrics import OTHER, Sample

OUTCOMES = ("ok", "prompt", "provider", "client")
KINDS = ("input", "cache_read", "cache_write", "input_audio", "output", "reasoning", "output_audio")


class ModelCounts:
    """Whole answers of one model at one provider."""

    __slots__ = ("first_token", "gap", "input", "output", "total")

    def __init__(self) -> None:
        self.total = Histogram(LONG)
        self.first_token = Histogram(LONG)
        self.gap = Histogram(SHORT)
        self.input = Histogram(TOKENS)
        self.output = Histogram(TOKENS)

    def took(self, total: float, first_token: float | None, gaps: Iterable[float]) -> None:
        """Times of a whole answer, s; `gaps` are those between its events."""
        self.total.record(total)
        if first_token is not None:
            self.first_token.record(first_token)
        record = self.gap.record
        for gap in gaps:
            record(gap)

    def used(self, input: int, output: int) -> None:
        """Tokens of a whole answer, cached and reasoning ones too."""
        self.input.record(input)
        self.output.record(output)

    def samples(self, labels: list[str]) -> list[Sample]:
        return [
            (name, [*labels, *more], histogram.values())
            for name, more, histogram in (
                ("total_seconds", [], self.total),
                ("first_token_seconds", [], self.first_token),
                ("gap_seconds", [], self.gap),
                ("answer_tokens", ["input"], self.input),
                ("answer_tokens", ["output"], self.output),
            )
            if histogram
        ]


class VersionCounts:
    """Of one version; `tokens` in the order of `KINDS`. `models`: those that are counted apart."""

    __slots__ = ("_models", "_most", "cost", "estimated", "outcomes", "tokens", "unpriced")

    def __init__(self, models: int) -> None:
        self.outcomes: dict[tuple[str, str], int] = {}  # by arm and outcome
        self.tokens = [0] * len(KINDS)
        self.cost = 0.0
        self.unpriced = 0
        self.estimated = 0
        self._most = models
        self._models: dict[tuple[str, str], ModelCounts] = {}  # by provider and model

    def of(self, provider: str, model: str) -> ModelCounts:
        key = (provider, model)
        found = self._models.get(key)
        if found is None:
            if len(self._models) >= self._most:  # clients can make names up
                key = (OTHER, OTHER)
            found = self._models.setdefault(key, ModelCounts())
        return found

    def ended(self, arm: str, outcome: str) -> None:
        key = (arm, outcome)
        self.outcomes[key] = self.outcomes.get(key, 0) + 1

    def used(self, tokens: Iterable[int], cost: float | None, *, estimated: bool) -> None:
        """`cost` None: no price is known."""
        for at, count in enumerate(tokens):
            self.tokens[at] += count
        if cost is None:
            self.unpriced += 1
        else:
            self.cost += cost
        self.estimated += estimated

    def samples(self, prompt: str, version: str) -> list[Sample]:
        labels = [prompt, version]
        found: list[Sample] = [
            ("requests_total", [*labels, arm, outcome], [self.outcomes.get((arm, outcome), 0)])
            for arm in sorted({arm for arm, _ in self.outcomes})
            for outcome in OUTCOMES  # also those that did not come: a rise from nothing is none to Prometheus
        ]
        found += [
            ("tokens_total", [*labels, kind], [count])
            for kind, count in zip(KINDS, self.tokens, strict=True)
            if count
        ]
        found += [
            (name, labels, [value])
            for name, value in (
                ("cost_usd_total", self.cost),
                ("unpriced_answers_total", self.unpriced),
                ("estimated_answers_total", self.estimated),
            )
            if value
        ]
        for (provider, model), counts in self._models.items():
            found += counts.samples([*labels, provider, model])
        return found


class Counts:
    """`size`: versions that are counted apart; `models`: of each, models."""

    def __init__(self, size: int, models: int = 16) -> None:
        self._size = size
        self._models = models
        self._told: dict[Hashable, int] = {}  # totals that others keep, as they were told last
        self._begin()

    def _begin(self) -> None:
        self.unmanaged = 0
        self.overhead = Histogram(OVERHEAD)
        self._refused: dict[str, int] = {}
        self._versions: dict[tuple[str, int], VersionCounts] = {}

    def version(self, prompt: str, number: int) -> VersionCounts:
        key = (prompt, number)
        found = self._versions.get(key)
        if found is None:
            if len(self._versions) >= self._size:
                key = (OTHER, 0)
            found = self._versions.setdefault(key, VersionCounts(self._models))
        return found

    def refused(self, code: str) -> None:
        self._refused[code] = self._refused.get(code, 0) + 1

    def risen(self, totals: Iterable[tuple[str, Iterable[str], int]]) -> list[Sample]:
        """By how much counts that others keep have risen; those that have not are left out."""
        found: list[Sample] = []
        for name, labels, total in totals:
            key = (name, *labels)
            rise = total - self._told.get(key, 0)
            if rise:
                self._told[key] = total
                found.append((name, list(labels), [rise]))
        return found

    def take(self) -> list[Sample]:
        """Everything that was counted since the last time."""
        found: list[Sample] = []
        for (prompt, number), counts in self._versions.items():
            found += counts.samples(prompt, str(number))
        found += [("refused_requests_total", [code], [count]) for code, count in self._refused.items()]
        if self.unmanaged:
            found.append(("unmanaged_requests_total", [], [self.unmanaged]))
        if self.overhead:
            found.append(("overhead_seconds", [], self.overhead.values()))
        self._begin()
        return found
