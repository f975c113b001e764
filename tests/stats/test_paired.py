"""Pairs, simulated: differences are normal with sd .15 and .20, cut to [−1, 1]; a look after every pair."""

from collections.abc import Callable
from math import log1p
from random import Random

import pytest

from gateway.errors import InvalidValue
from gateway.stats.paired import KAPPA, RISK, Paired
from gateway.stats.wealth import Wealth, evidence_for, log_mean

RUNS = 1000
NEVER = 10**9
SDS = (0.15, 0.2)


def harm(test: Paired) -> Wealth:
    return test.harm


def gate(test: Paired) -> Wealth:
    return test.gate


def pairs_until(
    mean: float, sd: float, which: Callable[[Paired], Wealth], alpha: float, *, most: int, runs: int = RUNS
) -> list[int]:
    """The number of pairs at which each run decides, in order of size."""
    bar = evidence_for(alpha)
    found = []
    for run in range(runs):
        rng = Random(f"{mean} {sd} {run}")
        test = Paired.of(0.0, 0.05)
        wealth = which(test)
        decided = NEVER
        for pair in range(1, most + 1):
            test.update(max(-1.0, min(1.0, rng.gauss(mean, sd))))
            if max(wealth.sums) >= bar and wealth.get() >= bar:
                decided = pair
                break
        found.append(decided)
    return sorted(found)


@pytest.mark.parametrize("sd", SDS)
def test_a_candidate_worse_by_a_tenth_is_found_with_under_130_pairs_in_nine_of_ten_runs(sd: float) -> None:
    found = pairs_until(0.1, sd, harm, 0.01, most=200)
    assert found[int(0.9 * RUNS)] < 130
    assert sum(pairs < 130 for pairs in found) / RUNS >= 0.9


@pytest.mark.parametrize("sd", SDS)
def test_an_equal_candidate_is_seldom_found_harmful(sd: float) -> None:
    found = pairs_until(0.0, sd, harm, 0.01, most=500, runs=400)
    assert sum(pairs < NEVER for pairs in found) / 400 <= 0.0175  # α and 1.5 standard errors


@pytest.mark.parametrize(("sd", "pairs"), [(0.15, 160), (0.2, 205)])
def test_an_equal_candidate_passes_in_four_of_five_runs_with_so_many_pairs(sd: float, pairs: int) -> None:
    """The reference: 160 to 205 pairs."""
    found = pairs_until(0.0, sd, gate, 0.05, most=300, runs=400)
    assert found[int(0.8 * 400)] <= pairs


@pytest.mark.parametrize("sd", SDS)
def test_one_that_is_worse_by_the_tolerance_passes_in_at_most_one_of_twenty(sd: float) -> None:
    found = pairs_until(0.05, sd, gate, 0.05, most=400, runs=400)
    assert sum(pairs < NEVER for pairs in found) / 400 <= 0.05 + 1.5 * (0.05 * 0.95 / 400) ** 0.5


def test_both_tests_are_the_written_formula() -> None:
    test = Paired.of(0.02, 0.1)
    differences = (0.3, -0.2, 0.0, 1.0, -1.0)
    for difference in differences:
        test.update(difference)
    harm = [sum(log1p(kappa * RISK / 1.02 * (d - 0.02)) for d in differences) for kappa in KAPPA]
    gate = [sum(log1p(kappa * RISK / 0.9 * (0.1 - d)) for d in differences) for kappa in KAPPA]
    assert test.harm.get() == pytest.approx(log_mean(harm))
    assert test.gate.get() == pytest.approx(log_mean(gate))


def test_no_pair_ruins_a_bettor() -> None:
    test = Paired.of(0.0, 0.05)
    test.update(-1.0)
    assert min(test.harm.sums) == pytest.approx(log1p(-RISK))
    test.update(1.0)
    assert min(test.gate.sums) >= log1p(-RISK)


@pytest.mark.parametrize("difference", [1.01, -1.01, float("nan"), float("inf")])
def test_what_is_no_difference_changes_nothing(difference: float) -> None:
    test = Paired.of(0.0, 0.05)
    with pytest.raises(InvalidValue):
        test.update(difference)
    assert (test.pairs, test.harm.get(), test.gate.get()) == (0, 0.0, 0.0)


@pytest.mark.parametrize(("margin", "tolerance"), [(-0.1, 0.1), (1.0, 0.1), (0.0, 0.0), (0.0, 1.0)])
def test_margin_and_tolerance_have_limits(margin: float, tolerance: float) -> None:
    with pytest.raises(InvalidValue):
        Paired.of(margin, tolerance)


def test_two_parts_merged_are_the_whole() -> None:
    whole, first, second = (Paired.of(0.0, 0.05) for _ in range(3))
    rng = Random("merge")
    for number in range(50):
        difference = rng.uniform(-1.0, 1.0)
        whole.update(difference)
        (first if number < 20 else second).update(difference)
    first.merge(second)
    assert first.harm.get() == pytest.approx(whole.harm.get())
    assert first.gate.get() == pytest.approx(whole.gate.get())
    assert first.get() == pytest.approx(whole.get())
    with pytest.raises(InvalidValue):
        first.merge(Paired.of(0.0, 0.1))


def test_the_interval_holds_the_truth_however_long_one_looks() -> None:
    missed = 0
    for run in range(200):
        rng = Random(f"interval {run}")
        test = Paired.of(0.0, 0.05)
        for pair in range(300):
            test.update(max(-1.0, min(1.0, rng.gauss(0.1, 0.2))))
            found = test.get()
            if pair >= 20 and found is not None and not found.low <= 0.1 <= found.high:
                missed += 1
                break
    assert missed <= 16  # 5 % and 1.5 standard errors


def test_there_is_no_interval_before_the_second_pair() -> None:
    test = Paired.of(0.0, 0.05)
    assert test.get() is None
    test.update(0.1)
    assert test.get() is None
