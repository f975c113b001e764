"""The operations and the administration through an admin API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from msgspec.structs import asdict

from gateway.cli.api import AdminApi
from gateway.cli.api import prompt_path as _path
from gateway.control.access import Issued, Tokens, TokenView
from gateway.control.administration import DeliveryPage, Sent
from gateway.control.alerts.outbox import Delivery
from gateway.control.audit import AuditPage, Verification
from gateway.control.client_keys import KeyPage, KeyView, NewKey
from gateway.control.explain import Explanation, KeyKind
from gateway.control.plan import By
from gateway.control.quality import Quality
from gateway.control.registry import Pushed
from gateway.control.replay import Replay
from gateway.control.rollouts import Start
from gateway.control.views import (
    DeploymentPage,
    DeploymentView,
    PromptView,
    RolloutPage,
    RolloutView,
    VersionDetail,
    VersionView,
)
from gateway.domain.access import Role
from gateway.domain.client_key import Wanted
from gateway.domain.prompt import Gate
from gateway.domain.rollout import Event
from gateway.promptfiles import prompty

PAGE = 1000


class RemoteOperations:
    def __init__(self, api: AdminApi) -> None:
        self._api = api

    async def prompts(self) -> tuple[DeploymentView, ...]:
        found: list[DeploymentView] = []
        after: str | None = ""
        while after is not None:
            page = await self._api.get(
                f"/v1/prompts?{urlencode({'limit': PAGE, 'after': after})}", DeploymentPage
            )
            found += page.prompts
            after = page.next
        return tuple(found)

    async def prompt(self, prompt: str) -> PromptView:
        return await self._api.get(_path(prompt), PromptView)

    async def deployment(self, prompt: str) -> DeploymentView:
        return await self._api.get(_path(prompt, "rollout"), DeploymentView)

    async def version(self, prompt: str, number: int) -> VersionDetail:
        return await self._api.get(_path(prompt, "versions", number), VersionDetail)

    async def push(
        self, text: str, source: str, by: By, *, into: str | None = None, expected: int | None = None
    ) -> Pushed:
        name = prompty.parse(text, source=source).name if into is None else into
        body = {"file": text, "source": source, "reason": by.reason}
        return await self._api.send("POST", _path(name, "versions"), Pushed, body, by, expected)

    async def record_gate(
        self, prompt: str, number: int, gate: Gate, by: By, *, expected: int | None = None
    ) -> VersionView:
        body = {"state": gate.state, "suite": gate.suite, "detail": gate.detail, "reason": by.reason}
        path = _path(prompt, "versions", number, "gate")
        return await self._api.send("PUT", path, VersionView, body, by, expected)

    async def start(self, prompt: str, what: Start, by: By, *, expected: int | None = None) -> DeploymentView:
        body = {
            "version": what.candidate,
            "weight": what.weight,
            "policy": what.policy,
            "override_inputs": what.override_inputs,
            "reason": by.reason,
        }
        return await self._api.send("POST", _path(prompt, "rollouts"), DeploymentView, body, by, expected)

    async def change(
        self, prompt: str, event: Event, by: By, *, weight: float | None = None, expected: int | None = None
    ) -> DeploymentView:
        body: dict[str, Any] = {"reason": by.reason}
        if weight is not None:
            body["weight"] = weight
        path = _path(prompt, "rollout", event.removeprefix("set_"))
        return await self._api.send("POST", path, DeploymentView, body, by, expected)

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
        body: dict[str, Any] = {"version": version, "reason": by.reason, "emergency": emergency}
        if expires_in is not None:
            body["expires_in"] = expires_in
        if watch is not None:
            body["watch"] = watch
        return await self._api.send("POST", _path(prompt, "deploy"), DeploymentView, body, by, expected)

    async def rollouts(self, prompt: str) -> tuple[RolloutView, ...]:
        found: list[RolloutView] = []
        query: dict[str, Any] = {"limit": PAGE}
        while True:
            page = await self._api.get(_path(prompt, "rollouts") + "?" + urlencode(query), RolloutPage)
            found += page.rollouts
            if page.next is None:
                return tuple(found)
            query["after"] = page.next

    async def replay(self, rollout: str) -> Replay:
        return await self._api.get(f"/v1/rollouts/{quote(rollout, safe='')}/replay", Replay)

    async def quality(self, rollout: str) -> Quality:
        return await self._api.get(f"/v1/rollouts/{quote(rollout, safe='')}/quality", Quality)

    async def audit(self, *, before: int | None = None, limit: int = 50, prompt: str = "") -> AuditPage:
        query: dict[str, Any] = {"limit": limit}
        if before is not None:
            query["before"] = before
        if prompt:
            query["prompt"] = prompt
        return await self._api.get(f"/v1/audit?{urlencode(query)}", AuditPage)

    async def verify_audit(self) -> Verification:
        return await self._api.get("/v1/audit/verify", Verification)

    async def client_keys(self) -> tuple[KeyView, ...]:
        return (await self._api.get("/v1/keys", KeyPage)).keys

    async def create_key(self, wanted: Wanted, by: By) -> NewKey:
        body = {**asdict(wanted), "reason": by.reason}
        return await self._api.send("POST", "/v1/keys", NewKey, body, by)

    async def revoke_key(self, id: str, by: By, *, expected: int | None = None) -> KeyView:
        path = f"/v1/keys/{quote(id, safe='')}/revoke"
        return await self._api.send("POST", path, KeyView, {"reason": by.reason}, by, expected)


class RemoteAdministration:
    def __init__(self, api: AdminApi) -> None:
        self._api = api

    async def tokens(self) -> tuple[TokenView, ...]:
        return (await self._api.get("/v1/tokens", Tokens)).tokens

    async def create_token(self, name: str, role: Role, prompts: tuple[str, ...], by: By) -> Issued:
        body = {"name": name, "role": role, "prompts": prompts, "reason": by.reason}
        return await self._api.send("POST", "/v1/tokens", Issued, body, by)

    async def rotate_token(self, name: str, grace: float, by: By, *, expected: int | None = None) -> Issued:
        body = {"grace": grace, "reason": by.reason}
        return await self._api.send("POST", _token(name, "rotate"), Issued, body, by, expected)

    async def revoke_token(self, name: str, by: By, *, expected: int | None = None) -> TokenView:
        body = {"reason": by.reason}
        return await self._api.send("POST", _token(name, "revoke"), TokenView, body, by, expected)

    async def alerts(self, after: str, limit: int) -> DeliveryPage:
        query = urlencode({"limit": limit} | ({"after": after} if after else {}))
        return await self._api.get(f"/v1/alerts?{query}", DeliveryPage)

    async def retry_alert(self, id: str, by: By) -> Delivery:
        path = f"/v1/alerts/{quote(id, safe='')}/retry"
        return await self._api.send("POST", path, Delivery, {"reason": by.reason}, by)

    async def test_alert(self, target: str, by: By) -> Sent:
        body = {"target": target, "reason": by.reason}
        return await self._api.send("POST", "/v1/alerts/test", Sent, body, by)

    async def explain_request(self, id: str) -> Explanation:
        return await self._api.get(f"/v1/requests/{quote(id, safe='')}", Explanation)

    async def explain_session(self, prompt: str, key: str, kind: KeyKind, client: str) -> Explanation:
        body = {"session": key, "kind": kind, "client": client}
        return await self._api.send("POST", _path(prompt, "explain"), Explanation, body, By("viewer"))

    async def explain_unnamed(self, model: str, key: str, kind: KeyKind, client: str) -> Explanation:
        body = {"model": model, "session": key, "kind": kind, "client": client}
        return await self._api.send("POST", "/v1/explain", Explanation, body, By("viewer"))


def _token(name: str, action: str) -> str:
    return f"/v1/tokens/{quote(name, safe='')}/{action}"
