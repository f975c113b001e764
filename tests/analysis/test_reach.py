"""Plans: what a policy takes, and what it could decide instead."""

from __future__ import annotations

import msgspec
import pytest

from gateway.analysis.reach import Stable, plan
from gateway.domain.policy import POLICIES
from gateway.errors import InvalidValue

STANDARD = POLICIES["standard"]


@pytest.mark.parametrize(
    ("policy", "per_hour", "eighty"),
    [
        ("standard", 100.0, 18.7),
        ("standard", 300.0, 6.6),
        ("standard", 1000.0, 2.6),
        ("standard", 10_000.0, 0.8),
        ("fast", 300.0, 2.9),
        ("fast", 1000.0, 1.3),
        ("careful", 300.0, 18.5),
        ("careful", 1000.0, 6.9),
    ],
)
def test_the_hours_are_those_that_were_simulated(policy: str, per_hour: float, eighty: float) -> None:
    """80 % of equal candidates were promoted in so many hours, judge on every session."""
    every = msgspec.structs.replace(POLICIES[policy], judged_first=1e9, judged_later=1e9)
    found = plan(every, per_hour)
    assert found.reachable
    assert found.hours == pytest.approx(eighty, rel=0.25)


def test_too_little_traffic_is_told_with_what_it_could_decide() -> None:
    found = plan(STANDARD, 30.0)
    assert not found.reachable
    assert found.hours is not None
    assert found.hours > found.max_hours
    judge = next(gate for gate in found.gates if gate.name == "judge")
    assert judge.decidable is not None
    assert judge.decidable > judge.tolerance == 0.05
    assert any(line.startswith("judge: a difference of 0.05") for line in found.advice)
    loose = msgspec.structs.replace(
        STANDARD, tolerance={**STANDARD.tolerance, "judge": judge.decidable * 1.01}
    )
    again = next(gate for gate in plan(loose, 30.0).gates if gate.name == "judge")
    assert again.hours is not None
    assert again.hours <= found.max_hours


def test_no_traffic_decides_nothing() -> None:
    found = plan(STANDARD, 0.0)
    assert found.hours is None
    assert not found.reachable
    assert {gate.decidable for gate in found.gates} == {None}
    assert any("stages alone" in line for line in found.advice)


def test_noisier_scores_take_longer() -> None:
    calm, noisy = plan(STANDARD, 300.0), plan(STANDARD, 300.0, Stable(judge_sd=0.4))
    assert calm.hours is not None
    assert noisy.hours is not None
    assert noisy.hours > 1.7 * calm.hours


def test_a_plan_is_of_real_traffic() -> None:
    with pytest.raises(InvalidValue):
        plan(STANDARD, -1.0)
