"""What follows from a verdict, and how a stage's weight and rates follow the traffic."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gateway.analysis.verdict import Action, Verdict
from gateway.control import plan
from gateway.control.acting import Act, Seen, act
from gateway.control.plan import By, Under
from gateway.control.traffic import KNOWN_AFTER, WINDOW, Traffic
from gateway.domain.observation import Assigned, Batch, Drawn
from gateway.domain.policy import POLICIES
from gateway.domain.prompt import Gate
from gateway.domain.rollout import Deployment, Rollout

ANN = By("ann", "because")
QUIET = Seen(0.0, None, 500.0)


def started(policy: str = "standard") -> Deployment:
    empty = Deployment("support", live=1, gates={1: Gate("passed"), 2: Gate("passed")})
    under = Under(policy, POLICIES[policy])
    return plan.start(empty, 2, under, id="r1", salt="s", now=0.0, by=ANN).deployment


def verdict(action: Action, **fields: object) -> Verdict:
    return replace(Verdict(action, "a rule", "a reason", 1, 10.0), **fields)


def rollout_of(done: Act | None) -> Rollout:
    assert done is not None
    assert done.planned.deployment.rollout is not None
    return done.planned.deployment.rollout


@pytest.mark.parametrize(
    ("action", "fields", "event"),
    [
        ("bake", {}, None),
        ("advance", {}, "advance"),
        ("promote", {}, "watch"),
        ("roll_back", {}, "roll_back"),
        ("hold", {"hold": "srm"}, "hold"),
        ("raise_weight", {"weight": 0.4}, "raise_weight"),
    ],
)
def test_a_verdict_becomes_an_event(action: Action, fields: dict[str, object], event: str | None) -> None:
    done = act(started(), verdict(action, **fields), QUIET, 10.0)
    assert (None if done is None else done.event) == event


@pytest.mark.parametrize(
    ("action", "event"), [("advance", "finish"), ("bake", None), ("roll_back", "roll_back")]
)
def test_in_the_watch_advance_ends_it(action: Action, event: str | None) -> None:
    watched = plan.watch(started(), now=5.0).deployment
    rates = watched.rollout and watched.rollout.weights[-1]
    assert rates is not None
    seen = QUIET
    settled = act(watched, verdict("bake"), seen, 10.0)
    deployment = watched if settled is None else settled.planned.deployment
    done = act(deployment, verdict(action), seen, 20.0)
    assert (None if done is None else done.event) == event


def test_a_hold_is_released_by_any_other_verdict_and_not_repeated() -> None:
    held = act(started(), verdict("hold", hold="incident"), QUIET, 10.0)
    assert held is not None
    deployment = held.planned.deployment
    assert act(deployment, verdict("hold", hold="incident"), QUIET, 11.0) is None
    done = act(deployment, verdict("bake"), QUIET, 12.0)
    assert (done and done.event, rollout_of(done).hold) == ("release", None)


def test_a_paused_rollout_is_only_rolled_back() -> None:
    paused = plan.change(started(), "pause", now=5.0, by=ANN).deployment
    for action in ("bake", "advance", "promote", "hold", "raise_weight"):
        assert act(paused, verdict(action), Seen(5000.0, 10.0, 500.0), 10.0) is None  # type: ignore[arg-type]
    assert act(paused, verdict("roll_back"), QUIET, 10.0) is not None


def test_the_first_stage_grows_to_what_the_policy_asks_for_and_never_shrinks() -> None:
    done = act(started(), verdict("bake"), Seen(0.1, 400.0, 500.0), 100.0)
    assert (done and done.event) == "size"
    assert rollout_of(done).weights[-1].value == 0.25
    assert rollout_of(done).raises == 0
    assert done is not None
    assert act(done.planned.deployment, verdict("bake"), Seen(10.0, 40_000.0, 500.0), 200.0) is None
    assert act(started(), verdict("bake"), Seen(10.0, 40_000.0, 500.0), 100.0) is None


def test_rates_follow_the_traffic_above_the_cap() -> None:
    done = act(started(), verdict("bake"), Seen(2000.0, None, 500.0), 100.0)
    assert (done and done.event) == "sample"
    weight = rollout_of(done).weights[-1]
    measured = 2000.0 * (weight.value * weight.q1 + (1 - weight.value) * weight.q0)
    assert (weight.value, weight.q1) == (0.05, 0.5)
    assert measured == pytest.approx(500.0)
    assert done is not None
    assert act(done.planned.deployment, verdict("bake"), Seen(2200.0, None, 500.0), 200.0) is None


def batch(number: int, seconds: range, rate: float = 1.0) -> Batch:
    units = [Drawn(b"%d" % at, False, 0.1, 1.0, rate, float(at)) for at in seconds for _ in range(number)]
    return Batch("w", 1, float(seconds.stop), tuple(Assigned(unit) for unit in units))


def test_traffic_counts_each_measured_session_for_those_that_are_not() -> None:
    traffic = Traffic(0.0)
    traffic.add(batch(2, range(100), rate=0.5))
    assert traffic.rate(100.0, window=60.0) == pytest.approx(4.0, rel=0.05)


def test_few_sessions_make_no_large_stage() -> None:
    traffic = Traffic(0.0)
    assert traffic.per_hour_at_most(KNOWN_AFTER - 1) is None
    traffic.add(batch(1, range(0, 60, 6)))
    found = traffic.per_hour_at_most(KNOWN_AFTER)
    assert found is not None
    assert 900 < found < 1100  # 10 in a minute are 600 in an hour, two standard errors above it 1,000


def test_old_traffic_is_forgotten() -> None:
    traffic = Traffic(0.0)
    traffic.add(batch(10, range(100)))
    traffic.add(batch(1, range(2000, 2000 + WINDOW)))
    assert traffic.rate(2000.0 + WINDOW) == pytest.approx(1.0, rel=0.02)


def test_a_raise_that_is_announced_is_waited_for() -> None:
    raised = act(started(), verdict("raise_weight", weight=0.4), QUIET, 10.0)
    assert raised is not None
    again = verdict("raise_weight", weight=0.5)
    assert act(raised.planned.deployment, again, QUIET, 10.5) is None
    assert rollout_of(act(raised.planned.deployment, again, QUIET, 11.5)).raises == 2


def test_what_the_judge_can_afford_lowers_both_arms_alike_also_while_it_holds() -> None:
    deployment = started()
    before = rollout_of(Act("sample", plan.Planned(deployment))).weights[-1]
    slow = QUIET._replace(judged=0.25)
    for given in (verdict("bake"), verdict("hold", hold="completeness")):
        at, held = 10.0, deployment
        done = act(held, given, slow, at)
        if given.action == "hold":  # the hold first, then the rates
            assert done is not None
            assert done.event == "hold"
            held, at = done.planned.deployment, 11.0
            done = act(held, given, slow, at)
        assert done is not None
        assert done.event == "sample"
        after = rollout_of(done).weights[-1]
        assert (after.j1, after.j0) == (before.j1 / 4, before.j0 / 4)
        assert (after.value, after.q1, after.q0) == (before.value, before.q1, before.q0)
        assert act(done.planned.deployment, given, slow, at + 5.0) is None


@pytest.mark.parametrize("action", ["advance", "promote"])
@pytest.mark.parametrize("gate", [Gate("pending", suite="new"), Gate("failed", suite="new")])
def test_a_gate_is_passed_again_before_the_next_stage(action: Action, gate: Gate) -> None:
    deployment = started()
    deployment = replace(deployment, gates={**deployment.gates, 2: gate})
    done = act(deployment, verdict(action), QUIET, 10.0)
    held = rollout_of(done)
    assert done is not None
    assert done.event == "hold"
    assert held.hold is not None
    assert held.hold.reason == "gate"
    assert "'new'" in held.hold.detail
    deployment = done.planned.deployment
    assert act(deployment, verdict(action), QUIET, 11.0) is None
    assert act(deployment, verdict("bake"), QUIET, 11.0) is None
    assert act(deployment, verdict("roll_back"), QUIET, 11.0) is not None
    passed = replace(deployment, gates={**deployment.gates, 2: Gate("passed")})
    released = act(passed, verdict("bake"), QUIET, 12.0)
    assert released is not None
    assert released.event == "release"
    deployment = replace(deployment, gates={**deployment.gates, 2: Gate("passed")})
    goes_on = act(deployment, verdict(action), QUIET, 12.0)
    assert goes_on is not None
    assert goes_on.event in ("advance", "watch")
    assert rollout_of(goes_on).hold is None
