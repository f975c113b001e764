from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidValue
from gateway.stats.prediction import CAP, FLOOR, HALF_LIFE, RunningMean


def test_half_of_a_start_is_left_after_a_half_life() -> None:
    mean = RunningMean(0.8)
    for _ in range(HALF_LIFE):
        mean.update(0.2)
    assert isclose(mean.get(), 0.5)


@given(st.floats(0, 1), st.lists(st.floats(0, 1), max_size=50))
def test_a_prediction_stays_where_bets_are_safe(start: float, seen: list[float]) -> None:
    mean = RunningMean(start)
    for badness in seen:
        mean.update(badness)
        assert FLOOR <= mean.get() <= CAP
        assert min([start, *seen]) - 1e-12 <= mean.value <= max([start, *seen]) + 1e-12


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_badness_changes_nothing(wrong: float) -> None:
    mean = RunningMean(0.5)
    with pytest.raises(InvalidValue):
        mean.update(wrong)
    assert mean == RunningMean(0.5)
    with pytest.raises(InvalidValue):
        RunningMean(wrong)
