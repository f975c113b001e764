"""A rollout whose policy begins with a shadow stage: how it starts, goes on and ends, as values."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from gateway.analysis.sampling import Rates
from gateway.analysis.verdict import Verdict
from gateway.control import plan, stages
from gateway.control.acting import Seen, act
from gateway.control.case import begin, position_of, steps_of
from gateway.control.changes import rollout_summary
from gateway.control.plan import By, Under
from gateway.control.views import rollout_view, warnings
from gateway.domain.pins import Ask, PinRules, View, decide
from gateway.domain.policy import read_policy
from gateway.domain.prompt import Gate
from gateway.domain.rollout import RAISE_LEAD, Deployment, Rollout, state_of
from gateway.errors import TransitionRefused

ANN = By("ann", "because")
POLICY = read_policy({"extends": "standard", "stages": ["shadow", 0.05, 0.5, 1]})
ALL = Rates(1.0, 1.0, 1.0, 1.0)
SEEN = Seen(0.3, 1000.0, 500.0)


def started(now: float = 100.0) -> Deployment:
    empty = Deployment("support", live=1, gates={1: Gate("passed"), 2: Gate("passed")})
    return plan.start(empty, 2, Under("mine", POLICY), id="r1", salt="s", now=now, by=ANN).deployment


def rollout(deployment: Deployment) -> Rollout:
    assert deployment.rollout is not None
    return deployment.rollout


def verdict(action: str, **fields: object) -> Verdict:
    return replace(Verdict("bake", "a rule", "a reason", 1, 10.0), action=action, **fields)


def test_it_starts_at_weight_0_and_survives_storage() -> None:
    found = rollout(started())
    assert found.in_shadow
    assert (found.stages, found.stage, found.stage_since) == ((), 0, 100.0)
    assert [weight.value for weight in found.weights] == [0.0]
    assert found.weights[0].j0 == 0.0  # nobody is judged alone
    assert msgspec.json.decode(msgspec.json.encode(started()), type=Deployment) == started()
    assert state_of(started(), 2) == "canary"


def test_no_session_goes_to_the_candidate_nor_needs_a_look_up() -> None:
    found = rollout(started())
    for number in range(200):
        view = View(1, found, 200.0, 0.0)
        drawn = decide(view, Ask(number.to_bytes(16, "big"), False), None, PinRules())
        assert getattr(drawn, "arm", "") == "stable"
        assert getattr(drawn, "evidence", False)


def test_what_the_controller_may_do_in_it() -> None:
    deployment = started()
    assert act(deployment, verdict("bake"), SEEN, 500.0) is None  # no weight, whatever the traffic asks for
    held = act(deployment, verdict("hold", hold="completeness"), SEEN, 500.0)
    assert held is not None
    assert rollout(held.planned.deployment).hold is not None
    back = act(deployment, verdict("roll_back"), SEEN, 500.0)
    assert back is not None
    assert (back.planned.deployment.live, back.planned.deployment.rollout) == (1, None)


def test_it_goes_on_to_the_first_stage_at_its_traffic() -> None:
    done = act(started(), verdict("advance"), SEEN, 5000.0)
    assert done is not None
    assert done.event == "advance"
    found = rollout(done.planned.deployment)
    assert not found.in_shadow
    assert (found.stages, found.stage, found.hold) == ((5000.0 + RAISE_LEAD,), 0, None)
    assert found.weights[-1].value == 0.05
    assert found.weights[-1].j0 == pytest.approx(3 * 0.05 / 0.95)
    again = act(done.planned.deployment, verdict("advance"), SEEN, 9000.0)
    assert again is not None
    assert (rollout(again.planned.deployment).stage, rollout(again.planned.deployment).weights[-1].value) == (
        1,
        0.5,
    )


def test_the_maximum_bake_counts_from_the_first_stage_and_steps_are_those_of_stages() -> None:
    deployment = started()
    at = position_of(rollout(deployment), 200.0)
    assert (at.in_shadow, at.started_at, at.stage_since, at.weight) == (True, 100.0, 100.0, 0.0)
    exposed = rollout(stages.expose(deployment, 0.05, ALL, now=5000.0).deployment)
    at = position_of(exposed, 6000.0)
    assert (at.in_shadow, at.started_at, at.stage_since) == (False, 5001.0, 5001.0)
    assert steps_of(exposed) == ()
    assert begin(exposed).state.shadow is not None


def test_what_a_person_may_do_in_it() -> None:
    deployment = started()
    with pytest.raises(TransitionRefused, match="shadow stage"):
        plan.change(deployment, "set_weight", weight=0.5, now=200.0, by=ANN)
    paused = plan.change(deployment, "pause", now=200.0, by=ANN).deployment
    assert rollout(paused).in_shadow
    aborted = plan.change(paused, "abort", now=300.0, by=ANN)
    assert aborted.ended is not None
    assert aborted.deployment.live == 1
    watched = rollout(plan.change(deployment, "promote", now=200.0, by=ANN).deployment)
    assert (watched.in_shadow, watched.in_watch, watched.weights[-1].value) == (False, True, 0.9)
    assert len(steps_of(watched)) == 1


def test_only_once_and_only_from_there() -> None:
    exposed = stages.expose(started(), 0.05, ALL, now=5000.0).deployment
    with pytest.raises(TransitionRefused):
        stages.expose(exposed, 0.5, ALL, now=6000.0)
    with pytest.raises(TransitionRefused):
        stages.advance(started(), 0.5, ALL, now=6000.0)


def test_people_are_shown_that_it_is_in_it_and_when_its_traffic_is_too_little() -> None:
    deployment = started()
    assert rollout_view(rollout(deployment), 200.0).shadow
    told = rollout_summary(rollout(deployment))
    assert told is not None
    assert told["stage"] == "shadow"
    assert any("shadow stage takes" in line for line in warnings(rollout(deployment), 1.0))
