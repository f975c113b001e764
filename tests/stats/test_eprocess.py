from collections.abc import Callable
from itertools import product
from math import exp, isclose, isfinite, log, log1p

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import InvalidValue
from gateway.stats.eprocess import ODDS, Harm, NonInferiority, measured_share, stakes
from gateway.stats.prediction import RunningMean

Test = Harm | NonInferiority
Arms = tuple[float, float]  # the probability of badness 1 (otherwise 0): stable, canary

fraction = st.floats(0.0, 1.0)
unit = st.tuples(st.booleans(), fraction, st.floats(0.001, 0.999), fraction)


def mean_of_e(new: Callable[[], Test], arms: Arms, shares: list[float], start: float) -> float:
    """E's mean over every sequence of arms and badnesses, each with its probability; m as it would be."""
    mean = 0.0
    for path in product([(False, 0.0), (False, 1.0), (True, 0.0), (True, 1.0)], repeat=len(shares)):
        test, predicted, chance = new(), RunningMean(start), 1.0
        for (arm, badness), share in zip(path, shares, strict=True):
            chance *= (share if arm else 1.0 - share) * (arms[arm] if badness else 1.0 - arms[arm])
            test.update(arm, badness, share, predicted.get())
            predicted.update(badness)
        mean += chance * exp(test.get())
    return mean


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0, 0.8), st.floats(0, 0.19), st.lists(st.floats(0.02, 0.98), min_size=1, max_size=4), fraction
)
def test_harm_is_a_martingale_at_its_margin_and_falls_below_it(
    stable: float, margin: float, shares: list[float], start: float
) -> None:
    edge = mean_of_e(lambda: Harm.of(margin), (stable, stable + margin), shares, start)
    assert isclose(edge, 1.0, rel_tol=1e-9)
    assert mean_of_e(lambda: Harm.of(margin), (stable + 0.2, stable), shares, start) < 1.0


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0, 0.5), st.floats(0.01, 0.4), st.lists(st.floats(0.02, 0.98), min_size=1, max_size=4), fraction
)
def test_non_inferiority_is_a_martingale_at_its_tolerance_and_falls_beyond(
    stable: float, tolerance: float, shares: list[float], start: float
) -> None:
    edge = mean_of_e(lambda: NonInferiority.of(tolerance), (stable, stable + tolerance), shares, start)
    assert isclose(edge, 1.0, rel_tol=1e-9)
    worse = (stable, min(1.0, stable + tolerance + 0.1))
    assert mean_of_e(lambda: NonInferiority.of(tolerance), worse, shares, start) < 1.0


def test_an_outage_of_both_arms_changes_no_mean() -> None:
    """The rate jumps in both arms, seen by nobody beforehand: E stays a martingale."""
    mean = 0.0
    rates = [0.01, 0.01, 0.9, 0.9]
    for path in product([(False, 0.0), (False, 1.0), (True, 0.0), (True, 1.0)], repeat=len(rates)):
        harm, chance = Harm.of(0.0), 1.0
        for (arm, badness), rate in zip(path, rates, strict=True):
            chance *= (0.1 if arm else 0.9) * (rate if badness else 1.0 - rate)
            harm.update(arm, badness, 0.1, 0.01)
        mean += chance * exp(harm.get())
    assert isclose(mean, 1.0, rel_tol=1e-9)


@given(unit, st.floats(0.0, 0.99), st.floats(0.001, 0.99))
def test_no_unit_takes_more_than_nine_tenths_of_any_bettor(
    drawn: tuple[bool, float, float, float], margin: float, tolerance: float
) -> None:
    for test in (Harm.of(margin), NonInferiority.of(tolerance)):
        test.update(*drawn)
        assert min(test.wealth.sums) >= log(0.1) - 1e-9
        assert max(test.wealth.sums) < log(50.0 / 0.001)


@given(unit, st.floats(0.0, 0.99), st.floats(0.001, 0.99))
def test_one_unit_is_the_formula(
    drawn: tuple[bool, float, float, float], margin: float, tolerance: float
) -> None:
    arm, badness, share, predicted = drawn
    cases = [
        (
            Harm.of(margin),
            (arm - share) * (badness - margin * arm - predicted),
            max((1 - share) * (margin + predicted), share * (1 - predicted)),
        ),
        (
            NonInferiority.of(tolerance),
            -(arm - share) * (badness - tolerance * arm - predicted),
            max((1 - share) * max(1 - tolerance - predicted, 0), share * predicted),
        ),
    ]
    for test, outcome, risk in cases:
        test.update(*drawn)
        lambdas = [min((r - 1) / (1 + share * (r - 1)), 0.9 / risk) for r in ODDS]
        assert test.wealth.sums == pytest.approx([log1p(bet * outcome) for bet in lambdas], abs=1e-9)


def test_for_a_rare_event_a_factor_is_the_likelihood_ratio() -> None:
    share = 0.05
    for arm in (False, True):
        harm = Harm.of(0.0)
        harm.update(arm, 1.0, share, 0.0)
        ratios = [log((odds if arm else 1.0) / (1.0 + share * (odds - 1.0))) for odds in ODDS]
        expected = [max(ratio, log(0.1)) for ratio in ratios]
        assert harm.wealth.sums == pytest.approx(expected)


def test_a_zero_that_was_expected_is_no_evidence() -> None:
    harm = Harm.of(0.0)
    for arm in (False, True):
        harm.update(arm, 0.0, 0.05, 0.0)
    assert harm == Harm.of(0.0)


@given(st.lists(unit, max_size=40), st.integers(0, 40))
def test_merged_parts_are_the_whole(drawn: list[tuple[bool, float, float, float]], cut: int) -> None:
    makes: list[Callable[[], Test]] = [lambda: Harm.of(0.02), lambda: NonInferiority.of(0.05)]
    for make in makes:
        whole, first, second = make(), make(), make()
        for index, one in enumerate(drawn):
            for test in (whole, first if index < cut else second):
                test.update(*one)
        first.merge(second)
        assert isfinite(whole.get())
        assert isclose(first.get(), whole.get(), abs_tol=1e-9)


def test_the_order_of_units_with_their_predictions_is_no_matter() -> None:
    drawn = [(index % 3 == 0, index % 7 / 7, 0.1 + index % 5 / 10, index % 11 / 11) for index in range(50)]
    one, other = Harm.of(0.01), Harm.of(0.01)
    for forth, back in zip(drawn, reversed(drawn), strict=True):
        one.update(*forth)
        other.update(*back)
    assert isclose(one.get(), other.get())


def test_unlike_tests_do_not_merge() -> None:
    with pytest.raises(InvalidValue, match="differ"):
        Harm.of(0.0).merge(Harm.of(0.1))
    with pytest.raises(InvalidValue, match="differ"):
        NonInferiority.of(0.2).merge(NonInferiority.of(0.1))


nan = float("nan")


@pytest.mark.parametrize(
    "wrong",
    [
        (True, 1.1, 0.5, 0.2),
        (True, -0.1, 0.5, 0.2),
        (True, nan, 0.5, 0.2),
        (True, 0.5, 0.5, nan),
        (True, 0.5, 0.5, 1.2),
        (True, 0.5, nan, 0.2),
        (True, 0.5, 1.5, 0.2),
        (True, 0.5, 0.0, 0.2),
        (False, 0.5, 1.0, 0.2),
    ],
)
def test_a_broken_bound_is_refused_and_changes_nothing(wrong: tuple[bool, float, float, float]) -> None:
    for test, untouched in ((Harm.of(0.0), Harm.of(0.0)), (NonInferiority.of(0.1), NonInferiority.of(0.1))):
        with pytest.raises(InvalidValue):
            test.update(*wrong)
        assert test == untouched


def test_a_share_of_nothing_or_all_is_no_evidence() -> None:
    harm = Harm.of(0.1)
    harm.update(True, 1.0, 1.0, 0.2)
    harm.update(False, 1.0, 0.0, 0.2)
    assert harm == Harm.of(0.1)


def test_margins_and_tolerances_are_parts_of_one() -> None:
    for margin in (-0.1, 1.0, nan):
        with pytest.raises(InvalidValue):
            Harm.of(margin)
    for tolerance in (0.0, 1.0, nan):
        with pytest.raises(InvalidValue):
            NonInferiority.of(tolerance)


def test_the_state_survives_being_stored() -> None:
    harm = Harm.of(0.01, later=2)
    harm.update(True, 0.7, 0.2, 0.1)
    harm.start()
    harm.update(False, 0.7, 0.2, 0.1)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(harm), type=Harm) == harm


@given(st.floats(0.001, 0.999), st.floats(1e-6, 1e3))
def test_stakes_ascend_to_their_limit(share: float, limit: float) -> None:
    bets = stakes(share, limit)
    assert list(bets) == [min((odds - 1) / (1 + share * (odds - 1)), limit) for odds in ODDS]


def test_the_share_of_a_measured_unit_knows_the_sampling() -> None:
    assert measured_share(0.05, 1.0, 1.0) == 0.05
    assert measured_share(0.5, 0.1, 0.9) == pytest.approx(0.1)
    assert measured_share(0.0, 1.0, 1.0) == 0.0
    assert measured_share(1.0, 1.0, 1.0) == 1.0
    for wrong in ((0.0, 1.0, 0.0), (1.2, 1.0, 1.0), (nan, 1.0, 1.0)):
        with pytest.raises(InvalidValue):
            measured_share(*wrong)
