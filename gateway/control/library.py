"""What people read and arrange beside rollouts: differences, cards, files, policies, labels, pins.

One protocol and its implementation on a store, as in `operations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from gateway.control import labels
from gateway.control.card import SHOWN, Card, finished
from gateway.control.comparing import Side, VersionDiff, compare, file_of
from gateway.control.explain import Explainer, Place
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.registry import Registry
from gateway.control.sessions import PinView, Sessions
from gateway.domain.names import check_name
from gateway.domain.pins import PinRules
from gateway.domain.policy import POLICIES, Policy
from gateway.domain.prompt import Metadata
from gateway.errors import InvalidValue, NotFound
from gateway.evals.report import Report
from gateway.storage import codec, keys
from gateway.storage.base import Store


class VersionFile(msgspec.Struct, frozen=True):
    """`file` is the text of a .prompty file: pushed, it is the same version with the same metadata."""

    prompt: str
    version: int
    digest: str
    file: str


class PolicyView(msgspec.Struct, frozen=True):
    """Durations are s, tolerances shares. `built_in`: the configuration cannot change it."""

    name: str
    built_in: bool
    policy: Policy


class PolicyPage(msgspec.Struct, frozen=True):
    policies: tuple[PolicyView, ...]


class Labels(msgspec.Struct, frozen=True):
    """Movable names of versions; `revision` is the deployment's."""

    prompt: str
    revision: int
    labels: dict[str, int]


class Library(Protocol):
    """Errors are `errors.GatewayError`s."""

    async def diff(self, prompt: str, number: int, base: int | None = None) -> VersionDiff:
        """From `base` (None: the live version, or the one before where it is live itself)."""

    async def card(self, prompt: str, number: int) -> Card: ...

    async def file(self, prompt: str, number: int) -> VersionFile: ...

    async def policies(self) -> tuple[PolicyView, ...]: ...

    async def policy(self, name: str) -> PolicyView: ...

    async def labels(self, prompt: str) -> Labels: ...

    async def set_label(
        self, prompt: str, label: str, version: int | None, by: By, *, expected: int | None = None
    ) -> Labels:
        """None takes the label away."""

    async def pin(self, place: Place) -> PinView: ...

    async def clear_pin(self, place: Place, by: By) -> PinView: ...


class StoreLibrary:
    """`policies` are those that a rollout can be started under; pins need the fleet's `signing_keys`."""

    def __init__(
        self, store: Store, policies: Mapping[str, Policy] = POLICIES, signing_keys: tuple[str, ...] = ()
    ) -> None:
        self._store = store
        self._operations = StoreOperations(store, policies)
        self._registry = Registry(store)
        self._policies = policies
        self._sessions = Sessions(store, Explainer(store, signing_keys, PinRules()))

    async def diff(self, prompt: str, number: int, base: int | None = None) -> VersionDiff:
        other = await self._side(prompt, number)
        return compare(await self._side(prompt, await self._base(prompt, number, base)), other)

    async def card(self, prompt: str, number: int) -> Card:
        detail = await self._operations.version(prompt, number)
        rollouts = await self._operations.rollouts(prompt)
        document = await self._store.get(keys.evaluation(prompt, number))
        digest = detail.version.digest
        card = Card(
            uri=f"prompts:/{prompt}/{number}#{digest}",
            prompt=prompt,
            version=detail.version,
            model=detail.content.model.id,
            evaluation=None if document is None else codec.decode_document(document, Report),
            rollouts=tuple([view for view in rollouts if view.candidate == number][:SHOWN]),
            back_to=await self._back_to(prompt, number),
        )
        change = await self.diff(prompt, number, number - 1) if number > 1 else None
        return finished(card, detail.content, change)

    async def file(self, prompt: str, number: int) -> VersionFile:
        side = await self._side(prompt, number)
        return VersionFile(prompt, number, side.version.digest, file_of(side))

    async def policies(self) -> tuple[PolicyView, ...]:
        return tuple(PolicyView(name, name in POLICIES, each) for name, each in self._policies.items())

    async def policy(self, name: str) -> PolicyView:
        found = self._policies.get(check_name(name, "policy"))
        if found is None:
            raise NotFound(
                f"there is no policy {name!r}; there is {', '.join(self._policies)}", param="policy"
            )
        return PolicyView(name, name in POLICIES, found)

    async def labels(self, prompt: str) -> Labels:
        deployment, revision = await self._registry.deployment(prompt)
        return Labels(prompt, revision, deployment.labels)

    async def set_label(
        self, prompt: str, label: str, version: int | None, by: By, *, expected: int | None = None
    ) -> Labels:
        done = await labels.set_label(self._registry, prompt, label, version, by, expected=expected)
        return Labels(prompt, done.revision, done.deployment.labels)

    async def pin(self, place: Place) -> PinView:
        return await self._sessions.pin(place)

    async def clear_pin(self, place: Place, by: By) -> PinView:
        return await self._sessions.clear(place, by)

    async def _side(self, prompt: str, number: int) -> Side:
        version = await self._registry.version(prompt, number)
        history = await self._registry.metadata_history(prompt, number)
        return Side(version, history[-1].metadata if history else Metadata())

    async def _base(self, prompt: str, number: int, base: int | None) -> int:
        if base is not None:
            return base
        deployment, _ = await self._registry.deployment(prompt)
        if deployment.live is not None and deployment.live != number:
            return deployment.live
        if number > 1:
            return number - 1
        raise InvalidValue(
            f"{prompt}/1 has no version before it: say which one to compare with", param="base"
        )

    async def _back_to(self, prompt: str, number: int) -> int | None:
        """What is served if `number` is taken back: what it runs against, or ran against last."""
        deployment, _ = await self._registry.deployment(prompt)
        if deployment.live is not None and deployment.live != number:
            return deployment.live
        for view in await self._operations.rollouts(prompt):
            if view.candidate == number:
                return view.baseline
        return None
