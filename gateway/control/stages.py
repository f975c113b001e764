"""What the controller does to a rollout under a policy, as pure functions like those of `plan`.

Each is an event of `domain.rollout.TRANSITIONS`, so what the phase does not allow is refused there.
"""

from __future__ import annotations

from msgspec.structs import replace

from gateway.analysis.sampling import Rates
from gateway.control.plan import By, Planned, begun, end, reweigh, running, sampled
from gateway.domain.policy import Policy
from gateway.domain.rollout import RAISE_LEAD, Deployment, Event, Hold, HoldReason, Rollout, next_phase
from gateway.errors import TransitionRefused


def advance(deployment: Deployment, weight: float, rates: Rates, *, now: float) -> Planned:
    """The next planned stage, `RAISE_LEAD` from now, at no less than the present weight."""
    rollout, policy = under_policy(deployment)
    if rollout.in_shadow or rollout.in_watch or rollout.stage + 1 >= len(policy.stages):
        raise TransitionRefused(f"stage {rollout.stage} is the last one before the watch")
    rollout = _after(rollout, "advance")
    rollout = begun(replace(rollout, stages=(*rollout.stages, now + RAISE_LEAD)), now)
    weight = max(weight, rollout.weights[-1].value)
    return _with(deployment, replace(rollout, weights=reweigh(rollout, weight, now, rates)))


def expose(deployment: Deployment, weight: float, rates: Rates, *, now: float) -> Planned:
    """The end of the shadow stage: the first sessions go to the candidate."""
    rollout, _ = under_policy(deployment)
    if not rollout.in_shadow:
        raise TransitionRefused("there is no shadow stage to end")
    rollout = begun(replace(_after(rollout, "advance"), stages=(now + RAISE_LEAD,)), now)
    return _with(deployment, replace(rollout, weights=reweigh(rollout, weight, now, rates)))


def raise_weight(deployment: Deployment, weight: float, rates: Rates, *, now: float) -> Planned:
    """More sessions within the stage, because evidence is missing; it is counted."""
    planned = _raised(deployment, "raise_weight", weight, rates, now)
    rollout = running(planned.deployment)
    return _with(planned.deployment, replace(rollout, raises=rollout.raises + 1))


def size(deployment: Deployment, weight: float, rates: Rates, *, now: float) -> Planned:
    """The sessions per hour that the stage asks for, now that the traffic is known."""
    return _raised(deployment, "size", weight, rates, now)


def sample(deployment: Deployment, rates: Rates, *, now: float) -> Planned:
    """Other sample rates at the same weight, `RAISE_LEAD` from now: every worker knows of them by then, so
    that no two draw one session's judgment by different rates. What is announced already goes first."""
    rollout, _ = under_policy(deployment)
    last = rollout.weights[-1]
    changed = sampled(last, rates)
    if last.effective_at > now or changed == last:
        return Planned(deployment)
    weights = (*rollout.weights, replace(changed, effective_at=now + RAISE_LEAD))
    return _with(deployment, replace(_after(rollout, "sample"), weights=weights))


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


def finish(deployment: Deployment, *, now: float, by: By) -> Planned:
    """The end of the watch (`plan.watch` begins it): the candidate for everyone."""
    rollout, _ = under_policy(deployment)
    if not rollout.in_watch:
        raise TransitionRefused("there is no watch to end")
    return end(deployment, rollout, next_phase(rollout.phase, "finish"), now=now, by=by)


def roll_back(deployment: Deployment, *, now: float, by: By) -> Planned:
    rollout, _ = under_policy(deployment)
    return end(deployment, rollout, next_phase(rollout.phase, "roll_back"), now=now, by=by)


def under_policy(deployment: Deployment) -> tuple[Rollout, Policy]:
    rollout = running(deployment)
    if rollout.policy is None:
        raise TransitionRefused(f"rollout {rollout.id} goes by hand: no controller acts on it")
    return rollout, rollout.policy


def _raised(deployment: Deployment, event: Event, weight: float, rates: Rates, now: float) -> Planned:
    rollout, _ = under_policy(deployment)
    if weight <= rollout.weights[-1].value:
        raise TransitionRefused(f"the weight is {rollout.weights[-1].value:g} already")
    weights = reweigh(rollout, weight, now, rates)
    return _with(deployment, replace(_after(rollout, event), weights=weights))


def _after(rollout: Rollout, event: Event) -> Rollout:
    return replace(rollout, phase=next_phase(rollout.phase, event))


def _with(deployment: Deployment, rollout: Rollout) -> Planned:
    return Planned(replace(deployment, rollout=rollout))
