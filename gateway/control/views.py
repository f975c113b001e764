"""What people are shown of prompts, versions and rollouts: the shapes of the admin API and of `--json`."""

from __future__ import annotations

import msgspec

from gateway.analysis.reach import plan
from gateway.control.approvals import Approvals, next_stage
from gateway.control.baseline import Beginning
from gateway.control.case import Summary
from gateway.control.registry import MetadataEntry
from gateway.domain.prompt import Content, Gate, Metadata, Version
from gateway.domain.rollout import (
    FINAL,
    Deployment,
    Emergency,
    Event,
    Expiry,
    Hold,
    Phase,
    Rollout,
    State,
    Weight,
    events_from,
    state_of,
)


class RolloutView(msgspec.Struct, frozen=True):
    """`weight` is in force now; `announced` takes its place at `effective_at`; `weights` is the history,
    oldest first. `can` are the events that the phase allows. Times are the store's, seconds since the epoch;
    0.0 is "not yet". The salt is not shown: who knows it can choose an arm.

    Under a `policy` (empty: by hand) it is in `stage` number `stage` of `stages`, from 0, or in its `watch`,
    or before them in its `shadow` stage, since `stage_since`; `hold` is why it waits, `evidence` what the
    controller found last. `warnings`: that the policy cannot decide within its maximum bake at the traffic
    that is seen, and what could be. `approvals`: of the next stage, null where it asks for none."""

    id: str
    prompt: str
    candidate: int
    baseline: int
    phase: Phase
    weight: float
    announced: float | None
    effective_at: float
    weights: tuple[Weight, ...]
    started_at: float
    started_by: str
    reason: str
    ended_at: float
    ended_by: str
    end_reason: str
    can: tuple[Event, ...]
    policy: str = ""
    stage: int = 0
    stages: int = 0
    stage_since: float = 0.0
    watch: bool = False
    shadow: bool = False
    hold: Hold | None = None
    raises: int = 0
    evidence: Summary | None = None
    warnings: tuple[str, ...] = ()
    approvals: Approvals | None = None


class DeploymentView(msgspec.Struct, frozen=True):
    """What a prompt serves; `revision` is what `If-Match` compares. `expiry`: when an emergency deploy is
    taken back, and to which version; `emergency`: since when it is live by one, and what it has come to.
    `labels` are movable names of versions."""

    prompt: str
    revision: int
    live: int | None
    digest: str | None
    rollout: RolloutView | None
    expiry: Expiry | None
    labels: dict[str, int] = {}
    emergency: Emergency | None = None


class VersionView(msgspec.Struct, frozen=True):
    """`state` is derived from gate and deployment; `metadata` is the newest. `revision`: the deployment's,
    where a change was answered with this."""

    number: int
    digest: str
    state: State
    gate: Gate
    created_at: float
    created_by: str
    metadata: Metadata
    revision: int = 0


class VersionDetail(msgspec.Struct, frozen=True):
    version: VersionView
    content: Content
    metadata_history: tuple[MetadataEntry, ...]


class PromptView(DeploymentView, frozen=True, kw_only=True):
    """A deployment and all versions, the newest first."""

    versions: tuple[VersionView, ...]


class DeploymentPage(msgspec.Struct, frozen=True):
    """In order of name; `next` is the `after` of the following page, null at the end."""

    prompts: tuple[DeploymentView, ...]
    next: str | None = None


class VersionPage(msgspec.Struct, frozen=True):
    """The newest first; `next` is the `before` of the following page, null at the end."""

    versions: tuple[VersionView, ...]
    next: int | None = None


class RolloutPage(msgspec.Struct, frozen=True):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    rollouts: tuple[RolloutView, ...]
    next: str | None = None


def rollout_view(
    rollout: Rollout, now: float, evidence: Summary | None = None, known: Beginning | None = None
) -> RolloutView:
    """`now` is the store's time, s. A rollout that has ended shows the weight that was in force then.
    `known`: what it was started with."""
    at = rollout.ended_at if rollout.phase in FINAL else now
    weight, last = rollout.weight_at(at), rollout.weights[-1]
    return RolloutView(
        id=rollout.id,
        prompt=rollout.prompt,
        candidate=rollout.candidate,
        baseline=rollout.baseline,
        phase=rollout.phase,
        weight=weight.value,
        announced=last.value if last.effective_at > at and rollout.phase not in FINAL else None,
        effective_at=last.effective_at,
        weights=rollout.weights,
        started_at=rollout.started_at,
        started_by=rollout.started_by,
        reason=rollout.reason,
        ended_at=rollout.ended_at,
        ended_by=rollout.ended_by,
        end_reason=rollout.end_reason,
        can=possible(rollout),
        policy=rollout.policy_name,
        stage=rollout.stage,
        stages=0 if rollout.policy is None else len(rollout.policy.stages),
        stage_since=rollout.stage_since,
        watch=rollout.in_watch,
        shadow=rollout.in_shadow and rollout.phase not in FINAL,
        hold=rollout.hold,
        raises=rollout.raises,
        evidence=evidence,
        warnings=(*warnings(rollout, _per_hour(evidence, known)), *_blind(rollout, evidence)),
    )


def warnings(rollout: Rollout, per_hour: float | None) -> tuple[str, ...]:
    """What the traffic, in sessions per hour (None: not known), is too little for."""
    if rollout.policy is None or rollout.in_watch or rollout.phase in FINAL or per_hour is None:
        return ()
    found = plan(rollout.policy, per_hour)
    if found.reachable:
        return ()
    if found.shadow is not None and found.hours is not None and not found.shadow.reachable:
        return found.advice
    limit = f"the maximum bake of {rollout.policy_name} is {found.max_hours:.3g} h"
    if found.hours is None:
        return (f"no sessions are seen: nothing can be decided; {limit}",)
    return (f"at {per_hour:.3g} sessions/h a decision takes {found.hours:.3g} h; {limit}", *found.advice)


def _blind(rollout: Rollout, evidence: Summary | None) -> tuple[str, ...]:
    """Gates that still have to pass, and cannot."""
    if evidence is None or rollout.in_watch or rollout.phase in FINAL:
        return ()
    return evidence.verdict.without_data


def _per_hour(evidence: Summary | None, known: Beginning | None) -> float | None:
    """As the controller sees it now, else as it was in the rollout before."""
    if evidence is not None and evidence.sessions_per_hour is not None:
        return evidence.sessions_per_hour
    return None if known is None else known.sessions_per_hour


def possible(rollout: Rollout) -> tuple[Event, ...]:
    """What a person may ask for now: a watch is begun once, and ended only where there is one."""
    idle: set[Event] = {"promote" if rollout.in_watch else "finish"}
    if rollout.policy is None or next_stage(rollout) not in rollout.policy.approvals:
        idle.add("approve")
    return tuple(event for event in events_from(rollout.phase) if event not in idle)


def version_view(deployment: Deployment, version: Version, metadata: Metadata) -> VersionView:
    return VersionView(
        number=version.number,
        digest=version.digest,
        state=state_of(deployment, version.number),
        gate=deployment.gates.get(version.number, Gate("pending")),
        created_at=version.created_at,
        created_by=version.created_by,
        metadata=metadata,
    )
