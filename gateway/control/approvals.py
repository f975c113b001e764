"""Approvals: people whom a policy asks before a stage (docs/adr/0015-approvals.md).

An approval is asked for before the next stage only, from people who are neither the candidate's author nor
the one who started its rollout. Harm is tested all the same while one is waited for.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from gateway.control.plan import By, Planned, running
from gateway.domain.approval import Approval, basis_of, people, principal
from gateway.domain.policy import WATCH
from gateway.domain.rollout import Deployment, Rollout, next_phase
from gateway.errors import Forbidden, TransitionRefused


class Approvals(msgspec.Struct, frozen=True):
    """Of the stage that comes next: how many it needs, and who has approved."""

    stage: str
    needs: int
    by: tuple[str, ...]

    @property
    def missing(self) -> int:
        return max(self.needs - len(self.by), 0)


def asked(deployment: Deployment) -> Approvals | None:
    """What the next stage asks for; None if nothing, or if none comes."""
    rollout = deployment.rollout
    stage = None if rollout is None else next_stage(rollout)
    if rollout is None or stage is None:
        return None
    return _of(deployment, rollout, stage)


def next_stage(rollout: Rollout) -> str | None:
    if rollout.policy is None or rollout.in_watch:
        return None
    following = 1 if rollout.in_shadow else rollout.stage + 2  # as people count the stages of a policy
    return WATCH if following > len(rollout.policy.stages) else str(following)


def approve(deployment: Deployment, author: str, *, by: By, now: float) -> Planned:
    """`by` approves the next stage; again changes nothing. `author`: who made the candidate."""
    rollout = running(deployment)
    found = asked(deployment)
    if found is None:
        raise TransitionRefused(f"no approval is asked for before the next stage of rollout {rollout.id}")
    for role, who in (("made the version", author), ("started the rollout", rollout.started_by)):
        if people(who) & people(by.actor):
            raise Forbidden(f"{by.actor} {role}: somebody else approves stage {found.stage}", param="actor")
    if principal(by.actor) in map(principal, found.by):
        return Planned(deployment)
    approval = Approval(found.stage, by.actor, now, _basis(deployment, rollout))
    approved = replace(
        rollout, phase=next_phase(rollout.phase, "approve"), approvals=(*rollout.approvals, approval)
    )
    return Planned(replace(deployment, rollout=approved))


def require(deployment: Deployment, *, weight: float) -> None:
    """Refuse a person's way around: what gives new sessions at `weight` (1.0: promotes) reaches stages that
    lack approvals."""
    rollout = deployment.rollout
    if rollout is None or rollout.policy is None or rollout.in_watch:
        return
    policy = rollout.policy
    starts = [(str(number), stage.min) for number, stage in enumerate(policy.stages, start=1)]
    reached = 0 if rollout.in_shadow else rollout.stage + 1
    for name, begins in (*starts[reached:], (WATCH, 1.0 - policy.holdback.share)):
        found = _of(deployment, rollout, name)
        if found is not None and found.missing and weight >= begins:
            raise TransitionRefused(lacks(found))


def lacks(found: Approvals) -> str:
    have = f", has {len(found.by)} ({', '.join(found.by)})" if found.by else ""
    return f"stage {found.stage} needs {found.needs} approvals{have}: see `rollout approve`"


def _of(deployment: Deployment, rollout: Rollout, stage: str) -> Approvals | None:
    needs = 0 if rollout.policy is None else rollout.policy.approvals.get(stage, 0)
    if not needs:
        return None
    basis = _basis(deployment, rollout)
    by = [each.actor for each in rollout.approvals if (each.stage, each.basis) == (stage, basis)]
    return Approvals(stage, needs, tuple(by))


def _basis(deployment: Deployment, rollout: Rollout) -> str:
    return basis_of(deployment.gates.get(rollout.candidate), rollout.policy)
