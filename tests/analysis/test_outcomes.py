"""Named outcomes of feedback as metrics of a policy."""

from __future__ import annotations

from random import Random

import pytest

from gateway.analysis.decide import decide
from gateway.analysis.evidence import Evidence
from gateway.analysis.verdict import Position, Verdict
from gateway.domain.observation import Drawn, Told
from gateway.domain.policy import Policy, read_policy
from gateway.errors import InvalidValue
from tests.support.fold import Log, evidence, pin, whole

LONG = 4 * 3600.0


def policy(**goal: object) -> Policy:
    goals = {"resolved": {"tolerance": "10%", "gate": True, **goal}}
    return read_policy({"extends": "fast", "gates": ["safety"], "outcomes": goals})


def drawn(number: int, at: float, *, canary: bool) -> Drawn:
    unit = pin(number, at, canary=canary)
    return Drawn(Random(number).randbytes(16), unit.canary, unit.weight, 1.0, 1.0, at)


def run(rates: tuple[float, float], count: int = 1500, **goal: object) -> tuple[Evidence, Policy]:
    """Sessions of which so many are resolved: stable, canary."""
    rng = Random(3)
    chosen = policy(**goal)
    state = evidence(chosen)
    log = Log(state)
    for number in range(count):
        at = number * LONG / count
        unit = drawn(number, at, canary=rng.random() < 0.5)
        resolved = rng.random() < rates[unit.canary]
        said = [Told(unit.session[:8], "resolved", 1.0, at + 60.0)] if resolved else []
        log.write(at + 1.0, *whole(unit), *said)
    log.write(LONG + 1000.0)
    return state, chosen


def verdict(state: Evidence, chosen: Policy) -> Verdict:
    stage = len(chosen.stages) - 1
    return decide(chosen, Position("progressing", stage, 0.0, 0.0, 0.5), state, LONG)


def test_outcomes_that_are_alike_pass_their_gate_and_are_shown() -> None:
    state, chosen = run((0.7, 0.7))
    found = verdict(state, chosen)
    assert (found.action, found.rule) == ("promote", "gates")
    (shown,) = [metric for metric in found.metrics if metric.name == "outcome:resolved"]
    assert shown.means == (pytest.approx(0.3, abs=0.04), pytest.approx(0.3, abs=0.04))
    assert shown.gate_passed_at is not None
    assert (shown.role, shown.tolerance) == ("signal", 0.1)


def test_an_outcome_that_is_worse_holds_up_the_rollout_and_never_rolls_back() -> None:
    state, chosen = run((0.7, 0.45))
    found = verdict(state, chosen)
    assert found.rule == "harm_e"
    assert "outcome:resolved shows some harm" in found.reason
    assert not state.alarm


def test_one_that_is_only_observed_decides_nothing() -> None:
    state, chosen = run((0.7, 0.45), gate=False, role="observe")
    assert verdict(state, chosen).action == "promote"


def test_a_gate_without_evidence_is_waited_for_by_name() -> None:
    state, chosen = run((0.7, 0.7), count=60)
    reason = verdict(state, chosen).reason
    assert "outcome:resolved" in reason or "safety" in reason


def test_a_complaint_is_bad_and_silence_is_good_where_the_goal_says_so() -> None:
    chosen = policy(absent="good", gate=False)
    state = evidence(chosen)
    log = Log(state)
    for number in range(40):
        unit = drawn(number, float(number), canary=number % 2 == 0)
        log.write(number + 1.0, *whole(unit))
        if number < 10:
            log.write(number + 1.5, Told(unit.session[:8], "resolved", 1.0, 1.0))
            log.write(number + 1.6, Told(unit.session[:8], "resolved", 0.0, 2.0))  # a correction
            log.write(number + 1.7, Told(unit.session[:8], "other", 0.0, 2.0))
    log.write(2000.0)
    (shown,) = [metric for metric in verdict(state, chosen).metrics if metric.family == "outcome"]
    assert shown.units == (20, 20)
    assert shown.means == (0.25, 0.25)
    assert state.state.told == {}


def test_a_fold_goes_on_from_its_bytes() -> None:
    state, chosen = run((0.6, 0.6), count=300)
    again = Evidence.from_bytes(state.to_bytes())
    assert verdict(again, chosen) == verdict(state, chosen)


@pytest.mark.parametrize(
    ("goals", "complaint"),
    [
        ({"resolved": {"tolerance": 0}}, "a goal's tolerance lies between 0 and 1"),
        ({"resolved": {"tolerance": 0.1, "alpha": 0.1}}, "'alpha' is no field"),
        ({"Not a name": 0.1}, "outcomes are at most 8, by the name"),
        ({"resolved": {"tolerance": 0.1, "absent": "unknown"}}, "policy: "),
    ],
)
def test_goals_that_make_no_sense_are_refused(goals: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        read_policy({"extends": "fast", "outcomes": goals})
