"""Rules of other people, watching the same records. Each answers when it would have rolled back.

What they see is what such tools are given: judge scores, errors and latency of both arms, as they come. None
of them knows about sessions, order of pin, or that it is looked at many times.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

from benchmarks.decisions.boundaries import yeast
from gateway.domain.observation import Evidence as Record
from gateway.domain.observation import Observed, Scored
from gateway.simulation.sessions import Counts
from gateway.stats.intervals import Effect

Z = NormalDist().inv_cdf


class Rule:
    """Sees every second's records. `at`: s of its rollback; `canary_sessions` served and `judge_calls` made
    until then."""

    name = ""

    def __init__(self) -> None:
        self.at: float | None = None
        self.canary_sessions = 0
        self.judge_calls = 0

    def see(self, second: float, records: Sequence[Record], counts: Counts) -> None:
        if self.at is None and self.trips(second, records):
            self.at = second
            self.canary_sessions, self.judge_calls = counts.canary_sessions, counts.judge_calls

    def trips(self, second: float, records: Sequence[Record]) -> bool:
        raise NotImplementedError


class Scores:
    """Sums of the scores of both arms, stable first."""

    def __init__(self) -> None:
        self.n = [0, 0]
        self.sum = [0.0, 0.0]
        self.squares = [0.0, 0.0]

    def add(self, canary: bool, score: float) -> None:
        self.n[canary] += 1
        self.sum[canary] += score
        self.squares[canary] += score * score

    @property
    def drop(self) -> float:
        return self.sum[0] / self.n[0] - self.sum[1] / self.n[1]

    def variance(self, arm: int) -> float:
        mean = self.sum[arm] / self.n[arm]
        return max(self.squares[arm] / self.n[arm] - mean * mean, 1e-9) * self.n[arm] / (self.n[arm] - 1)


def scored(records: Sequence[Record]) -> list[Scored]:
    return [record for record in records if type(record) is Scored and record.score is not None]


class Fixed(Rule):
    """30 canary scores: a drop above .05 or more than 2 % of the canary's sessions flagged."""

    name = "fixed rule, one look"
    again = False

    def __init__(self) -> None:
        super().__init__()
        self.scores = Scores()
        self.flagged: set[bytes] = set()
        self.done = False

    def trips(self, second: float, records: Sequence[Record]) -> bool:
        for record in records:
            if type(record) is Observed and record.unit.canary and record.flags:
                self.flagged.add(record.unit.session)
        for record in scored(records):
            self.scores.add(record.unit.canary, record.score or 0.0)
            if self.scores.n[1] >= 30 and self.scores.n[0] and not self.done:
                self.done = not self.again
                if self.scores.drop > 0.05 or len(self.flagged) > 0.02 * self.scores.n[1]:
                    return True
        return False


class FixedAgain(Fixed):
    """The same, asked again with every score."""

    name = "fixed rule, checked all the time"
    again = True


class PeekedT(Rule):
    """Welch's t-test, one-sided at .05, with every score from the tenth in each arm on."""

    name = "t-test, peeked"

    def __init__(self) -> None:
        super().__init__()
        self.scores = Scores()

    def trips(self, second: float, records: Sequence[Record]) -> bool:
        scores = self.scores
        for record in scored(records):
            scores.add(record.unit.canary, record.score or 0.0)
            if min(scores.n) >= 10:
                error = sqrt(scores.variance(0) / scores.n[0] + scores.variance(1) / scores.n[1])
                if scores.drop > Z(0.95) * error:
                    return True
        return False


class Asymptotic(Rule):
    """Asymptotic confidence sequence at .05 (as GrowthBook's): the interval excludes zero."""

    name = "asymptotic confidence sequence"
    alpha = 0.05  # two-sided

    def __init__(self) -> None:
        super().__init__()
        self.effect = Effect.of(0.0625, 0.05)
        self.mean = 0.2

    def trips(self, second: float, records: Sequence[Record]) -> bool:
        for record in scored(records):
            unit = record.unit
            canary = unit.weight * unit.q1 * unit.j1
            share = canary / (canary + (1.0 - unit.weight) * unit.q0 * unit.j0)
            badness = 1.0 - (record.score or 0.0)
            self.effect.update(unit.canary, badness, share, self.mean)
            self.mean += 0.01 * (badness - self.mean)
            if min(self.effect.units) >= 10:
                interval = self.effect.get(self.alpha)
                if interval is not None and interval.low > 0.0:
                    return True
        return False


class Yeast(Rule):
    """YEAST (Kurennoy et al. 2025): a score of each arm makes a pair; 500 pairs are planned, α .05."""

    name = "YEAST, 500 pairs"
    pairs = 500

    def __init__(self) -> None:
        super().__init__()
        self.waiting: tuple[deque[float], deque[float]] = (deque(), deque())
        self.seen = 0
        self.total = 0.0
        self.height = yeast(self.pairs, sqrt(2.0 * 0.0625), 0.05)(self.pairs)

    def trips(self, second: float, records: Sequence[Record]) -> bool:
        for record in scored(records):
            self.waiting[record.unit.canary].append(record.score or 0.0)
            while self.waiting[0] and self.waiting[1] and self.seen < self.pairs:
                self.total += self.waiting[0].popleft() - self.waiting[1].popleft()
                self.seen += 1
                if self.total > self.height:
                    return True
        return False


class Kayenta(Rule):
    """Mann-Whitney as in Kayenta's judge: every 30 min the scores so far; low where the confidence interval
    (98 %) of the Hodges-Lehmann shift excludes a quarter of the estimated shift. At most 150 newest scores of
    an arm, for the shift needs every pair."""

    name = "Kayenta, Mann-Whitney"
    every, tolerance, confidence, newest = 1800.0, 0.25, 0.98, 150

    def __init__(self) -> None:
        super().__init__()
        self.kept: tuple[deque[float], deque[float]] = (deque(maxlen=self.newest), deque(maxlen=self.newest))

    def trips(self, second: float, records: Sequence[Record]) -> bool:
        for record in scored(records):
            self.kept[record.unit.canary].append(record.score or 0.0)
        if second % self.every or min(len(kept) for kept in self.kept) < 10:
            return False
        stable, canary = self.kept
        shifts = sorted([after - before for after in canary for before in stable])
        m, n = len(stable), len(canary)
        z = Z(0.5 + self.confidence / 2.0)
        cut = max(int(m * n / 2 - z * sqrt(m * n * (m + n + 1) / 12.0)), 0)
        estimate = shifts[len(shifts) // 2]
        return shifts[len(shifts) - 1 - cut] < -self.tolerance * abs(estimate) and estimate < 0.0


class Windowed(Rule):
    """Every `every` s the canary's requests of that time against fixed numbers; `failures` in all."""

    every, failures = 60.0, 5
    success, slower = 0.99, 20.0  # share of requests; s for the 99th percentile

    def __init__(self) -> None:
        super().__init__()
        self.totals: list[float] = []
        self.failed = self.checks = 0

    def trips(self, second: float, records: Sequence[Record]) -> bool:
        for record in records:
            if type(record) is Observed and record.unit.canary:
                insort(self.totals, record.total)
                self.failed += record.outcome != "ok"
        if second % self.every or not self.totals:
            return False
        count = len(self.totals)
        bad = self.failed > (1.0 - self.success) * count
        bad = bad or count - bisect_left(self.totals, self.slower) > 0.01 * count
        self.checks += bad
        self.totals, self.failed = [], 0
        return self.checks >= self.failures


class Flagger(Windowed):
    """As in Flagger's examples: each minute success ≥ 99 % and p99 below a bound; the fifth failure ends."""

    name = "Flagger-style thresholds"


class Argo(Windowed):
    """As in Argo Rollouts' examples: each five minutes success ≥ 95 %; the fourth failure ends."""

    name = "Argo-style thresholds"
    every, failures = 300.0, 4
    success, slower = 0.95, 1e9


RULES: tuple[type[Rule], ...] = (
    Fixed,
    FixedAgain,
    Kayenta,
    PeekedT,
    Flagger,
    Argo,
    Asymptotic,
    Yeast,
)
