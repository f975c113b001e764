"""The rules of rollouts as pure functions: deployment and intent in, deployment out.

Raising a weight lies `RAISE_LEAD` ahead, so that every worker knows of it before it counts; anything that
takes sessions away from the canary acts at once. What a person asks for and stands already changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from gateway.analysis.sampling import Rates, rates
from gateway.domain.policy import Policy
from gateway.domain.prompt import Content, Gate, Input
from gateway.domain.rollout import (
    FINAL,
    PERSONS,
    RAISE_LEAD,
    Deployment,
    Emergency,
    Event,
    Expiry,
    Phase,
    Rollout,
    Weight,
    next_phase,
)
from gateway.errors import GateNotPassed, InvalidValue, PromptNotDeployed, TransitionRefused

MOST_EXPIRY = 30 * 86_400.0  # s
FORWARD = frozenset({"promote", "resume", "set_weight"})  # what brings a candidate more traffic
CAP = 500.0  # measured sessions/s; matters only once the traffic is known


class By(NamedTuple):
    """Who wants a change, and why; both go to the audit log."""

    actor: str
    reason: str = ""


class Planned(NamedTuple):
    """What a change leads to; `ended` is the final form of a rollout that it ends, to be archived. `event` is
    what took place where it is not what was asked for."""

    deployment: Deployment
    ended: Rollout | None = None
    event: Event | None = None


class Under(NamedTuple):
    """A policy, the name by which it was asked for, and limits of the analysis that differ from their
    defaults."""

    name: str
    policy: Policy
    rules: dict[str, float] = {}


class Watched(NamedTuple):
    """How a version that goes live at once is watched: the holdback of a policy stays on the version before.
    `id` and `salt` of the rollout that this is."""

    under: Under
    id: str
    salt: str


def start(
    deployment: Deployment,
    candidate: int,
    under: float | Under,
    *,
    id: str,
    salt: str,
    now: float,
    by: By,
) -> Planned:
    """A rollout of `candidate` against what is live, by hand at a weight, or under a policy at the least
    weight of its first stage (0 in a shadow stage): the controller raises it once it has seen the traffic.
    It counts from `now` + `RAISE_LEAD` (s) on."""
    prompt, live = deployment.prompt, deployment.live
    if live is None:
        raise PromptNotDeployed(
            f"{prompt} has no live version to compare with: deploy one first", param="prompt"
        )
    if deployment.rollout is not None:
        raise TransitionRefused(
            f"rollout {deployment.rollout.id} of {prompt}/{deployment.rollout.candidate} is still "
            f"{deployment.rollout.phase}: promote, roll back or abort it first"
        )
    if candidate == live:
        raise TransitionRefused(f"{prompt}/{candidate} is live already: a candidate must be another version")
    require_gate(deployment, candidate)
    if deployment.outcomes.get(candidate) == "rolled_back" and not by.reason:
        raise TransitionRefused(
            f"{prompt}/{candidate} was rolled back before: say in a reason why it may be tried again",
            param="reason",
        )
    shadow = isinstance(under, Under) and under.policy.shadow is not None
    weight = under if not isinstance(under, Under) else 0.0 if shadow else under.policy.stages[0].min
    first = Weight(weight, now + RAISE_LEAD if weight > 0 else now)
    rollout = _new(prompt, candidate, live, first, id=id, salt=salt, now=now, by=by)
    if isinstance(under, Under):
        first = sampled(first, rates(under.policy, weight, 0.0, CAP, first_stage=True))
        stages = () if shadow else (first.effective_at,)
        rollout = replace(_under(rollout, under), stages=stages, weights=(first,))
    return Planned(replace(deployment, rollout=rollout))


def _new(
    prompt: str, candidate: int, baseline: int, first: Weight, *, id: str, salt: str, now: float, by: By
) -> Rollout:
    return Rollout(
        id=id,
        prompt=prompt,
        candidate=candidate,
        baseline=baseline,
        salt=salt,
        phase="progressing",
        weights=(first,),
        started_at=now,
        started_by=by.actor,
        reason=by.reason,
    )


def _under(rollout: Rollout, under: Under) -> Rollout:
    return replace(rollout, policy=under.policy, policy_name=under.name, rules=under.rules)


def change(
    deployment: Deployment, event: Event, *, weight: float | None = None, now: float, by: By
) -> Planned:
    """The running rollout after `event`, which a person asks for; `weight` belongs to `set_weight` and to
    nothing else. Under a policy `promote` begins the watch, which stands already where it has begun."""
    if (weight is None) == (event == "set_weight"):
        raise InvalidValue("a weight is given to set_weight and to nothing else", param="weight")
    rollout = running(deployment)
    if event not in PERSONS:
        raise TransitionRefused(f"{event} is the controller's to do")
    if event == "promote" and rollout.in_watch:
        return Planned(deployment)
    forward = event in FORWARD and (weight is None or weight > rollout.weights[-1].value)
    if forward and not rollout.in_watch:  # in it the candidate is live, and a gate that fails ends it
        require_gate(deployment, rollout.candidate)
    if event == "promote" and rollout.policy is not None:
        return watch(deployment, now=now)
    if event == "finish" and not rollout.in_watch:
        raise TransitionRefused("there is no watch to end: promote the rollout first")
    if event == "set_weight" and rollout.in_shadow:
        raise TransitionRefused(
            f"rollout {rollout.id} is in its shadow stage, in which nobody is served by the candidate: wait, "
            "abort it, or start one by hand"
        )
    phase = next_phase(rollout.phase, event)
    if phase in FINAL:
        return end(deployment, rollout, phase, now=now, by=by)
    if weight is not None:
        rollout = replace(rollout, weights=reweigh(rollout, weight, now))
    if event == "pause":
        rollout = replace(rollout, paused_at=now)
    elif event == "resume":
        rollout = replace(rollout, paused_at=0.0, paused_before=rollout.paused_for(now))
    return Planned(replace(deployment, rollout=replace(rollout, phase=phase)))


def watch(deployment: Deployment, *, now: float) -> Planned:
    """Live moves to the candidate; the policy's holdback stays on the baseline until the watch ends."""
    rollout = running(deployment)
    policy = rollout.policy
    if policy is None or rollout.in_watch:
        raise TransitionRefused("a watch comes once, in a rollout under a policy")
    phase = next_phase(rollout.phase, "watch")
    rollout = begun(replace(rollout, phase=phase, watch_since=now + RAISE_LEAD), now)
    rollout = replace(rollout, weights=reweigh(rollout, 1.0 - policy.holdback.share, now))
    watched = replace(deployment, live=rollout.candidate, rollout=rollout, expiry=None, emergency=None)
    return Planned(watched, event="watch")


def end(deployment: Deployment, rollout: Rollout, phase: Phase, *, now: float, by: By) -> Planned:
    ended = replace(rollout, phase=phase, ended_at=now, ended_by=by.actor, end_reason=by.reason)
    outcomes = {**deployment.outcomes, rollout.candidate: phase}
    live = rollout.candidate if phase == "promoted" else rollout.baseline
    after = replace(deployment, live=live, rollout=None, outcomes=outcomes)
    return Planned(after if live == deployment.live else replace(after, expiry=None, emergency=None), ended)


def deploy(
    deployment: Deployment,
    version: int,
    *,
    emergency: bool,
    now: float,
    by: By,
    expires_in: float | None = None,
    watched: Watched | None = None,
) -> Planned:
    """`version` live at once, without a canary; a running rollout of the prompt ends as `aborted`.

    An emergency does without the gate, may expire in so many s, and may be `watched`: it is a rollout
    against the version before that begins with its watch. A version that becomes live counts as
    promoted, so that it is `archived` and not `ready` once another has taken its place. What is live already
    and would be taken back is live for good by it.
    """
    prompt = deployment.prompt
    if expires_in is not None:
        check_expiry(expires_in, emergency)
    if watched is not None and not emergency:
        raise InvalidValue("only an emergency deploy begins with its watch: start a rollout", param="watch")
    if watched is not None and stands_watched(deployment, version, watched.under.name):
        if expires_in is None:
            return Planned(deployment)
        back_to = running(deployment).baseline
        return Planned(replace(deployment, expiry=Expiry(now + expires_in, back_to)))
    stands = deployment.live == version and deployment.rollout is None
    if stands and deployment.expiry is None and expires_in is None and watched is None:
        return Planned(deployment)
    if not by.reason and (emergency or deployment.live is not None):
        raise TransitionRefused(
            f"deploying {prompt}/{version} at once skips the canary: give a reason", param="reason"
        )
    if not emergency:
        require_gate(deployment, version)
    planned = Planned(deployment)
    if deployment.rollout is not None:
        planned = end(deployment, deployment.rollout, "aborted", now=now, by=by)
    before = planned.deployment
    expiry = None if expires_in is None else expiry_of(before, version, now + expires_in)
    if watched is None:
        after = made_live(before, version, expiry)
        if emergency and before.live not in (None, version):
            after = replace(after, emergency=Emergency(now, before.live))
        return Planned(after, planned.ended)
    rollout = watched_at_once(before, version, watched, now=now, by=by)
    after = replace(before, live=version, rollout=rollout, expiry=expiry, emergency=None)
    return Planned(after, planned.ended)


def stands_watched(deployment: Deployment, version: int, policy: str) -> bool:
    """Whether `version` is watched under that policy already. Raises `TransitionRefused` if another is: those
    who were given that one would fall back to the version before it."""
    rollout = deployment.rollout
    if rollout is None or not rollout.in_watch:
        return False
    if (rollout.candidate, rollout.policy_name) == (version, policy):
        return True
    raise TransitionRefused(
        f"{deployment.prompt}/{rollout.candidate} is being watched under {rollout.policy_name}: finish its "
        "rollout or roll it back first, or deploy without a watch",
        param="watch",
    )


def watched_at_once(deployment: Deployment, version: int, how: Watched, *, now: float, by: By) -> Rollout:
    """A rollout of `version` that has nothing but its watch."""
    baseline = deployment.live
    if baseline is None or baseline == version:
        raise TransitionRefused(
            f"{deployment.prompt} has no other live version that sessions could be held back on",
            param="watch",
        )
    policy = replace(how.under.policy, shadow=None, approvals={})
    weight, begins = 1.0 - policy.holdback.share, now + RAISE_LEAD
    first = sampled(Weight(weight, begins), rates(policy, weight, 0.0, CAP, first_stage=False))
    rollout = _new(deployment.prompt, version, baseline, first, id=how.id, salt=how.salt, now=now, by=by)
    return _under(replace(rollout, watch_since=begins), how.under._replace(policy=policy))


def revert(deployment: Deployment, *, now: float, by: By) -> Planned:
    """Take an emergency deploy back whose time has come, and with it a rollout against it; else nothing."""
    expiry = deployment.expiry
    if expiry is None or now < expiry.at:
        return Planned(deployment)
    planned = Planned(deployment)
    if deployment.rollout is not None:
        planned = end(deployment, deployment.rollout, "aborted", now=now, by=by)
    return Planned(made_live(planned.deployment, expiry.back_to, None), planned.ended)


def made_live(deployment: Deployment, version: int, expiry: Expiry | None) -> Deployment:
    outcomes: dict[int, Phase] = {**deployment.outcomes, version: "promoted"}
    emergency = deployment.emergency if version == deployment.live else None
    return replace(deployment, live=version, outcomes=outcomes, expiry=expiry, emergency=emergency)


def check_expiry(expires_in: float, emergency: bool) -> None:
    if not emergency:
        raise InvalidValue("only an emergency deploy expires", param="expires_in")
    if not 0.0 < expires_in <= MOST_EXPIRY:
        raise InvalidValue(
            f"an emergency deploy expires in up to {MOST_EXPIRY:.0f} s, not {expires_in}", param="expires_in"
        )


def expiry_of(deployment: Deployment, version: int, at: float) -> Expiry:
    """Back to what is live now; another expiry of the same version keeps its way back."""
    back_to = deployment.live
    if deployment.expiry is not None and back_to == version:
        back_to = deployment.expiry.back_to
    if back_to is None or back_to == version:
        raise TransitionRefused(
            f"{deployment.prompt}/{version} has no other version before it to go back to", param="expires_in"
        )
    return Expiry(at, back_to)


def set_gate(
    deployment: Deployment, version: int, gate: Gate, *, now: float = 0.0, by: By | None = None
) -> Planned:
    """A suite that is run again and fails takes its version's running rollout back in the same commit: so no
    order of a start and a result leaves traffic with what failed."""
    gated = replace(deployment, gates={**deployment.gates, version: gate})
    rollout = deployment.rollout
    if by is None or gate.state != "failed" or rollout is None or rollout.candidate != version:
        return Planned(gated)
    reason = by.reason or f"its suite {gate.suite} failed: {gate.detail or 'no detail'}"
    planned = end(gated, rollout, "rolled_back", now=now, by=by._replace(reason=reason))
    return planned._replace(event="roll_back")


def running(deployment: Deployment) -> Rollout:
    if deployment.rollout is None:
        raise TransitionRefused(f"{deployment.prompt} has no running rollout")
    return deployment.rollout


def reweigh(rollout: Rollout, value: float, now: float, of: Rates | None = None) -> tuple[Weight, ...]:
    """The weight history with `value` added, measured at `of` (None: as before). A raise that was
    announced and is not in force yet is withdrawn by anything below it."""
    in_force, last = rollout.weight_at(now), rollout.weights[-1]
    if value == last.value:
        return rollout.weights
    new = last if of is None else sampled(last, of)
    if value <= in_force.value:
        return (*rollout.weights, replace(new, value=value, effective_at=now))
    announced = replace(new, value=value, effective_at=now + RAISE_LEAD)
    if value < last.value:
        # Above what is in force, so it needs the lead; until then the higher one must not come into force.
        return (*rollout.weights, replace(in_force, effective_at=now), announced)
    return (*rollout.weights, announced)


def sampled(weight: Weight, of: Rates) -> Weight:
    return replace(weight, q1=of.q1, q0=of.q0, j1=of.j1, j0=of.j0)


def begun(rollout: Rollout, now: float) -> Rollout:
    """At the beginning of a stage: what the one before waited for, and for how long, is over."""
    paused_at = now if rollout.paused_at else 0.0
    return replace(rollout, hold=None, paused_at=paused_at, paused_before=0.0)


def gate_of(deployment: Deployment, version: int) -> Gate:
    return deployment.gates.get(version, Gate("pending"))


def lacks_gate(deployment: Deployment, version: int) -> str:
    """Why it has not passed."""
    gate = gate_of(deployment, version)
    state = "has not been run" if gate.state == "pending" else f"failed ({gate.detail or 'no detail'})"
    return f"the gate of {deployment.prompt}/{version} for suite {gate.suite!r} {state}"


def require_gate(deployment: Deployment, version: int) -> None:
    if gate_of(deployment, version).state == "passed":
        return
    raise GateNotPassed(
        f"{lacks_gate(deployment, version)}: no version receives traffic before its gate has passed",
        param="version",
    )


def require_inputs(candidate: Content, baseline: Content) -> None:
    """Refuse a candidate that would fail for requests which the baseline answers."""
    known = {item.name: item for item in baseline.inputs}
    for item in candidate.inputs:
        other = known.get(item.name)
        if is_needed(item) and (other is None or not is_needed(other)):
            what = f"needs input {item.name!r}, which the live version does not"
        elif other is not None and item.kind != other.kind:
            what = f"takes input {item.name!r} as {item.kind}, the live version as {other.kind}"
        else:
            continue
        raise TransitionRefused(
            f"the candidate {what}: requests without it would fail; give it a default, or override the check "
            "if every client sends it",
            param="override_inputs",
        )


def is_needed(item: Input) -> bool:
    return item.required and item.default is None
