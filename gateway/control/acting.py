"""What follows from a verdict, as a pure function: verdict and deployment in, planned change out.

Beside the verdict there is upkeep of the stage: its weight follows the traffic upwards until it brings the
sessions per hour that the policy asks for, and the sample rates follow it within the cap.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.analysis.sampling import Rates, rates
from gateway.analysis.verdict import Verdict
from gateway.control import approvals, plan, stages
from gateway.control.plan import By, Planned
from gateway.domain.rollout import Deployment, Event, Rollout

WORTH = 1.25  # a change of weight or rates by less is not worth a commit
ACTOR = "controller"
ASKED = ("approval", "gate")  # holds that somebody else ends


class Seen(NamedTuple):
    """Traffic of the prompt: sessions per second now, and per hour at most (None: not known yet). `cap`:
    measured sessions per second at most. `judged`: of the sessions that the policy would have judged, this
    share is."""

    rate: float
    per_hour: float | None
    cap: float
    judged: float = 1.0


class Act(NamedTuple):
    event: Event
    planned: Planned


def act(deployment: Deployment, verdict: Verdict, seen: Seen, now: float) -> Act | None:
    """None: nothing changes."""
    rollout, _ = stages.under_policy(deployment)
    by = By(ACTOR, verdict.reason)
    if verdict.action == "roll_back":
        return Act("roll_back", stages.roll_back(deployment, now=now, by=by))
    if rollout.phase == "paused":
        return None
    if verdict.action in ("advance", "promote") and not rollout.in_watch:
        held = _waits(deployment, rollout, now)
        if held is not None:
            return _if_new(deployment, Act("hold", held))
    match verdict.action:
        case "advance" if rollout.in_watch:
            return Act("finish", stages.finish(deployment, now=now, by=by))
        case "advance" if rollout.in_shadow:
            weight = stage_weight(rollout, 0, seen)
            of = rates_at(rollout, weight, seen, first_stage=True)
            return Act("advance", stages.expose(deployment, weight, of, now=now))
        case "advance":
            weight = stage_weight(rollout, rollout.stage + 1, seen)
            of = rates_at(rollout, weight, seen, first_stage=False)
            return Act("advance", stages.advance(deployment, weight, of, now=now))
        case "promote":
            return Act("watch", plan.watch(deployment, now=now))
        case "hold":
            planned = stages.hold(deployment, verdict.hold or "evidence", verdict.reason, now=now)
            return _if_new(deployment, Act("hold", planned)) or resample(deployment, seen, now)
    if rollout.hold is not None:
        if rollout.hold.reason in ASKED and _waits(deployment, rollout, now) is not None:
            return resample(deployment, seen, now)  # evidence comes and goes; who was asked is asked once
        return Act("release", stages.release(deployment))
    if rollout.weights[-1].effective_at > now:
        return None  # a raise is announced: what it brings is not known yet
    if verdict.action == "raise_weight" and verdict.weight is not None:
        of = rates_at(rollout, verdict.weight, seen)
        return Act("raise_weight", stages.raise_weight(deployment, verdict.weight, of, now=now))
    return upkeep(deployment, seen, now)


def _waits(deployment: Deployment, rollout: Rollout, now: float) -> Planned | None:
    """Held before the next stage: for people, or for a gate that has to be passed again."""
    wanted = approvals.asked(deployment)
    if wanted is not None and wanted.missing:
        return stages.hold(deployment, "approval", approvals.lacks(wanted), now=now)
    gate = plan.gate_of(deployment, rollout.candidate)
    if gate.state != "passed":
        return stages.hold(deployment, "gate", plan.lacks_gate(deployment, rollout.candidate), now=now)
    return None


def upkeep(deployment: Deployment, seen: Seen, now: float) -> Act | None:
    """The stage's weight and rates at the traffic that is seen."""
    rollout, _ = stages.under_policy(deployment)
    last = rollout.weights[-1]
    weight = stage_weight(rollout, rollout.stage, seen)
    if not (rollout.in_watch or rollout.in_shadow) and weight > last.value * WORTH:
        return Act("size", stages.size(deployment, weight, rates_at(rollout, weight, seen), now=now))
    return resample(deployment, seen, now)


def resample(deployment: Deployment, seen: Seen, now: float) -> Act | None:
    """Other sample rates, where they differ by enough. Also while it holds: too much for the judge may be why
    scores are missing."""
    rollout, _ = stages.under_policy(deployment)
    last = rollout.weights[-1]
    of = rates_at(rollout, last.value, seen)
    before = Rates(last.q1, last.q0, last.j1, last.j0)
    if any(max(new, old) > WORTH * min(new, old) for new, old in zip(of, before, strict=True)):
        return _if_new(deployment, Act("sample", stages.sample(deployment, of, now=now)))
    return None


def stage_weight(rollout: Rollout, stage: int, seen: Seen) -> float:
    """What the stage asks for at this traffic; while that is not known, its least."""
    assert rollout.policy is not None
    planned = rollout.policy.stages[stage]
    return planned.min if seen.per_hour is None else planned.weight(seen.per_hour)


def rates_at(rollout: Rollout, weight: float, seen: Seen, *, first_stage: bool | None = None) -> Rates:
    assert rollout.policy is not None
    if first_stage is None:
        first_stage = rollout.stage == 0 and not rollout.in_watch
    of = rates(rollout.policy, weight, seen.rate, seen.cap, first_stage=first_stage)
    return of._replace(j1=of.j1 * seen.judged, j0=of.j0 * seen.judged)


def _if_new(deployment: Deployment, done: Act) -> Act | None:
    return None if done.planned.deployment == deployment else done
