"""Error rates and speeds, simulated: judge mean .8 and sd .25, π = .5, a look after every score, up to
1,000 canary scores. The reference figures come from 1,000 runs; allowed are 3.5 standard errors of both
simulations.
"""

from math import comb, log, sqrt
from random import Random

import pytest

from gateway.stats.eprocess import RISK, Harm, NonInferiority
from gateway.stats.power import POWER_80, POWER_90, canary_units
from gateway.stats.wealth import Wealth, evidence_for, log_mean
from tests.stats.judged import Run, first_crossings, units

RUNS = 250
KAPPA = (0.01, 0.02, 0.04, 0.08, 0.12, 0.18, 0.26, 0.36, 0.5, 0.7)
BARS = [evidence_for(0.05), evidence_for(0.01)]


class KappaHarm:
    """Harm with stakes κ Λ: the grid of the reference figures."""

    def __init__(self) -> None:
        self.wealth = Wealth.of(len(KAPPA))

    def update(self, canary: bool, badness: float, share: float, predicted: float) -> None:
        limit = 1.0 / max((1.0 - share) * predicted, share * (1.0 - predicted))
        self.wealth.bet((canary - share) * (badness - predicted), [kappa * limit for kappa in KAPPA])


def simulated(drop: float, runs: int = RUNS, *, kappa: bool = True) -> list[Run]:
    results = []
    for run in range(runs):
        test: KappaHarm | Harm = KappaHarm() if kappa else Harm.of(0.0)
        wealth = test.wealth
        stream = units(Random(f"{drop} {run}"), 0.2, 0.2 + drop, 0.5, 1000)
        results.append(first_crossings(stream, test.update, lambda w=wealth: w.sums, wealth.get, BARS))
    return results


def found_by(results: list[Run], bar: int, units_seen: int) -> float:
    times = [run[bar] for run in results]
    return sum(time is not None and time <= units_seen for time in times) / len(results)


def median(results: list[Run], bar: int) -> float:
    return sorted(run[bar] or 9999 for run in results)[len(results) // 2]


def near(found: float, reference: float, runs: int = RUNS) -> bool:
    return abs(found - reference) < 3.5 * sqrt(reference * (1.0 - reference) * (1 / runs + 1 / 1000)) + 0.005


def test_no_harm_is_seldom_found() -> None:
    results = simulated(0.0)
    assert near(found_by(results, 0, 1000), 0.024)
    assert near(found_by(results, 1, 1000), 0.009)


def test_a_drop_of_5_points_is_mostly_found() -> None:
    results = simulated(0.05)
    assert near(found_by(results, 0, 500), 0.70)
    assert near(found_by(results, 0, 1000), 0.96)
    assert near(found_by(results, 1, 500), 0.46)
    assert near(found_by(results, 1, 1000), 0.87)


def test_a_drop_of_10_points_is_found_soon() -> None:
    results = simulated(0.10, 500)
    assert 87 <= median(results, 0) <= 107  # reference 97
    assert 130 <= median(results, 1) <= 158  # reference 144
    odds = simulated(0.10, 500, kappa=False)
    assert median(odds, 0) < median(results, 0)  # the grid of odds ratios is faster
    assert 107 <= median(odds, 1) <= 138  # reference 121


def test_a_gate_without_a_difference_opens_in_its_planned_units() -> None:
    n0 = canary_units(0.0625, 0.05, 0.5)
    results = []
    for run in range(RUNS):
        gate = NonInferiority.of(0.05)
        stream = units(Random(f"gate {run}"), 0.2, 0.2, 0.5, 900)
        results.append(first_crossings(stream, gate.update, lambda g=gate: g.wealth.sums, gate.get, BARS[:1]))
    assert abs(found_by(results, 0, round(POWER_80 * n0)) - 0.80) < 0.09
    assert abs(found_by(results, 0, round(POWER_90 * n0)) - 0.90) < 0.07


def test_a_candidate_at_its_tolerance_seldom_passes() -> None:
    passed = 0
    for run in range(RUNS):
        gate = NonInferiority.of(0.05)
        stream = units(Random(f"boundary {run}"), 0.2, 0.25, 0.5, 600)
        passed += (
            first_crossings(stream, gate.update, lambda g=gate: g.wealth.sums, gate.get, BARS[:1])[0]
            is not None
        )
    assert passed / RUNS < 0.05 + 0.03


def test_an_outage_in_both_arms_is_no_harm() -> None:
    """Errors at .5 %, at 60 % for a while, ramp 5 → 50 %: nothing is rolled back at α .01."""
    for run in range(60):
        rng = Random(f"outage {run}")
        harm = Harm.of(0.0)
        worst = 0.0
        for index in range(4000):
            share = 0.05 if index < 2000 else 0.5
            rate = 0.6 if 1500 < index < 2500 else 0.005
            arm = rng.random() < share
            if rng.random() < rate:
                harm.update(arm, 1.0, share, 0.0)
                worst = max(worst, harm.get())
        assert worst < BARS[1] + log(10)


def test_an_effect_that_begins_late_is_found_sooner_by_a_later_start() -> None:
    """Mean .1 worse from the 600th canary unit on. Reference: 159 more units instead of 297."""

    def needed(run: int, *, later: int) -> int:
        rng = Random(f"late {run}")
        harm = Harm.of(0.0, later=later)
        for unit in units(rng, 0.2, 0.2, 0.5, 600):
            harm.update(*unit)
        if later:
            harm.start()
        stream = units(rng, 0.2, 0.3, 0.5, 1500)
        return first_crossings(stream, harm.update, lambda: [harm.get()], harm.get, BARS[1:])[0] or 9999

    plain = sorted(needed(run, later=0) for run in range(30))[15]
    again = sorted(needed(run, later=1) for run in range(30))[15]
    assert again < 0.75 * plain
    assert 120 < again < 200


def test_errors_of_5_percent_are_found_as_soon_as_one_start_can() -> None:
    """Errors .5 → 5 % at α .01; weight .1 for 50 canary sessions and while E is above 3, then .5; one start.
    Reference, standard at 1,000 sessions/h: 130 canary sessions in the median, 376 at 90 %; 1,500 of these
    give 139 and 403. Starts that share the weight take longer (docs/adr/0013)."""

    def served(run: int, later: int) -> int:
        rng = Random(f"errors {run}")
        harm, share, canaries = Harm.of(0.0, later=later), 0.1, 0
        while canaries < 2000:
            if share == 0.1 and canaries >= 50 and harm.wealth.first() < log(3.0):
                share = 0.5
                if later:
                    harm.start()
            canary = rng.random() < share
            canaries += canary
            if rng.random() < (0.05 if canary else 0.005):
                harm.update(canary, 1.0, share, 0.0)
                if harm.get() >= BARS[1]:
                    break
        return canaries

    one = sorted(served(run, 0) for run in range(600))
    assert one[300] == pytest.approx(130, rel=0.2)
    assert one[540] == pytest.approx(376, rel=0.2)
    shared = sorted(served(run, 2) for run in range(600))
    assert one[300] < shared[300] < 1.4 * one[300]


def test_a_family_keeps_its_alpha_where_each_of_its_tests_would_not() -> None:
    """Ten independent tests at a margin's edge: their mean crosses 20 in at most 5 % of runs."""
    rng = Random("family")
    crossed = 0
    for _ in range(150):
        family = [Harm.of(0.0) for _ in range(10)]
        for _ in range(60):
            arm = rng.random() < 0.5
            for test in family:
                test.update(arm, float(rng.random() < 0.3), 0.5, 0.3)
            if log_mean([test.get() for test in family]) >= BARS[0]:
                crossed += 1
                break
    assert crossed / 150 <= 0.05 + 0.036


@pytest.mark.parametrize(("rate", "looks", "expected"), [(0.01, 30, 0.260)])
def test_two_percent_of_thirty_is_one_flag(rate: float, looks: int, expected: float) -> None:
    """The rule "flag rate > 2 % at n = 30" rolls back on a single flag: exact binomial."""
    harmless = sum(
        comb(looks, hits) * rate**hits * (1 - rate) ** (looks - hits)
        for hits in range(looks + 1)
        if hits <= 0.02 * looks
    )
    assert round(1 - harmless, 3) == expected


def test_a_bettor_never_risks_all() -> None:
    assert RISK < 1.0
