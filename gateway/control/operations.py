"""Everything a person can do to prompts: one protocol, and its implementation directly on a store.

The admin API serves `StoreOperations`; the command line uses it too, so that it works while no other
process is up, or speaks the same protocol to an admin API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from msgspec.structs import replace

from gateway.control import approvals, audit, views
from gateway.control.audit import AuditPage, Verification
from gateway.control.baseline import read_beginning
from gateway.control.case import Summary
from gateway.control.client_keys import ClientKeys, KeyView, NewKey
from gateway.control.plan import By
from gateway.control.quality import Quality, quality
from gateway.control.registry import Pushed, Registry, list_all
from gateway.control.replay import Replay, replay
from gateway.control.rollouts import Rollouts, Start
from gateway.control.views import (
    DeploymentPage,
    DeploymentView,
    PromptView,
    RolloutView,
    VersionDetail,
    VersionView,
)
from gateway.domain.client_key import Wanted
from gateway.domain.policy import POLICIES, Policy
from gateway.domain.prompt import Gate, Metadata, Version
from gateway.domain.rollout import FINAL, Deployment, Event, Rollout
from gateway.errors import InvalidValue
from gateway.promptfiles import prompty
from gateway.storage import codec, keys
from gateway.storage.base import Store

MAX_PAGE = 1000  # audit entries


class Operations(Protocol):
    """Errors are `errors.GatewayError`s; see `registry` and `rollouts` for which. `expected` is the
    deployment's revision that the person saw; a change since then is refused."""

    async def prompts(self) -> tuple[DeploymentView, ...]: ...

    async def prompt(self, prompt: str) -> PromptView: ...

    async def deployment(self, prompt: str) -> DeploymentView: ...

    async def version(self, prompt: str, number: int) -> VersionDetail: ...

    async def push(
        self, text: str, source: str, by: By, *, into: str | None = None, expected: int | None = None
    ) -> Pushed:
        """`text` is a .prompty file; `source` its name for messages; `into` the prompt that it must name."""

    async def record_gate(
        self, prompt: str, number: int, gate: Gate, by: By, *, expected: int | None = None
    ) -> VersionView: ...

    async def start(
        self, prompt: str, what: Start, by: By, *, expected: int | None = None
    ) -> DeploymentView: ...

    async def change(
        self, prompt: str, event: Event, by: By, *, weight: float | None = None, expected: int | None = None
    ) -> DeploymentView: ...

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
    ) -> DeploymentView:
        """`expires_in`: seconds after which an emergency deploy is taken back. `watch`: the policy that
        watches it, with its holdback on the version before."""

    async def rollouts(self, prompt: str) -> tuple[RolloutView, ...]: ...

    async def replay(self, rollout: str) -> Replay:
        """Every verdict of a rollout again, from its evidence."""

    async def quality(self, rollout: str) -> Quality:
        """The judge's work on a rollout, and feedback on its answers."""

    async def audit(self, *, before: int | None = None, limit: int = 50, prompt: str = "") -> AuditPage: ...

    async def verify_audit(self) -> Verification: ...

    async def client_keys(self) -> tuple[KeyView, ...]: ...

    async def create_key(self, wanted: Wanted, by: By) -> NewKey: ...

    async def revoke_key(self, id: str, by: By, *, expected: int | None = None) -> KeyView: ...


class StoreOperations:
    """`policies` are those that a rollout can be started under, by name; `rules` see `Rollouts`."""

    def __init__(
        self,
        store: Store,
        policies: Mapping[str, Policy] = POLICIES,
        rules: Mapping[str, float] | None = None,
    ) -> None:
        self._store = store
        self._registry = Registry(store)
        self._rollouts = Rollouts(store, policies, rules)
        self._keys = ClientKeys(store)

    async def prompts(self) -> tuple[DeploymentView, ...]:
        return tuple(
            [await self.deployment(deployment.prompt) for deployment in await self._registry.deployments()]
        )

    async def page(self, after: str, limit: int, seen: Callable[[str], bool]) -> DeploymentPage:
        """The prompts whose name sorts after `after` and that `seen` lets through."""
        found: list[DeploymentView] = []
        key = keys.deployment(after)
        while documents := await self._store.list(keys.DEPLOYMENTS, after=key, limit=limit + 1):
            for document in documents:
                key = document.key
                prompt = key.removeprefix(keys.DEPLOYMENTS)
                if not seen(prompt):
                    continue
                if len(found) == limit:
                    return DeploymentPage(tuple(found), found[-1].prompt)
                found.append(await self.deployment(prompt))
        return DeploymentPage(tuple(found))

    async def prompt(self, prompt: str) -> PromptView:
        deployment, _ = await self._registry.deployment(prompt)
        versions = [
            await self._version_view(deployment, version) for version in await self._registry.versions(prompt)
        ]
        shown = await self.deployment(prompt)
        return PromptView(**msgspec.structs.asdict(shown), versions=tuple(reversed(versions)))

    async def deployment(self, prompt: str) -> DeploymentView:
        deployment, revision = await self._registry.deployment(prompt)
        live = deployment.live
        digest = None if live is None else (await self._registry.version(prompt, live)).digest
        rollout = None
        if deployment.rollout is not None:
            rollout = await self._rollout_view(deployment.rollout, deployment)
        return DeploymentView(
            prompt=prompt,
            revision=revision,
            live=live,
            digest=digest,
            rollout=rollout,
            expiry=deployment.expiry,
            labels=deployment.labels,
            emergency=deployment.emergency,
        )

    async def version(self, prompt: str, number: int) -> VersionDetail:
        version = await self._registry.version(prompt, number)
        deployment, _ = await self._registry.deployment(prompt)
        history = await self._registry.metadata_history(prompt, number)
        view = views.version_view(deployment, version, history[-1].metadata if history else Metadata())
        return VersionDetail(view, version.content, history)

    async def push(
        self, text: str, source: str, by: By, *, into: str | None = None, expected: int | None = None
    ) -> Pushed:
        file = prompty.parse(text, source=source)
        if into is not None and into != file.name:
            raise InvalidValue(f"{source}: the file is of prompt {file.name!r}, not {into!r}", param="name")
        return await self._registry.push(file, by, expected=expected)

    async def record_gate(
        self, prompt: str, number: int, gate: Gate, by: By, *, expected: int | None = None
    ) -> VersionView:
        done = await self._registry.record_gate(prompt, number, gate, by, expected=expected)
        version = await self._registry.version(prompt, number)
        return replace(await self._version_view(done.deployment, version), revision=done.revision)

    async def start(self, prompt: str, what: Start, by: By, *, expected: int | None = None) -> DeploymentView:
        await self._rollouts.start(prompt, what, by, expected=expected)
        return await self.deployment(prompt)

    async def change(
        self, prompt: str, event: Event, by: By, *, weight: float | None = None, expected: int | None = None
    ) -> DeploymentView:
        await self._rollouts.change(prompt, event, by, weight=weight, expected=expected)
        return await self.deployment(prompt)

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
    ) -> DeploymentView:
        await self._rollouts.deploy(
            prompt,
            version,
            by,
            emergency=emergency,
            expires_in=expires_in,
            watch=watch,
            expected=expected,
        )
        return await self.deployment(prompt)

    async def rollouts(self, prompt: str) -> tuple[RolloutView, ...]:
        now = (await self._store.tick()).now
        deployment, _ = await self._registry.deployment(prompt)
        history = await self._rollouts.history(prompt)
        found = [
            codec.decode_document(document, Summary)
            for document in await list_all(self._store, keys.verdicts(prompt))
        ]
        shown = {summary.rollout: summary for summary in found}
        return tuple(
            [
                views.rollout_view(rollout, now, shown.get(rollout.id))
                if rollout.phase in FINAL
                else await self._rollout_view(rollout, deployment)
                for rollout in history
            ]
        )

    async def prompt_of(self, rollout: str) -> str:
        """Raises `NotFound`."""
        return (await self._rollouts.find(rollout)).prompt

    async def replay(self, rollout: str) -> Replay:
        return await replay(self._store, await self._rollouts.find(rollout))

    async def quality(self, rollout: str) -> Quality:
        return await quality(self._store, await self._rollouts.find(rollout))

    async def audit(
        self,
        *,
        before: int | None = None,
        limit: int = 50,
        prompt: str = "",
        seen: Callable[[str], bool] = lambda subject: True,
    ) -> AuditPage:
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidValue(f"limit is a number from 1 to {MAX_PAGE}, not {limit}", param="limit")
        return await audit.read_page(self._store, before=before, limit=limit, subject=prompt, seen=seen)

    async def verify_audit(self) -> Verification:
        return await audit.verify(self._store)

    async def client_keys(self) -> tuple[KeyView, ...]:
        return await self._keys.all()

    async def create_key(self, wanted: Wanted, by: By) -> NewKey:
        return await self._keys.create(wanted, by)

    async def revoke_key(self, id: str, by: By, *, expected: int | None = None) -> KeyView:
        return await self._keys.revoke(id, by, expected=expected)

    async def _rollout_view(self, rollout: Rollout, deployment: Deployment) -> RolloutView:
        """Of one that runs."""
        shown = await self._store.get(keys.verdict(rollout.prompt, rollout.id))
        summary = None if shown is None else codec.decode_document(shown, Summary)
        known = await read_beginning(self._store, rollout.id)
        view = views.rollout_view(rollout, (await self._store.tick()).now, summary, known)
        return replace(view, approvals=approvals.asked(deployment))

    async def _version_view(self, deployment: Deployment, version: Version) -> VersionView:
        history = await self._registry.metadata_history(version.prompt, version.number)
        return views.version_view(deployment, version, history[-1].metadata if history else Metadata())
