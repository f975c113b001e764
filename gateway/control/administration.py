"""What people do to the gateway itself, beside its prompts: one protocol, its implementation on a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from gateway.control.access import Access, Issued, TokenView
from gateway.control.alerts.log import DeliveryLog
from gateway.control.alerts.outbox import Delivery
from gateway.control.explain import Explainer, Explanation, Here, KeyKind
from gateway.control.plan import By
from gateway.domain.access import Role
from gateway.domain.pins import PinRules
from gateway.settings import Settings
from gateway.storage import local
from gateway.storage.base import Store


class Administration(Protocol):
    """Errors are `errors.GatewayError`s; see `access` for which."""

    async def tokens(self) -> tuple[TokenView, ...]: ...

    async def create_token(self, name: str, role: Role, prompts: tuple[str, ...], by: By) -> Issued: ...

    async def rotate_token(
        self, name: str, grace: float, by: By, *, expected: int | None = None
    ) -> Issued: ...

    async def revoke_token(self, name: str, by: By, *, expected: int | None = None) -> TokenView: ...

    async def alerts(self, after: str, limit: int) -> DeliveryPage:
        """What became of alerts, the newest first; `after` is the `next` of the page before, or ""."""

    async def retry_alert(self, id: str, by: By) -> Delivery: ...

    async def test_alert(self, target: str, by: By) -> Sent: ...

    async def explain_request(self, id: str) -> Explanation: ...

    async def explain_session(self, prompt: str, key: str, kind: KeyKind, client: str) -> Explanation: ...

    async def explain_unnamed(self, model: str, key: str, kind: KeyKind, client: str) -> Explanation:
        """Of a session whose requests name no prompt, but perhaps a model that is an alias of one."""


class DeliveryPage(msgspec.Struct, frozen=True):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    deliveries: tuple[Delivery, ...]
    next: str | None = None


class Sent(msgspec.Struct, frozen=True):
    """`delivery` is what the delivery log will know it by."""

    delivery: str


class Own(NamedTuple):
    """What the configuration says and the store does not: names of those that alerts are sent to, the keys
    that sign request ids and sessions, how long pins live, and what `explain` needs."""

    targets: tuple[str, ...] = ()
    signing_keys: tuple[str, ...] = ()
    rules: PinRules = PinRules()
    here: Here = Here()


NOTHING_OWN = Own()


def own_of(settings: Settings, signing_keys: tuple[str, ...]) -> Own:
    sessions = settings.sessions

    def overrides() -> dict[str, int]:
        shown = local.shown_overrides(Path(settings.data_directory))
        return {} if isinstance(shown, str) else shown

    return Own(
        tuple(target.name for target in settings.alerts.targets),
        signing_keys,
        PinRules(sessions.pin_ttl, sessions.pin_max_age, sessions.protect_running),
        Here(settings.bindings.aliases, settings.bindings.default, overrides),
    )


class StoreAdministration:
    def __init__(self, store: Store, own: Own = NOTHING_OWN) -> None:
        self._access = Access(store)
        self._deliveries = DeliveryLog(store, own.targets)
        self._explainer = Explainer(store, own.signing_keys, own.rules, own.here)

    async def tokens(self) -> tuple[TokenView, ...]:
        return await self._access.tokens()

    async def create_token(self, name: str, role: Role, prompts: tuple[str, ...], by: By) -> Issued:
        return await self._access.create(name, role, prompts, by)

    async def rotate_token(self, name: str, grace: float, by: By, *, expected: int | None = None) -> Issued:
        return await self._access.rotate(name, grace, by, expected=expected)

    async def revoke_token(self, name: str, by: By, *, expected: int | None = None) -> TokenView:
        return await self._access.revoke(name, by, expected=expected)

    async def alerts(
        self, after: str, limit: int, seen: Callable[[str], bool] = lambda prompt: True
    ) -> DeliveryPage:
        """Those of prompts that `seen` lets through."""
        found: list[Delivery] = []
        while page := await self._deliveries.page(after, limit + 1):
            for delivery in page:
                if not seen(delivery.alert.prompt):
                    continue
                if len(found) == limit:
                    return DeliveryPage(tuple(found), found[-1].id)
                found.append(delivery)
            after = page[-1].id
        return DeliveryPage(tuple(found))

    async def alert(self, id: str) -> Delivery:
        return await self._deliveries.get(id)

    async def retry_alert(self, id: str, by: By) -> Delivery:
        return (await self.retried(id, by))[0]

    async def retried(self, id: str, by: By, *, expected: int | None = None) -> tuple[Delivery, int]:
        return await self._deliveries.retry(id, by, expected=expected)

    async def test_alert(self, target: str, by: By) -> Sent:
        return Sent(f"{await self._deliveries.test(target, by)}-{target}")

    async def explain_request(self, id: str) -> Explanation:
        return await self._explainer.request(id)

    async def explain_session(self, prompt: str, key: str, kind: KeyKind, client: str) -> Explanation:
        return await self._explainer.session(prompt, key, kind, client)

    async def explain_unnamed(self, model: str, key: str, kind: KeyKind, client: str) -> Explanation:
        return await self._explainer.unnamed(model, key, kind, client)
