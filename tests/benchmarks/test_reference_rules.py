"""The other rules do what the reference simulation says of them: judge mean .8, sd .25, π = .5, up to 1,000
canary scores. Its figures come from 1,000 runs; allowed are 3.5 standard errors of both simulations.
"""

from __future__ import annotations

from math import sqrt
from random import Random

import pytest

from benchmarks.decisions.rules import Asymptotic, Fixed, FixedAgain, PeekedT, Rule
from gateway.domain.observation import Drawn, Scored
from gateway.stats.eprocess import Harm
from gateway.stats.wealth import evidence_for
from tests.stats.judged import pool, units

RUNS = 100
SESSIONS = [Drawn(b"", canary, 0.5, 1.0, 1.0, 0.0, True) for canary in (False, True)]


class OneSided(Asymptotic):
    """The reference is one-sided at .05; the tools that people use are two-sided."""

    alpha = 0.1


def found(kind: type[Rule], drop: float, runs: int = RUNS) -> list[float]:
    """Canary scores until each run's rollback, 9999 for none."""
    times = []
    for run in range(runs):
        rng, rule, seen, at = Random(f"{drop} {run}"), kind(), 0, 9999.0
        pools = pool(0.2), pool(0.2 + drop)
        while seen < 1000 and not getattr(rule, "done", False):
            canary = rng.random() < 0.5
            seen += canary
            score = 1.0 - pools[canary][int(rng.random() * len(pools[canary]))]
            if rule.trips(0.0, [Scored(SESSIONS[canary], score, 0.0)]):
                at = float(seen)
                break
        times.append(at)
    return sorted(times)


def by(times: list[float], scores: int) -> float:
    return sum(time <= scores for time in times) / len(times)


def near(rate: float, reference: float, runs: int = RUNS) -> bool:
    spread = max(reference * (1.0 - reference), 0.01)
    return abs(rate - reference) <= 3.5 * sqrt(spread * (1 / runs + 1 / 1000))


@pytest.mark.parametrize(
    ("kind", "same", "by_500", "by_1000", "median"),
    [
        (FixedAgain, 0.418, 0.90, 0.93, 32),
        (PeekedT, 0.328, 0.98, 1.00, 37),
        (OneSided, 0.030, 0.74, 0.96, 88),
    ],
)
def test_a_rule_that_is_looked_at_all_the_time(
    kind: type[Rule], same: float, by_500: float, by_1000: float, median: float
) -> None:
    assert near(by(found(kind, 0.0), 1000), same)
    small = found(kind, 0.05)
    assert near(by(small, 500), by_500)
    assert near(by(small, 1000), by_1000)
    # The t-test here begins with the tenth score of each arm, so it finds a drop sooner than the reference's.
    assert 0.6 * median <= found(kind, 0.10)[RUNS // 2] <= 1.2 * median


def test_the_fixed_rule_looked_at_once() -> None:
    assert near(by(found(Fixed, 0.0, 400), 1000), 0.246, 400)
    assert 0.35 < by(found(Fixed, 0.05, 200), 1000) < 0.65  # misses about half


def test_a_ramp_while_the_base_drifts_is_harm_for_a_pooled_test_only() -> None:
    """Weight 5 → 25 → 50 % while both arms get worse by .15. Reference: pooled t-test 100 %, this 2.7 %."""
    pooled = harmful = 0
    for run in range(60):
        rng, rule, test = Random(f"ramp {run}"), PeekedT(), Harm.of(0.0)
        tripped = crossed = False
        for step, share in enumerate((0.05, 0.25, 0.5)):
            level = 0.15 + 0.075 * step
            count = round(share * 1200)
            for canary, badness, _, predicted in units(rng, level, level, share, count):
                test.update(canary, badness, share, predicted)
                crossed = crossed or test.get() >= evidence_for(0.05)
                tripped = tripped or rule.trips(0.0, [Scored(SESSIONS[canary], 1.0 - badness, 0.0)])
        pooled += tripped
        harmful += crossed
    assert pooled >= 57
    assert near(harmful / 60, 0.027, 60)
