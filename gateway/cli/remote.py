"""The operations through an admin API. The standard library's client is enough for one request each, and a
rollback does not wait for a larger one to be imported."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from gateway.control.audit import AuditPage, Verification
from gateway.control.client_keys import KeyView, NewKey
from gateway.control.plan import By
from gateway.control.quality import Quality
from gateway.control.registry import Pushed
from gateway.control.replay import Replay
from gateway.control.rollouts import Start
from gateway.control.views import DeploymentView, PromptView, RolloutView, VersionDetail, VersionView
from gateway.domain.client_key import Wanted
from gateway.domain.prompt import Gate
from gateway.domain.rollout import Event
from gateway.errors import ConfigError, GatewayError, Unavailable
from gateway.promptfiles import prompty

T = TypeVar("T")

TIMEOUT = 10.0  # s, for each wait on the network


class Problem(msgspec.Struct):
    """What counts of a problem+json body (RFC 9457)."""

    detail: str
    code: str
    param: str | None = None


class Prompts(msgspec.Struct):
    prompts: tuple[DeploymentView, ...]


class RolloutList(msgspec.Struct):
    rollouts: tuple[RolloutView, ...]


class KeyList(msgspec.Struct):
    keys: tuple[KeyView, ...]


class RemoteOperations:
    """`url` is where the admin API listens, for example http://127.0.0.1:8081."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in CONNECTIONS or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(f"--url is http://host:port or https://host:port, not {url!r}")
        self._url, self._parts = url, parts

    async def prompts(self) -> tuple[DeploymentView, ...]:
        return (await self._get("/v1/prompts", Prompts)).prompts

    async def prompt(self, prompt: str) -> PromptView:
        return await self._get(_path(prompt), PromptView)

    async def deployment(self, prompt: str) -> DeploymentView:
        return await self._get(_path(prompt, "rollout"), DeploymentView)

    async def version(self, prompt: str, number: int) -> VersionDetail:
        return await self._get(_path(prompt, "versions", number), VersionDetail)

    async def push(self, text: str, source: str, by: By, *, into: str | None = None) -> Pushed:
        name = prompty.parse(text, source=source).name if into is None else into
        body = {"file": text, "source": source, "reason": by.reason}
        return await self._send("POST", _path(name, "versions"), Pushed, body, by)

    async def record_gate(
        self, prompt: str, number: int, gate: Gate, by: By, *, expected: int | None = None
    ) -> VersionView:
        body = {"state": gate.state, "suite": gate.suite, "detail": gate.detail, "reason": by.reason}
        path = _path(prompt, "versions", number, "gate")
        return await self._send("PUT", path, VersionView, body, by, expected)

    async def start(self, prompt: str, what: Start, by: By, *, expected: int | None = None) -> DeploymentView:
        body = {
            "version": what.candidate,
            "weight": what.weight,
            "policy": what.policy,
            "override_inputs": what.override_inputs,
            "reason": by.reason,
        }
        return await self._send("POST", _path(prompt, "rollouts"), DeploymentView, body, by, expected)

    async def change(
        self, prompt: str, event: Event, by: By, *, weight: float | None = None, expected: int | None = None
    ) -> DeploymentView:
        body: dict[str, Any] = {"reason": by.reason}
        if weight is not None:
            body["weight"] = weight
        path = _path(prompt, "rollout", event.removeprefix("set_"))
        return await self._send("POST", path, DeploymentView, body, by, expected)

    async def deploy(
        self, prompt: str, version: int, by: By, *, emergency: bool = False, expected: int | None = None
    ) -> DeploymentView:
        body = {"version": version, "reason": by.reason, "emergency": emergency}
        return await self._send("POST", _path(prompt, "deploy"), DeploymentView, body, by, expected)

    async def rollouts(self, prompt: str) -> tuple[RolloutView, ...]:
        return (await self._get(_path(prompt, "rollouts"), RolloutList)).rollouts

    async def replay(self, rollout: str) -> Replay:
        return await self._get(f"/v1/rollouts/{quote(rollout, safe='')}/replay", Replay)

    async def quality(self, rollout: str) -> Quality:
        return await self._get(f"/v1/rollouts/{quote(rollout, safe='')}/quality", Quality)

    async def audit(self, *, before: int | None = None, limit: int = 50, prompt: str = "") -> AuditPage:
        query: dict[str, Any] = {"limit": limit}
        if before is not None:
            query["before"] = before
        if prompt:
            query["prompt"] = prompt
        return await self._get(f"/v1/audit?{urlencode(query)}", AuditPage)

    async def verify_audit(self) -> Verification:
        return await self._get("/v1/audit/verify", Verification)

    async def client_keys(self) -> tuple[KeyView, ...]:
        return (await self._get("/v1/keys", KeyList)).keys

    async def create_key(self, wanted: Wanted, by: By) -> NewKey:
        body = {**msgspec.structs.asdict(wanted), "reason": by.reason}
        return await self._send("POST", "/v1/keys", NewKey, body, by)

    async def revoke_key(self, id: str, by: By) -> KeyView:
        path = f"/v1/keys/{quote(id, safe='')}/revoke"
        return await self._send("POST", path, KeyView, {"reason": by.reason}, by)

    async def _get(self, path: str, kind: type[T]) -> T:
        return await asyncio.to_thread(self._exchange, "GET", path, kind, None, {})

    async def _send(
        self, method: str, path: str, kind: type[T], body: Any, by: By, expected: int | None = None
    ) -> T:
        # A header is Latin-1 to the client library and UTF-8 on the wire of the admin API.
        headers = {
            "content-type": "application/json",
            "x-actor": by.actor.encode("utf-8", "replace").decode("latin-1"),
        }
        if expected is not None:
            headers["if-match"] = f'"{expected}"'
        return await asyncio.to_thread(self._exchange, method, path, kind, msgspec.json.encode(body), headers)

    def _exchange(
        self, method: str, path: str, kind: type[T], body: bytes | None, headers: Mapping[str, str]
    ) -> T:
        parts = self._parts
        assert parts.hostname is not None
        connection = CONNECTIONS[parts.scheme](parts.hostname, parts.port, timeout=TIMEOUT)
        try:
            connection.request(method, parts.path.rstrip("/") + path, body, dict(headers))
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                f"the admin API {self._url} cannot be reached ({error or type(error).__name__}); without "
                "--url the command works directly on the store"
            ) from error
        finally:
            connection.close()
        try:
            if response.status >= 400:
                raise _as_error(msgspec.json.decode(raw, type=Problem))
            return msgspec.json.decode(raw, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unavailable(
                f"{self._url} is not an admin API of this version: status {response.status}, {error}"
            ) from error


def _path(prompt: str, *rest: str | int) -> str:
    return "/".join(["/v1/prompts", quote(prompt, safe=""), *(str(item) for item in rest)])


def _as_error(problem: Problem) -> GatewayError:
    """The error as the admin API raised it, so that the exit code is the same as on the store."""
    return _ERRORS.get(problem.code, GatewayError)(problem.detail, param=problem.param)


def _family(kind: type[GatewayError]) -> list[type[GatewayError]]:
    return [kind, *(member for child in kind.__subclasses__() for member in _family(child))]


CONNECTIONS: dict[str, type[http.client.HTTPConnection]] = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}
_ERRORS = {kind.code: kind for kind in reversed(_family(GatewayError))}
