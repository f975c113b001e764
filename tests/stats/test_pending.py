"""Units between two looks: the same numbers as one at a time."""

from __future__ import annotations

from random import Random

import pytest

from gateway.errors import InvalidValue
from gateway.stats.eprocess import Harm, NonInferiority
from gateway.stats.intervals import Effect
from gateway.stats.pending import SPILL, Pending, may_reach
from gateway.stats.prediction import RunningMean


def units(seed: int, count: int, extreme: bool) -> list[tuple[bool, float, float]]:
    rng = Random(seed)
    shares = (0.05, 0.5, 0.9)
    return [
        (rng.random() < 0.5, float(rng.random() < 0.5) if extreme else rng.random(), rng.choice(shares))
        for _ in range(count)
    ]


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("margin", [0.0, 0.04])
@pytest.mark.parametrize("every", [1, 7, 1000])
def test_it_adds_up_to_what_the_tests_say(every: int, margin: float, extreme: bool) -> None:
    harm, gate, mean, effect = Harm.of(margin), NonInferiority.of(0.05), RunningMean(0.2), Effect.of(0.1, 0.1)
    pending = Pending(margin, 0.05, 0.2)
    sums, shown = [0.0] * 8, [0.0] * 8
    for number, (canary, badness, share) in enumerate(units(1, 1000, extreme), 1):
        predicted = mean.get()
        for test in (harm, gate, effect):
            test.update(canary, badness, share, predicted)
        mean.update(badness)
        pending.fold(canary, badness, share)
        if number % every == 0 or number == 1000:
            sums = pending.harm.take(sums)
            shown = pending.gate.take(shown)
    assert sums == pytest.approx(harm.wealth.sums, rel=1e-9)
    assert shown == pytest.approx(gate.wealth.sums, rel=1e-9)
    assert pending.mean == pytest.approx(mean.value)
    assert [pending.seen0, pending.seen1] == effect.units
    assert [pending.badness0, pending.badness1] == pytest.approx(effect.badness)
    found = pending.difference, pending.squares, pending.information
    assert found == pytest.approx((effect.difference, effect.squares, effect.information))


@pytest.mark.parametrize("badness", [0.0, 1.0])
def test_a_product_stays_a_number_however_one_sided_the_units_are(badness: float) -> None:
    """The worst canary, or the best, a hundred times as often as logarithms are taken."""
    harm, mean = Harm.of(0.0), RunningMean(0.002)
    pending = Pending(0.0, 0.0, 0.002)
    for _ in range(100 * SPILL):
        harm.update(True, badness, 0.05, mean.get())
        mean.update(badness)
        pending.fold(True, badness, 0.05)
    assert pending.harm.take([0.0] * 8) == pytest.approx(harm.wealth.sums)


def test_a_gate_that_is_none_takes_no_part() -> None:
    pending = Pending(0.0, 0.0, 0.2)
    pending.fold(True, 0.1, 0.5)
    assert pending.gate.take([0.0] * 8) == [0.0] * 8
    assert pending.units == 1
    pending.clear()
    assert (pending.units, pending.mean) == (0, pytest.approx(0.2, abs=0.01))


@pytest.mark.parametrize(("badness", "share"), [(1.1, 0.5), (float("nan"), 0.5), (0.5, 0.0), (0.5, 1.5)])
def test_a_unit_that_breaks_a_bound_changes_nothing(badness: float, share: float) -> None:
    pending = Pending(0.0, 0.05, 0.2)
    with pytest.raises(InvalidValue):
        pending.fold(True, badness, share)
    assert (pending.units, pending.mean, pending.harm.take([0.0] * 8)) == (0, 0.2, [0.0] * 8)


def test_a_unit_whose_arm_was_certain_brings_nothing_but_its_badness() -> None:
    pending = Pending(0.0, 0.05, 0.2)
    pending.fold(True, 1.0, 1.0)
    assert pending.harm.take([0.0] * 8) == pending.gate.take([0.0] * 8) == [0.0] * 8
    assert (pending.seen1, pending.badness1, pending.information) == (1, 1.0, 0.0)


@pytest.mark.parametrize(
    ("marks", "bar", "may"),
    [([], 1.0, True), ([], 1.1, False), ([[-1.0] * 8], 2.0, True), ([[-1.0] * 8, [0.5] * 8], 2.1, False)],
)
def test_the_best_bettor_of_any_start_is_what_a_mean_can_reach(
    marks: list[list[float]], bar: float, may: bool
) -> None:
    assert may_reach([0.0, 1.0, *[-3.0] * 6], marks, bar) is may
