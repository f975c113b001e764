"""What people do with rollouts: start one, change it, end it, or deploy at once.

The rules are `plan`'s; here they meet the store. A rollout that ends is archived under its own key in the
commit that ends it, so that a rollback is one write.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.control import approvals, plan
from gateway.control.baseline import beginning_of, read_past
from gateway.control.case import rules_of
from gateway.control.changes import (
    Change,
    Current,
    Done,
    archived,
    commit,
    ending,
    holders,
    last_change,
    position,
    read_deployment,
    summary,
)
from gateway.control.emergency import evaluated_afterwards
from gateway.control.plan import By, Planned, Under, Watched
from gateway.control.registry import Registry, list_all
from gateway.control.retention import Kept
from gateway.domain.names import check_name
from gateway.domain.policy import POLICIES, Policy
from gateway.domain.rollout import Event, Rollout, Weight
from gateway.errors import InvalidValue, NotFound, TransitionRefused
from gateway.storage import codec, keys
from gateway.storage.base import Documents, Put

ID_BYTES = 6  # what a request id has room for; as hex digits it is a name
SALT_BYTES = 16
DEFAULT_POLICY = "standard"
INSISTENT: frozenset[Event] = frozenset({"roll_back", "abort"})  # meant, whatever the weight is meanwhile


@dataclass(frozen=True, slots=True)
class Start:
    """By hand at a `weight`, or under the policy of that name; neither: `DEFAULT_POLICY`. `override_inputs`
    lets a candidate need an input that the live version does not."""

    candidate: int
    weight: float | None = None
    override_inputs: bool = False
    policy: str | None = None


class Rollouts:
    """`policies` are those that a rollout can be started under, by name; `rules` the limits of the analysis
    that differ from their defaults."""

    def __init__(
        self,
        store: Documents,
        policies: Mapping[str, Policy] = POLICIES,
        rules: Mapping[str, float] | None = None,
    ) -> None:
        self._store = store
        self._policies = policies
        self._rules = dict(rules or {})
        self._registry = Registry(store)

    async def start(self, prompt: str, what: Start, by: By, *, expected: int | None = None) -> Done:
        """Raises `VersionNotFound`, `PromptNotDeployed`, `GateNotPassed` or `TransitionRefused`."""
        under = self._under(what)
        candidate = await self._registry.version(prompt, what.candidate)
        id, salt = secrets.token_hex(ID_BYTES), secrets.token_hex(SALT_BYTES)

        async def planned(current: Current) -> Change | None:
            result = plan.start(
                current.deployment, what.candidate, under, id=id, salt=salt, now=current.now, by=by
            )
            live = current.deployment.live
            if live is not None and not what.override_inputs:
                baseline = await self._registry.version(prompt, live)
                plan.require_inputs(candidate.content, baseline.content)
            change = change_of(current, result, "start")
            return None if change is None else await self._known(change, current.now)

        return await commit(self._store, prompt, by, planned, expected=expected)

    async def _known(self, change: Change, now: float) -> Change:
        """With what is known of the baseline, where a rollout under a policy begins."""
        rollout = change.deployment.rollout
        if rollout is None or rollout.policy is None:
            return change
        past = await read_past(self._store, rollout.prompt)
        known = beginning_of(past, rollout.baseline, rollout.policy, rules_of(rollout.rules), now)
        beginning = Put(keys.beginning(rollout.id), codec.encode(known), 0)
        kept = Put(keys.kept(rollout.id), codec.encode(Kept(rollout.prompt)), 0)
        return change._replace(puts=(*change.puts, beginning, kept))

    def _under(self, what: Start) -> float | Under:
        if what.weight is not None and what.policy is None:
            return Weight(what.weight, 0.0).value  # refuses what is no weight before anything else is read
        if what.weight is not None:
            raise InvalidValue(
                "a rollout goes by hand at a weight or under a policy, which has its own", param="weight"
            )
        return self._policy(what.policy or DEFAULT_POLICY)

    def _policy(self, name: str) -> Under:
        policy = self._policies.get(name)
        if policy is None:
            raise InvalidValue(
                f"there is no policy {name!r}; there is {', '.join(self._policies)}", param="policy"
            )
        rules_of(self._rules)
        return Under(name, policy, self._rules)

    async def change(
        self, prompt: str, event: Event, by: By, *, weight: float | None = None, expected: int | None = None
    ) -> Done:
        """Take the prompt's running rollout through `event` (see `domain.rollout.TRANSITIONS`)."""
        await self._registry.deployment(prompt)

        async def planned(current: Current) -> Change | None:
            if event == "approve":
                return await self._approval(current, by)
            if event in ("promote", "set_weight"):
                approvals.require(current.deployment, weight=1.0 if weight is None else weight)
            result = plan.change(current.deployment, event, weight=weight, now=current.now, by=by)
            return change_of(current, result, event)

        standing = holders if event in INSISTENT else position
        try:
            return await commit(self._store, prompt, by, planned, expected=expected, standing=standing)
        except TransitionRefused as error:
            last = await last_change(self._store, prompt)
            raise TransitionRefused(f"{error.message}; {last}", param=error.param) from error

    async def _approval(self, current: Current, by: By) -> Change | None:
        """With who has approved what in the audit log."""
        deployment = current.deployment
        candidate = plan.running(deployment).candidate
        author = (await self._registry.version(deployment.prompt, candidate)).created_by
        change = change_of(current, approvals.approve(deployment, author, by=by, now=current.now), "approve")
        if change is None:
            return None
        found = approvals.asked(change.deployment)
        return change._replace(after=change.after | {"approvals": msgspec.to_builtins(found)})

    async def deploy(
        self,
        prompt: str,
        version: int,
        by: By,
        *,
        emergency: bool = False,
        expires_in: float | None = None,
        watch: str | None = None,
        expected: int | None = None,
    ) -> Done:
        """Make `version` live at once, whatever runs; see `plan.deploy`. `watch`: name of the policy under
        which an emergency deploy is watched."""
        watched = None
        if watch is not None:
            id, salt = secrets.token_hex(ID_BYTES), secrets.token_hex(SALT_BYTES)
            watched = Watched(self._policy(watch), id, salt)
        await self._registry.version(prompt, version)
        metadata = (await self._registry.metadata_history(prompt, version))[-1].metadata

        async def planned(current: Current) -> Change | None:
            rollout = current.deployment.rollout
            if not emergency and rollout is not None and rollout.candidate == version:
                approvals.require(current.deployment, weight=1.0)
            result = plan.deploy(
                current.deployment,
                version,
                emergency=emergency,
                expires_in=expires_in,
                watched=watched,
                now=current.now,
                by=by,
            )
            if emergency and result.deployment is not current.deployment:
                deployment = evaluated_afterwards(result.deployment, version, metadata)
                result = result._replace(deployment=deployment)
            change = change_of(current, result, "emergency_deploy" if emergency else "deploy")
            return None if change is None else await self._known(change, current.now)

        return await commit(self._store, prompt, by, planned, expected=expected, steady=False)

    async def history(self, prompt: str) -> tuple[Rollout, ...]:
        """All rollouts of a prompt, the newest first, one that runs included."""
        deployment, _ = await self._registry.deployment(prompt)
        ended = [
            codec.decode_document(document, Rollout)
            for document in await list_all(self._store, keys.rollouts(prompt))
        ]
        running = [deployment.rollout] if deployment.rollout is not None else []
        return tuple(sorted(running + ended, key=lambda rollout: rollout.started_at, reverse=True))

    async def get(self, prompt: str, id: str) -> Rollout:
        deployment, _ = await read_deployment(self._store, prompt)
        if deployment.rollout is not None and deployment.rollout.id == id:
            return deployment.rollout
        document = await self._store.get(keys.rollout(prompt, check_name(id, "rollout")))
        if document is None:
            raise NotFound(f"{prompt} has no rollout {id!r}", param="rollout")
        return codec.decode_document(document, Rollout)

    async def find(self, id: str) -> Rollout:
        """A rollout of any prompt. Raises `NotFound`."""
        check_name(id, "rollout")
        for deployment in await self._registry.deployments():
            if deployment.rollout is not None and deployment.rollout.id == id:
                return deployment.rollout
        for document in await list_all(self._store, keys.ROLLOUTS):
            if document.key.endswith(f"/{id}"):
                return codec.decode_document(document, Rollout)
        raise NotFound(f"there is no rollout {id!r}", param="rollout")


def change_of(current: Current, planned: Planned, action: str, evidence: Any = None) -> Change | None:
    """One commit of what was planned: the deployment, and the rollout that it ends under its own key."""
    if planned.deployment == current.deployment:
        return None
    before, after = summary(current.deployment), summary(planned.deployment) | ending(planned.ended)
    puts = archived(planned.ended)
    return Change(planned.deployment, planned.event or action, before, after, puts, evidence)
