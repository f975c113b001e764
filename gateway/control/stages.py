"""What the controller does to a rollout under a policy, as pure functions like those of `plan`.

Each is an event of `domain.rollout.TRANSITIONS`, so what the phase does not allow is refused there.
"""

from __future__ import annotations

from msgspec.structs import replace

from gateway.control.plan import By, Planned, end, reweigh, running, watch, weighed
from gateway.domain.policy import Policy
from gateway.domain.rates import Rates
from gateway.domain.rollout import RAISE_LEAD, Deployment, Event, Hold, HoldReason, Rollout, next_phase
from gateway.errors import TransitionRefused


def advance(deployment: Deployment, weight: float, rates: Rates, *, now: float) -> Planned:
    """The next planned stage, `RAISE_LEAD` from now, at no less than the present weight."""
    rollout, policy = under_policy(deployment)
    if rollout.in_watch or rollout.stage + 1 >= len(policy.stages):
        raise TransitionRefused(f"stage {rollout.stage} is the last one before the watch")
    rollout = _after(rollout, "advance")
    rollout = replace(rollout, stages=(*rollout.stages, now + RAISE_LEAD), hold=None)
    weight = max(weight, rollout.weights[-1].value)
    return _with(deployment, replace(rollout, weights=reweigh(rollout, weight, now, rates)))


def raise_weight(deployment: Deployment, weight: float, rates: Rates, *, now: float) -> Planned:
    """More sessions within the stage."""
    rollout, _ = under_policy(deployment)
    if weight <= rollout.weights[-1].value:
        raise TransitionRefused(f"the weight is {rollout.weights[-1].value:g} already")
    rollout = _after(rollout, "raise_weight")
    return _with(deployment, replace(rollout, weights=reweigh(rollout, weight, now, rates)))


def extend(deployment: Deployment, seconds: float) -> Planned:
    """More time than the policy's `max_bake`."""
    rollout, _ = under_policy(deployment)
    rollout = _after(rollout, "extend")
    return _with(deployment, replace(rollout, extended=rollout.extended + seconds))


def sample(deployment: Deployment, rates: Rates, *, now: float) -> Planned:
    """Other sample rates at the same weight. A raise that is announced would be lost, so it goes first."""
    rollout, _ = under_policy(deployment)
    last = rollout.weights[-1]
    if last.effective_at > now or (last.q1, last.q0) == rates:
        return Planned(deployment)
    rollout = _after(rollout, "sample")
    changed = weighed(rollout, replace(last, q1=rates.q1, q0=rates.q0, effective_at=now))
    return _with(deployment, replace(rollout, weights=(*rollout.weights, changed)))


def hold(deployment: Deployment, reason: HoldReason, detail: str, *, now: float) -> Planned:
    """Wait for a reason. The same reason again keeps its time and its first words."""
    rollout, _ = under_policy(deployment)
    if rollout.hold is not None and rollout.hold.reason == reason:
        return Planned(deployment)
    return _with(deployment, replace(_after(rollout, "hold"), hold=Hold(reason, now, detail)))


def release(deployment: Deployment) -> Planned:
    rollout, _ = under_policy(deployment)
    if rollout.hold is None:
        return Planned(deployment)
    return _with(deployment, replace(_after(rollout, "release"), hold=None))


def promote(deployment: Deployment, *, now: float, by: By) -> Planned:
    """Begin the watch, or end it."""
    rollout, _ = under_policy(deployment)
    if not rollout.in_watch:
        return watch(deployment, now=now)
    phase = next_phase(rollout.phase, "finish")
    return end(deployment, rollout, phase, now=now, by=by)._replace(event="finish")


def roll_back(deployment: Deployment, *, now: float, by: By) -> Planned:
    rollout, _ = under_policy(deployment)
    return end(deployment, rollout, next_phase(rollout.phase, "roll_back"), now=now, by=by)


def under_policy(deployment: Deployment) -> tuple[Rollout, Policy]:
    rollout = running(deployment)
    if rollout.policy is None:
        raise TransitionRefused(f"rollout {rollout.id} goes by hand: no controller acts on it")
    return rollout, rollout.policy


def _after(rollout: Rollout, event: Event) -> Rollout:
    return replace(rollout, phase=next_phase(rollout.phase, event))


def _with(deployment: Deployment, rollout: Rollout) -> Planned:
    return Planned(replace(deployment, rollout=rollout))
