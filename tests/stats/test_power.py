from math import inf, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidValue
from gateway.stats import power
from gateway.stats.power import Step

JUDGE = 0.0625  # sd .25


def test_classic_sample_size_of_a_rate_is_the_published_one() -> None:
    """spotify/confidence: rate .7, +.617 % relative, weights 5000/2000/3000, α .01, two metrics, two arms."""
    rate, effect = 0.7, 0.7 * 0.00617
    treated = rate + effect
    total = power.classic_units(
        (rate * (1.0 - rate), 0.5), (treated * (1.0 - treated), 0.2), effect, alpha=0.01 / 4, power=0.8
    )
    assert isclose(total, 1_042_868, rel_tol=2e-5)


def test_classic_sample_size_of_a_mean_is_the_published_one() -> None:
    total = power.classic_units((2.13, 0.5), (2.13, 0.2), 0.0456, alpha=0.01 / 4, power=0.8)
    assert isclose(total, 95_459, rel_tol=2e-5)


def test_classic_sample_size_of_non_inferiority_is_the_published_one() -> None:
    variance, margin = 0.21, 0.7 * 0.00617
    total = power.classic_units((variance, 5 / 7), (variance, 2 / 7), margin, alpha=0.01, power=0.8)
    assert isclose(total, 553_620, rel_tol=2e-5)


def test_canary_units_of_the_judge_gate() -> None:
    assert round(power.canary_units(JUDGE, 0.05, 0.5)) == 300
    assert power.canary_units(JUDGE, 0.05, 0.1) < power.canary_units(JUDGE, 0.05, 0.5)


def test_the_weight_that_reaches_a_plan() -> None:
    assert power.raised_weight(planned=600, seen=100, rate=1000, hours_left=1) == 0.5
    assert power.raised_weight(planned=600, seen=600, rate=0, hours_left=0) == 0.0
    assert power.raised_weight(planned=600, seen=100, rate=1000, hours_left=0) == inf
    assert power.raised_weight(planned=600, seen=0, rate=100, hours_left=2) == 3.0  # out of reach


@pytest.mark.parametrize(("rate", "hours"), [(100, 18.7), (300, 6.6), (1000, 2.6)])
def test_expected_hours_of_the_standard_policy(rate: float, hours: float) -> None:
    """Simulated A/A rollouts under `standard`, all gates: 80 % are promoted by then.

    There a unit was final a quarter of an hour after its pin: ten minutes and the upstream's time limit.
    """
    weight = min(max(100 / rate, 0.05), 0.5)
    steps = (Step(weight, bake=0.25, units=50), Step(0.5, bake=0.5, units=50))
    planned = power.information_needed(JUDGE, 0.05) * power.ALL_GATES
    assert isclose(power.expected_hours(planned, steps, rate) + 0.25, hours, rel_tol=0.1)


def test_bakes_bound_a_plan_that_traffic_does_not() -> None:
    steps = (Step(0.05, bake=0.25, units=50), Step(0.5, bake=0.5))
    assert power.expected_hours(100.0, steps, 1e6) == 0.75
    assert power.expected_hours(100.0, steps, 0.0) == inf
    assert power.expected_hours(100.0, (Step(0.5, stable_rate=0.0),), 100.0) == inf


@given(
    rate=st.floats(0.0, 1.0),
    units=st.floats(20.0, 1e6),
    share=st.floats(0.01, 0.9),
)
def test_the_decidable_tolerance_needs_just_these_units(rate: float, units: float, share: float) -> None:
    tolerance = power.decidable_tolerance(JUDGE, units, share)
    assert isclose(power.canary_units(JUDGE, tolerance, share) * power.POWER_80, units, rel_tol=1e-9)
    tolerance = power.decidable_binary_tolerance(rate, units, share)
    middle = rate + tolerance / 2.0
    if 1e-3 < middle < 1.0 - 1e-3:
        needed = power.canary_units(power.binary_variance(rate, tolerance), tolerance, share)
        assert isclose(needed * power.POWER_80, units, rel_tol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Step(1.0),
        lambda: Step(0.5, bake=-1.0),
        lambda: power.binary_variance(1.0, 0.2),
        lambda: power.information_needed(JUDGE, 0.0),
        lambda: power.canary_units(JUDGE, 0.05, 1.0),
        lambda: power.canary_units(JUDGE, 0.05, 0.5, alpha=0.0),
        lambda: power.decidable_tolerance(JUDGE, 0.0, 0.5),
        lambda: power.expected_hours(1.0, (), 1.0),
        lambda: power.classic_units((1.0, 0.5), (1.0, 0.5), 0.0, alpha=0.05, power=0.8),
    ],
)
def test_what_cannot_be_planned_is_refused(wrong) -> None:
    with pytest.raises(InvalidValue):
        wrong()
