"""The rules of rollouts, as dialogues on values and as laws over any sequence of events."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.control import plan
from gateway.control.plan import By, Planned
from gateway.domain.policy import POLICIES, Policy, Shadow
from gateway.domain.prompt import Content, Gate, Input, Message, Part
from gateway.domain.rollout import (
    RAISE_LEAD,
    TRANSITIONS,
    Deployment,
    Emergency,
    Expiry,
    Rollout,
    Weight,
    state_of,
)
from gateway.errors import GateNotPassed, GatewayError, InvalidValue, PromptNotDeployed, TransitionRefused

ANN = By("ann", "because")
NOBODY_KNOWS_WHY = By("ann")
PASSED = Gate("passed")


def deployed(*, live: int | None = 1, gates: int = 3) -> Deployment:
    return Deployment("support", live=live, gates=dict.fromkeys(range(1, gates + 1), PASSED))


def started(deployment: Deployment, candidate: int = 2, weight: float = 0.1, now: float = 0.0) -> Deployment:
    return plan.start(deployment, candidate, weight, id="r1", salt="s", now=now, by=ANN).deployment


def weight_at(deployment: Deployment, now: float) -> float:
    assert deployment.rollout is not None
    return deployment.rollout.weight_at(now).value


def test_a_rollout_counts_after_the_lead() -> None:
    deployment = started(deployed(), weight=0.1, now=100.0)
    assert weight_at(deployment, 100.9) == 0.0
    assert weight_at(deployment, 100.0 + RAISE_LEAD) == 0.1
    assert state_of(deployment, 2) == "canary"


def test_raising_waits_and_lowering_does_not() -> None:
    deployment = started(deployed(), weight=0.1, now=0.0)
    raised = plan.change(deployment, "set_weight", weight=0.5, now=10.0, by=ANN).deployment
    assert [weight_at(raised, now) for now in (10.0, 10.99, 11.0)] == [0.1, 0.1, 0.5]
    lowered = plan.change(raised, "set_weight", weight=0.2, now=20.0, by=ANN).deployment
    assert weight_at(lowered, 20.0) == 0.2


def test_a_raise_below_an_announced_one_withdraws_that() -> None:
    deployment = started(deployed(), weight=0.1, now=0.0)
    announced = plan.change(deployment, "set_weight", weight=0.9, now=10.0, by=ANN).deployment
    less = plan.change(announced, "set_weight", weight=0.3, now=10.5, by=ANN).deployment
    assert [weight_at(less, now) for now in (10.5, 11.2, 11.5)] == [0.1, 0.1, 0.3]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 3)), min_size=1, max_size=12), st.floats(0, 1))
def test_no_raise_comes_without_its_lead(steps: list[tuple[float, float]], first: float) -> None:
    """Whatever was asked for and when: what comes into force from below was asked for `RAISE_LEAD` before,
    a lower weight acts at once, and the last one asked for comes into force."""
    asked = [(0.0, first)]
    rollout = Rollout("r", "support", 2, 1, "s", "progressing", (Weight(first, RAISE_LEAD),), 0.0, "ann")
    in_force, now = 0.0, 0.0
    for value, gap in steps:
        in_force = follow(rollout, now, now + gap, in_force, asked)
        now += gap
        rollout = replace(rollout, weights=plan.reweigh(rollout, value, now))
        asked.append((now, value))
        if value <= in_force:
            assert rollout.weight_at(now).value == value
            in_force = value
        assert rollout.weight_at(now).value <= in_force
    assert follow(rollout, now, now + RAISE_LEAD, in_force, asked) == steps[-1][0]


def follow(
    rollout: Rollout, start: float, end: float, in_force: float, asked: list[tuple[float, float]]
) -> float:
    """The weight in force at `end`, having checked every raise since `start`."""
    for moment in sorted({weight.effective_at for weight in rollout.weights} | {end}):
        if start <= moment <= end:
            value = rollout.weight_at(moment).value
            known = [other for at, other in asked if at + RAISE_LEAD <= moment]
            assert value <= in_force or value in known
            in_force = value
    return in_force


def test_a_weight_asked_for_again_changes_nothing() -> None:
    deployment = started(deployed(), weight=0.1)
    assert plan.change(deployment, "set_weight", weight=0.1, now=9.0, by=ANN).deployment == deployment


def test_promote_moves_live_and_archives_the_old_one() -> None:
    planned = plan.change(started(deployed()), "promote", now=50.0, by=ANN)
    assert planned.deployment.live == 2
    assert planned.deployment.rollout is None
    assert planned.ended is not None
    assert (planned.ended.phase, planned.ended.ended_at, planned.ended.end_reason) == (
        "promoted",
        50.0,
        "because",
    )
    assert state_of(planned.deployment, 2) == "live"


@pytest.mark.parametrize(("event", "state"), [("roll_back", "rolled_back"), ("abort", "ready")])
def test_ending_without_promotion_keeps_live(event: str, state: str) -> None:
    planned = plan.change(started(deployed()), event, now=50.0, by=ANN)  # type: ignore[arg-type]
    assert planned.deployment.live == 1
    assert state_of(planned.deployment, 2) == state


def test_after_a_rollback_the_same_version_needs_a_reason() -> None:
    back = plan.change(started(deployed()), "roll_back", now=50.0, by=ANN).deployment
    with pytest.raises(TransitionRefused, match="was rolled back before"):
        plan.start(back, 2, 0.1, id="r2", salt="t", now=60.0, by=NOBODY_KNOWS_WHY)
    assert plan.start(back, 2, 0.1, id="r2", salt="t", now=60.0, by=ANN).deployment.rollout is not None


@pytest.mark.parametrize(
    ("deployment", "candidate", "error", "message"),
    [
        (deployed(live=None), 2, PromptNotDeployed, "deploy one first"),
        (deployed(), 1, TransitionRefused, "is live already"),
        (started(deployed()), 3, TransitionRefused, "still progressing"),
        (replace(deployed(), gates={2: Gate("pending", suite="e")}), 2, GateNotPassed, "has not been run"),
        (
            replace(deployed(), gates={2: Gate("failed", suite="e", detail="3 of 9")}),
            2,
            GateNotPassed,
            "3 of 9",
        ),
        (deployed(), 9, GateNotPassed, "has not been run"),
    ],
)
def test_a_rollout_is_refused(
    deployment: Deployment, candidate: int, error: type[GatewayError], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan.start(deployment, candidate, 0.1, id="r", salt="s", now=0.0, by=ANN)


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan, math.inf])
def test_a_weight_outside_its_range_is_refused(weight: float) -> None:
    with pytest.raises(InvalidValue, match="from 0 to 1"):
        started(deployed(), weight=weight)
    with pytest.raises(InvalidValue, match="from 0 to 1"):
        plan.change(started(deployed()), "set_weight", weight=weight, now=1.0, by=ANN)


def test_a_weight_goes_with_its_event_only() -> None:
    for event, weight in (("pause", 0.5), ("set_weight", None)):
        with pytest.raises(InvalidValue, match="set_weight"):
            plan.change(started(deployed()), event, weight=weight, now=1.0, by=ANN)  # type: ignore[arg-type]


def test_a_paused_rollout_names_what_is_possible() -> None:
    paused = plan.change(started(deployed()), "pause", now=1.0, by=ANN).deployment
    with pytest.raises(TransitionRefused, match="possible is resume, set_weight, promote, finish, roll_back"):
        plan.change(paused, "pause", now=2.0, by=ANN)


def test_nothing_to_change_without_a_rollout() -> None:
    with pytest.raises(TransitionRefused, match="has no running rollout"):
        plan.change(deployed(), "roll_back", now=1.0, by=ANN)


def test_deploy_ends_a_running_rollout_as_aborted() -> None:
    planned = plan.deploy(started(deployed()), 3, emergency=False, now=5.0, by=ANN)
    assert planned.deployment.live == 3
    assert planned.deployment.rollout is None
    assert planned.ended is not None
    assert planned.ended.phase == "aborted"
    assert state_of(planned.deployment, 2) == "ready"


def test_deploying_the_candidate_makes_it_live() -> None:
    planned = plan.deploy(started(deployed()), 2, emergency=False, now=5.0, by=ANN)
    assert planned.ended is not None
    assert planned.ended.phase == "aborted"
    assert state_of(planned.deployment, 2) == "live"


def test_what_was_live_once_is_archived() -> None:
    first = plan.deploy(deployed(live=None), 1, emergency=False, now=1.0, by=NOBODY_KNOWS_WHY).deployment
    second = plan.deploy(first, 2, emergency=False, now=2.0, by=ANN).deployment
    assert [state_of(second, number) for number in (1, 2, 3)] == ["archived", "live", "ready"]


def test_deploying_what_is_live_changes_nothing_and_needs_no_reason() -> None:
    assert plan.deploy(deployed(), 1, emergency=False, now=1.0, by=NOBODY_KNOWS_WHY).deployment == deployed()


def test_only_an_emergency_does_without_the_gate_and_only_with_a_reason() -> None:
    deployment = replace(deployed(), gates={1: PASSED, 2: Gate("failed", suite="e")})
    with pytest.raises(GateNotPassed):
        plan.deploy(deployment, 2, emergency=False, now=1.0, by=ANN)
    with pytest.raises(TransitionRefused, match="give a reason"):
        plan.deploy(deployment, 2, emergency=True, now=1.0, by=NOBODY_KNOWS_WHY)
    assert plan.deploy(deployment, 2, emergency=True, now=1.0, by=ANN).deployment.live == 2


CAREFUL = plan.Under("careful", POLICIES["careful"], {"event_window": 2.0})


def at_once(
    before: Deployment, version: int, expires_in: float | None = None, policy: Policy | None = None
) -> Planned:
    under = CAREFUL if policy is None else CAREFUL._replace(policy=policy)
    watched = plan.Watched(under, "r2", "s2")
    return plan.deploy(
        before, version, emergency=True, now=5.0, by=ANN, expires_in=expires_in, watched=watched
    )


def test_an_emergency_that_is_watched_begins_with_the_watch() -> None:
    planned = at_once(replace(deployed(), gates={1: PASSED}), 2, expires_in=60.0)
    rollout = planned.deployment.rollout
    assert rollout is not None
    assert (planned.deployment.live, planned.deployment.expiry) == (2, Expiry(65.0, 1))
    assert (rollout.candidate, rollout.baseline, rollout.in_watch, rollout.stages) == (2, 1, True, ())
    assert (rollout.policy_name, rollout.rules) == ("careful", {"event_window": 2.0})
    assert [rollout.weight_at(at).value for at in (5.9, 6.0)] == [0.0, 0.9]
    assert state_of(planned.deployment, 2) == "promoting"
    back = plan.change(planned.deployment, "roll_back", now=9.0, by=ANN).deployment
    assert (back.live, back.rollout, back.expiry, state_of(back, 2)) == (1, None, None, "rolled_back")
    done = plan.change(planned.deployment, "finish", now=9.0, by=ANN).deployment
    assert (done.live, done.expiry) == (2, Expiry(65.0, 1))


def test_neither_shadow_nor_approvals_come_before_such_a_watch() -> None:
    policy = replace(CAREFUL.policy, shadow=Shadow(), approvals={"1": 2, "watch": 1})
    rollout = at_once(deployed(), 2, policy=policy).deployment.rollout
    assert rollout is not None
    assert not rollout.in_shadow
    assert rollout.policy is not None
    assert (rollout.policy.shadow, rollout.policy.approvals) == (None, {})


def test_what_runs_ends_and_its_baseline_is_what_is_compared_with() -> None:
    planned = at_once(started(deployed()), 3)
    assert planned.ended is not None
    assert planned.ended.phase == "aborted"
    assert planned.deployment.rollout is not None
    assert planned.deployment.rollout.baseline == 1


def test_watched_again_it_stands_and_another_waits_for_its_end() -> None:
    watched = at_once(deployed(), 2).deployment
    assert at_once(watched, 2).deployment is watched
    assert at_once(watched, 2, expires_in=60.0).deployment == replace(watched, expiry=Expiry(65.0, 1))
    with pytest.raises(TransitionRefused, match="support/2 is being watched under careful: finish"):
        at_once(watched, 3)
    plain = plan.deploy(watched, 3, emergency=True, now=6.0, by=ANN).deployment
    assert (plain.live, plain.rollout, plain.emergency) == (3, None, Emergency(6.0, 1))


def test_in_the_watch_nothing_waits_for_the_gate() -> None:
    watched = at_once(replace(deployed(), gates={1: PASSED}), 2).deployment
    paused = plan.change(watched, "pause", now=9.0, by=ANN).deployment
    assert plan.change(paused, "resume", now=10.0, by=ANN).deployment.rollout is not None
    less = plan.change(watched, "set_weight", weight=0.5, now=9.0, by=ANN).deployment
    assert weight_at(plan.change(less, "set_weight", weight=0.9, now=10.0, by=ANN).deployment, 11.0) == 0.9


def test_an_emergency_is_remembered_while_its_version_is_live() -> None:
    first = plan.deploy(deployed(), 2, emergency=True, expires_in=60.0, now=5.0, by=ANN).deployment
    assert first.emergency == Emergency(5.0, 1)
    for_good = plan.deploy(first, 2, emergency=False, now=6.0, by=ANN).deployment
    assert (for_good.expiry, for_good.emergency) == (None, Emergency(5.0, 1))
    against = plan.start(for_good, 3, 0.1, id="r", salt="s", now=7.0, by=ANN).deployment
    assert plan.change(against, "abort", now=8.0, by=ANN).deployment.emergency == Emergency(5.0, 1)
    assert plan.change(against, "promote", now=8.0, by=ANN).deployment.emergency is None
    assert plan.deploy(for_good, 1, emergency=False, now=8.0, by=ANN).deployment.emergency is None
    assert plan.deploy(deployed(live=None), 1, emergency=True, now=8.0, by=ANN).deployment.emergency is None


def test_what_cannot_be_watched_is_refused() -> None:
    watched = plan.Watched(CAREFUL, "r2", "s2")
    with pytest.raises(InvalidValue, match="start a rollout"):
        plan.deploy(deployed(), 2, emergency=False, now=5.0, by=ANN, watched=watched)
    for before in (deployed(), deployed(live=None), started(deployed())):
        with pytest.raises(TransitionRefused, match="no other live version"):
            at_once(before, 1)


def content(*inputs: Input) -> Content:
    return Content((Message("system", (Part("system", "x"),)),), inputs=inputs)


NEEDED = Input("product", "string", required=True)


@pytest.mark.parametrize(
    ("candidate", "baseline"),
    [
        (NEEDED, None),
        (NEEDED, Input("product", "string")),
        (NEEDED, Input("product", "string", required=True, default="x")),
        (Input("product", "integer"), Input("product", "string")),
    ],
)
def test_inputs_that_would_break_requests_are_refused(candidate: Input, baseline: Input | None) -> None:
    with pytest.raises(TransitionRefused, match="'product'"):
        plan.require_inputs(content(candidate), content(*([baseline] if baseline else [])))


def test_inputs_that_harm_nobody_are_accepted() -> None:
    plan.require_inputs(content(NEEDED), content(NEEDED))
    plan.require_inputs(content(), content(NEEDED))
    plan.require_inputs(content(Input("tier", "string", required=True, default="gold")), content())


STEPS = st.one_of(
    st.tuples(st.just("start"), st.integers(1, 4)),
    st.tuples(st.just("deploy"), st.integers(1, 4)),
    st.tuples(st.sampled_from(sorted({event for _, event in TRANSITIONS})), st.floats(0, 1)),
)


@given(st.lists(STEPS, max_size=30))
def test_laws_of_any_history(steps: list[tuple[str, float]]) -> None:
    """Live changes only by promote and deploy; a rollout never has the live version as its candidate, starts
    from it, and every rollout ends exactly once, in a final phase."""
    deployment = deployed(live=None, gates=4)
    open_rollouts: set[str] = set()
    for number, (step, value) in enumerate(steps):
        before = deployment
        try:
            if step == "start":
                planned = plan.start(
                    before, int(value), 0.5, id=f"r{number}", salt="s", now=float(number), by=ANN
                )
                open_rollouts.add(f"r{number}")
            elif step == "deploy":
                planned = plan.deploy(before, int(value), emergency=False, now=float(number), by=ANN)
            else:
                weight = value if step == "set_weight" else None
                planned = plan.change(before, step, weight=weight, now=float(number), by=ANN)  # type: ignore[arg-type]
        except (TransitionRefused, PromptNotDeployed):
            continue
        deployment = planned.deployment
        if deployment.live != before.live:
            assert step in ("promote", "deploy")
        if planned.ended is not None:
            open_rollouts.remove(planned.ended.id)
            assert planned.ended.ended_at == number
        running = deployment.rollout
        assert open_rollouts == ({running.id} if running else set())
        if running is not None:
            assert running.baseline == deployment.live != running.candidate
