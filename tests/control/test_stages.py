"""What the controller does to a rollout under a policy, as dialogues on values and as laws."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.analysis.sampling import Rates
from gateway.control import plan, stages
from gateway.control.plan import By, Planned, Under
from gateway.domain.policy import POLICIES
from gateway.domain.prompt import Gate
from gateway.domain.rollout import RAISE_LEAD, Deployment, Rollout, state_of
from gateway.errors import TransitionRefused

ANN, CONTROLLER = By("ann", "because"), By("controller", "evidence")
ALL = Rates(1.0, 1.0, 1.0, 1.0)
PASSED = Gate("passed")


def started(now: float = 0.0, policy: str = "standard") -> Deployment:
    empty = Deployment("support", live=1, gates={1: PASSED, 2: PASSED})
    under = Under(policy, POLICIES[policy])
    return plan.start(empty, 2, under, id="r1", salt="s", now=now, by=ANN).deployment


def rollout(deployment: Deployment) -> Rollout:
    assert deployment.rollout is not None
    return deployment.rollout


def test_it_starts_at_the_least_weight_of_the_first_stage_and_survives_storage() -> None:
    deployment = started(now=100.0)
    assert rollout(deployment).weight_at(100.0 + RAISE_LEAD).value == 0.05
    assert rollout(deployment).stages == (100.0 + RAISE_LEAD,)
    assert rollout(deployment).weights[0].j0 == pytest.approx(3 * 0.05 / 0.95)
    assert msgspec.json.decode(msgspec.json.encode(deployment), type=Deployment) == deployment


def test_a_whole_life_by_evidence() -> None:
    deployment = stages.size(started(), 0.1, ALL, now=10.0).deployment
    deployment = stages.raise_weight(deployment, 0.2, ALL, now=15.0).deployment
    assert (rollout(deployment).stage, rollout(deployment).weights[-1].value) == (0, 0.2)
    assert rollout(deployment).raises == 1
    deployment = stages.advance(deployment, 0.5, ALL, now=20.0).deployment
    assert (rollout(deployment).stage, rollout(deployment).stage_since) == (1, 21.0)
    assert state_of(deployment, 2) == "canary"
    planned = plan.watch(deployment, now=30.0)
    assert (planned.event, planned.deployment.live, planned.ended) == ("watch", 2, None)
    watched = rollout(planned.deployment)
    assert (watched.in_watch, watched.stage_since, watched.weight_at(31.0).value) == (True, 31.0, 0.9)
    assert state_of(planned.deployment, 2) == "promoting"
    planned = stages.finish(planned.deployment, now=40.0, by=CONTROLLER)
    assert (planned.deployment.live, planned.deployment.rollout) == (2, None)
    assert planned.ended is not None
    assert planned.ended.phase == "promoted"
    assert state_of(planned.deployment, 2) == "live"


def in_watch() -> Deployment:
    return plan.watch(started(), now=30.0).deployment


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("watching", [False, True])
@pytest.mark.parametrize(("event", "state"), [("roll_back", "rolled_back"), ("abort", "ready")])
def test_a_rollback_brings_the_baseline_back_from_everywhere(
    event: str, state: str, watching: bool, paused: bool
) -> None:
    deployment = in_watch() if watching else started()
    if paused:
        deployment = plan.change(deployment, "pause", now=31.0, by=ANN).deployment
    planned = plan.change(deployment, event, now=40.0, by=ANN)  # type: ignore[arg-type]
    assert (planned.deployment.live, planned.deployment.rollout) == (1, None)
    assert state_of(planned.deployment, 2) == state


def test_a_person_promotes_into_the_watch_and_asking_again_does_not_end_it() -> None:
    planned = plan.change(started(), "promote", now=5.0, by=ANN)
    assert (planned.event, planned.deployment.live) == ("watch", 2)
    assert plan.change(planned.deployment, "promote", now=6.0, by=ANN).deployment == planned.deployment
    done = plan.change(planned.deployment, "finish", now=7.0, by=ANN)
    assert (done.deployment.live, done.deployment.rollout) == (2, None)


def test_a_watch_is_ended_only_where_there_is_one() -> None:
    with pytest.raises(TransitionRefused, match="no watch to end"):
        plan.change(started(), "finish", now=5.0, by=ANN)
    with pytest.raises(TransitionRefused, match="the last one before the watch"):
        stages.advance(in_watch(), 0.5, ALL, now=40.0)


def test_what_is_the_controllers_to_do_no_person_does() -> None:
    with pytest.raises(TransitionRefused, match="controller's"):
        plan.change(started(), "advance", now=5.0, by=ANN)


def test_a_hold_keeps_its_time_until_its_reason_is_another() -> None:
    held = stages.hold(started(), "incident", "the provider fails", now=5.0).deployment
    assert stages.hold(held, "incident", "still", now=9.0).deployment == held
    other = stages.hold(held, "srm", "odd", now=9.0).deployment
    hold = rollout(other).hold
    assert hold is not None
    assert (hold.reason, hold.since, hold.detail) == ("srm", 9.0, "odd")
    assert rollout(stages.release(other).deployment).hold is None
    assert stages.release(started()).deployment == started()


def test_a_paused_rollout_waits() -> None:
    paused = plan.change(started(), "pause", now=1.0, by=ANN).deployment
    steps: list[Callable[[Deployment], Planned]] = [
        lambda it: stages.advance(it, 0.5, ALL, now=2.0),
        lambda it: stages.raise_weight(it, 0.5, ALL, now=2.0),
        lambda it: stages.hold(it, "srm", "", now=2.0),
    ]
    for step in steps:
        with pytest.raises(TransitionRefused, match="is paused"):
            step(paused)


def test_sample_rates_are_announced_and_never_withdraw_an_announced_raise() -> None:
    rates = Rates(0.5, 0.9, 1.0, 0.3)
    assert stages.sample(started(), rates, now=0.5).deployment == started()
    changed = rollout(stages.sample(started(), rates, now=5.0).deployment)
    weight = changed.weight_at(5.0 + RAISE_LEAD)
    assert (weight.value, weight.q1, weight.q0, weight.j0) == (0.05, 0.5, 0.9, 0.3)
    assert changed.drawn_under(0.05, 1.0, 1.0, 3.0) == changed.weights[0]
    assert changed.drawn_under(0.05, 0.5, 0.9, 6.0) == weight
    assert changed.drawn_under(0.07, 0.5, 0.9, 6.0) is None


def test_pauses_do_not_count_as_bake() -> None:
    deployment = started(now=0.0)
    for at in (10.0, 30.0):
        deployment = plan.change(deployment, "pause", now=at, by=ANN).deployment
        assert rollout(deployment).paused_for(at + 4.0) == (4.0 if at == 10.0 else 9.0)
        deployment = plan.change(deployment, "resume", now=at + 5.0, by=ANN).deployment
    assert rollout(deployment).paused_for(99.0) == 10.0
    assert rollout(stages.advance(deployment, 0.5, ALL, now=50.0).deployment).paused_for(99.0) == 0.0


def test_by_hand_no_controller_acts() -> None:
    empty = Deployment("support", live=1, gates={1: PASSED, 2: PASSED})
    by_hand = plan.start(empty, 2, 0.1, id="r", salt="s", now=0.0, by=ANN).deployment
    with pytest.raises(TransitionRefused, match="by hand"):
        stages.roll_back(by_hand, now=1.0, by=CONTROLLER)


STEPS = st.sampled_from(
    [
        *("advance", "raise", "size", "sample", "hold", "release", "watch", "finish", "roll_back"),
        *("pause", "resume", "person_promote", "person_finish", "abort", "set_weight"),
    ]
)


def take(deployment: Deployment, step: str, value: float, now: float) -> Planned:
    match step:
        case "advance":
            return stages.advance(deployment, value, ALL, now=now)
        case "raise":
            return stages.raise_weight(deployment, value, ALL, now=now)
        case "sample":
            return stages.sample(deployment, Rates(value, 1.0, 1.0, 1.0), now=now)
        case "hold":
            return stages.hold(deployment, "evidence", "", now=now)
        case "release":
            return stages.release(deployment)
        case "size":
            return stages.size(deployment, value, ALL, now=now)
        case "watch":
            return plan.watch(deployment, now=now)
        case "finish":
            return stages.finish(deployment, now=now, by=CONTROLLER)
        case "roll_back":
            return stages.roll_back(deployment, now=now, by=CONTROLLER)
        case "set_weight":
            return plan.change(deployment, "set_weight", weight=value, now=now, by=ANN)
    return plan.change(deployment, step.removeprefix("person_"), now=now, by=ANN)  # type: ignore[arg-type]


@given(st.lists(st.tuples(STEPS, st.floats(0.01, 1), st.floats(0.1, 3)), max_size=25))
def test_laws_of_any_life(steps: list[tuple[str, float, float]]) -> None:
    """Live is the candidate exactly from the watch on; a rollout that ends other than promoted leaves the
    baseline live; no stage comes twice; what takes sessions to the canary has its lead."""
    deployment, now = started(policy="careful"), 1.0
    for step, value, gap in steps:
        before = rollout(deployment)
        in_force = before.weight_at(now).value
        try:
            planned = take(deployment, step, value, now)
        except TransitionRefused:
            continue
        deployment = planned.deployment
        if planned.ended is not None:
            assert deployment.live == (2 if planned.ended.phase == "promoted" else 1)
            return
        after = rollout(deployment)
        assert deployment.live == (2 if after.in_watch else 1)
        assert after.stage in (before.stage, before.stage + 1)
        assert after.stage < 3
        assert after.weight_at(now).value <= in_force
        now += gap
