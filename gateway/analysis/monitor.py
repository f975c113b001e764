"""What is watched beside the metrics: the provider, a candidate that fails at once, and missing scores.

These are rules of operation, not tests: an incident holds, and its end releases.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from gateway.analysis.rules import Rules
from gateway.stats.intervals import watched

PRIOR = 500  # requests that the provider's error rate before the rollout counts for
FEW_FAILURES = 2  # one failed request is no incident
STABLE_FAILED = 0.1  # of stable's requests: up to here they did not fail


class Incident(msgspec.Struct):
    """The provider fails: stable's provider errors in the last minute, or, where that holds fewer than 20
    stable requests, as far back as it takes, at most ten minutes.

    Active while the rate is above max(10 %, 5 × baseline). Attributes: `seconds`, (second, requests, failed)
    of the fold's clock, oldest first; `requests`, `failed`: outside of incidents, the baseline;
    `before`: the rate before the rollout; `held`: failed ones in `seconds`.
    """

    before: float = 0.0
    seconds: list[tuple[int, int, int]] = []
    requests: int = 0
    failed: int = 0
    active: bool = False
    held: int = 0

    def __post_init__(self) -> None:
        self.held = sum([failed for _, _, failed in self.seconds])

    def add(self, clock: float, requests: int, failed: int) -> None:
        second = int(clock)
        self.held += failed
        if self.seconds and self.seconds[-1][0] == second:
            _, before, failures = self.seconds[-1]
            self.seconds[-1] = (second, before + requests, failures + failed)
        else:
            self.seconds.append((second, requests, failed))
        if not self.active:
            self.requests += requests
            self.failed += failed

    def update(self, clock: float, rules: Rules) -> bool:
        """Whether an incident is on at `clock`."""
        self._forget(clock - rules.incident_longest)
        if self.held < FEW_FAILURES:
            self.active = False
            return False
        requests, failures = self.recent(clock, rules)
        bar = max(rules.incident_rate, rules.incident_times * self.baseline)
        self.active = failures >= FEW_FAILURES and failures > bar * requests
        return self.active

    def recent(self, clock: float, rules: Rules) -> tuple[int, int]:
        """Stable requests and those that failed, in the window."""
        requests = failures = 0
        since = clock - rules.incident_window
        for second, count, failed in reversed(self.seconds):
            if second < since and requests >= rules.incident_requests:
                break
            requests += count
            failures += failed
        return requests, failures

    @property
    def baseline(self) -> float:
        return (PRIOR * self.before + self.failed) / (PRIOR + self.requests)

    def _forget(self, since: float) -> None:
        old = 0
        while old < len(self.seconds) and self.seconds[old][0] < since:
            self.held -= self.seconds[old][2]
            old += 1
        if old:
            del self.seconds[:old]


class HardStop(msgspec.Struct):
    """All of the canary's first requests failed while stable's did not. Counts are of requests, until one
    of the canary's succeeded."""

    canary: int = 0
    succeeded: bool = False
    stable: int = 0
    stable_failed: int = 0
    at: float | None = None

    def add(self, canary: bool, failed: bool, clock: float, rules: Rules) -> None:
        if not canary:
            self.stable += 1
            self.stable_failed += failed
        elif not self.succeeded:
            self.canary += 1
            self.succeeded = not failed
        if (
            self.at is None
            and not self.succeeded
            and self.canary >= rules.hard_stop
            and self.stable >= rules.hard_stop
            and self.stable_failed <= STABLE_FAILED * self.stable
        ):
            self.at = clock


class Shortage(NamedTuple):
    """Scores are missing, in words. `sure`: not by chance alone."""

    words: str
    sure: bool


class Completeness(msgspec.Struct):
    """Scores that came, of those that should have. Pairs are (stable, canary); pins in store time. `missed`:
    sessions without a score since the newest with one."""

    sampled: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    scored: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    newest_sampled: float = 0.0
    newest_scored: float = 0.0
    missed: int = 0

    def add(self, canary: bool, pinned_at: float, scored: bool) -> None:
        self.sampled[canary] += 1
        self.newest_sampled = max(self.newest_sampled, pinned_at)
        if scored:
            self.scored[canary] += 1
            self.newest_scored = max(self.newest_scored, pinned_at)
        self.missed = 0 if scored else self.missed + 1

    def missing(self, tolerance: float, rules: Rules) -> Shortage | None:
        """What is missing, None if nothing is. Scores that are missing in one arm more than in the other
        could hide any difference; half the judge's tolerance is what may be hidden.

        A share of few sessions is above or below its limit by chance; it is surely below where an interval
        that may be watched says so."""
        if not min(self.sampled):
            return None
        stable, canary = [got / of for got, of in zip(self.scored, self.sampled, strict=True)]
        came = f"scores came for {stable:.1%} of stable's and {canary:.1%} of the canary's judged sessions"
        if min(stable, canary) < rules.completeness:
            sure = any(high < rules.completeness for _, high in self._bounds(rules))
            return Shortage(f"{came}; needed are {rules.completeness:.0%}", sure)
        allowed = tolerance / 2.0
        if abs(stable - canary) >= allowed:
            (low, high), (canary_low, canary_high) = self._bounds(rules)
            sure = max(low - canary_high, canary_low - high) >= allowed
            return Shortage(f"{came}; the arms may differ by {allowed:.1%}", sure)
        age = self.newest_sampled - self.newest_scored
        if age > rules.score_age:
            by_chance = (1.0 - rules.completeness) ** self.missed
            return Shortage(
                f"the newest scored session is {age:.0f} s older than the newest judged one",
                by_chance <= rules.completeness_alpha,
            )
        return None

    def _bounds(self, rules: Rules) -> list[tuple[float, float]]:
        """Of the share of scored sessions in each arm."""
        alpha = rules.completeness_alpha / 2.0
        found = [watched(got, of, alpha) for got, of in zip(self.scored, self.sampled, strict=True)]
        return [(each.low, each.high) for each in found]
