"""Sample rates: within the cap, the control first."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import rates
from gateway.domain.rates import Rates, judged, measured

CAP = 500.0


def test_the_examples_print_what_they_say() -> None:
    assert doctest.testmod(rates).failed == 0


@given(st.floats(0, 1e6), st.floats(0, 1))
def test_measured_sessions_stay_within_the_cap_and_the_control_is_large(
    sessions: float, weight: float
) -> None:
    found = measured(sessions, weight, cap=CAP, stable_per_canary=9)
    assert 0 <= found.q1 <= 1 and 0 <= found.q0 <= 1
    canary, stable = sessions * weight * found.q1, sessions * (1 - weight) * found.q0
    assert canary + stable <= CAP * (1 + 1e-9)
    assert found.q0 == 1 or stable >= 9 * canary * (1 - 1e-9)
    if sessions >= CAP:  # nothing that may be measured is left out
        assert canary + stable >= CAP * (1 - 1e-9) or found.q1 == 1 == weight


@pytest.mark.parametrize(
    ("weight", "of", "ratio", "shares"),
    [(0.5, Rates(), 1.0, (1, 1)), (0.9, Rates(), 1.0, (1, 1)), (0.0, Rates(), 3.0, (1, 1))],
)
def test_all_canary_sessions_are_judged(weight: float, of: Rates, ratio: float, shares: object) -> None:
    assert judged(weight, of, ratio) == shares


def test_stable_ones_are_judged_in_the_ratio_of_the_policy() -> None:
    of = Rates(0.5, 0.8)
    found = judged(0.05, of, 3.0)
    assert 0.95 * of.q0 * found.q0 == pytest.approx(3.0 * 0.05 * of.q1 * found.q1)
