from itertools import product
from math import exp, isclose, prod
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidValue
from gateway.stats.srm import HOLD_AT, KAPPA, SampleRatio


def folded(arms: list[bool], shares: list[float]) -> SampleRatio:
    ratio = SampleRatio.of()
    for arm, share in zip(arms, shares, strict=True):
        ratio.update(arm, share)
    return ratio


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=8))
def test_e_is_a_martingale_where_the_shares_are_kept(shares: list[float]) -> None:
    """Every sequence of arms, each with its probability: the mean of E is 1."""
    mean = 0.0
    for arms in product([False, True], repeat=len(shares)):
        chance = prod(share if arm else 1.0 - share for arm, share in zip(arms, shares, strict=True))
        mean += chance * exp(folded(list(arms), shares).get())
    assert isclose(mean, 1.0, rel_tol=1e-9)


@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 0.99)), max_size=30))
def test_the_arms_are_treated_alike(units: list[tuple[bool, float]]) -> None:
    ratio = folded([arm for arm, _ in units], [share for _, share in units])
    mirrored = folded([not arm for arm, _ in units], [1.0 - share for _, share in units])
    assert isclose(ratio.get(), mirrored.get(), abs_tol=1e-9)


def test_every_factor_is_the_formula() -> None:
    for arm, share in product([False, True], [0.05, 0.5, 0.9]):
        deviation = arm - share
        factors = [1 + k * deviation / share for k in KAPPA] + [
            1 - k * deviation / (1 - share) for k in KAPPA
        ]
        assert isclose(exp(folded([arm], [share]).get()), sum(factors) / 10)
        assert min(factors) >= 0.6 - 1e-12


def test_thirteen_percent_instead_of_ten_holds_after_about_2000_sessions() -> None:
    found = []
    for run in range(60):
        rng = Random(f"ratio {run}")
        ratio = SampleRatio.of()
        while ratio.get() < HOLD_AT:
            for _ in range(20):
                ratio.update(rng.random() < 0.13, 0.1)
        found.append(ratio.units)
    assert 1500 < sorted(found)[30] < 2500


def test_kept_shares_do_not_hold() -> None:
    rng = Random("kept")
    worst = 0.0
    for _ in range(20):
        ratio = SampleRatio.of()
        for index in range(3000):
            share = 0.05 if index < 1500 else 0.5
            ratio.update(rng.random() < share, share)
            if index % 50 == 0:
                worst = max(worst, ratio.get())
    assert worst < HOLD_AT


def test_a_share_of_nothing_or_all_leaves_nothing_to_bet_on() -> None:
    ratio = folded([False, True], [0.0, 1.0])
    assert ratio == SampleRatio.of()
    with pytest.raises(InvalidValue):
        ratio.update(True, 1.5)


@given(st.lists(st.booleans(), max_size=20), st.lists(st.booleans(), max_size=20))
def test_merged_streams_are_one(first: list[bool], second: list[bool]) -> None:
    mine = folded(first, [0.1] * len(first))
    mine.merge(folded(second, [0.1] * len(second)))
    whole = folded(first + second, [0.1] * len(first + second))
    assert mine.units == whole.units
    assert isclose(mine.get(), whole.get(), abs_tol=1e-9)


def test_counts_of_one_arm_and_share_are_the_same_as_one_by_one() -> None:
    one, counted = SampleRatio.of(), SampleRatio.of()
    for canary, share, count in ((True, 0.1, 30), (False, 0.1, 200), (True, 0.5, 9), (True, 1.0, 4)):
        for _ in range(count):
            one.update(canary, share)
        counted.add(canary, share, count)
    assert counted.wealth.sums == pytest.approx(one.wealth.sums)
    assert counted.units == one.units == 239
