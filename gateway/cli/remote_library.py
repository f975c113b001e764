"""The library and the judge's queue through an admin API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from gateway.cli.api import AdminApi, prompt_path
from gateway.control.card import Card
from gateway.control.comparing import VersionDiff
from gateway.control.explain import Place
from gateway.control.judging.queue import JudgeQueue
from gateway.control.library import Labels, PolicyPage, PolicyView, VersionFile
from gateway.control.plan import By
from gateway.control.sessions import PinView

VIEWER = By("viewer")  # reads by POST, what it asks for being in no log of addresses


class RemoteLibrary:
    def __init__(self, api: AdminApi) -> None:
        self._api = api

    async def diff(self, prompt: str, number: int, base: int | None = None) -> VersionDiff:
        query = "" if base is None else f"?base={base}"
        return await self._api.get(prompt_path(prompt, "versions", number, "diff") + query, VersionDiff)

    async def card(self, prompt: str, number: int) -> Card:
        return await self._api.get(prompt_path(prompt, "versions", number, "card"), Card)

    async def file(self, prompt: str, number: int) -> VersionFile:
        return await self._api.get(prompt_path(prompt, "versions", number, "file"), VersionFile)

    async def policies(self) -> tuple[PolicyView, ...]:
        return (await self._api.get("/v1/policies", PolicyPage)).policies

    async def policy(self, name: str) -> PolicyView:
        return await self._api.get(f"/v1/policies/{quote(name, safe='')}", PolicyView)

    async def labels(self, prompt: str) -> Labels:
        return await self._api.get(prompt_path(prompt, "labels"), Labels)

    async def set_label(
        self, prompt: str, label: str, version: int | None, by: By, *, expected: int | None = None
    ) -> Labels:
        path = prompt_path(prompt, "labels", quote(label, safe=""))
        body: dict[str, Any] = {"reason": by.reason}
        if version is None:
            return await self._api.send("DELETE", path, Labels, body, by, expected)
        return await self._api.send("PUT", path, Labels, body | {"version": version}, by, expected)

    async def pin(self, place: Place) -> PinView:
        path = prompt_path(place.prompt, "pins", "show")
        return await self._api.send("POST", path, PinView, _place(place), VIEWER)

    async def clear_pin(self, place: Place, by: By) -> PinView:
        path = prompt_path(place.prompt, "pins", "clear")
        return await self._api.send("POST", path, PinView, _place(place) | {"reason": by.reason}, by)


class RemoteJudgments:
    def __init__(self, api: AdminApi) -> None:
        self._api = api

    async def queue(self, limit: int) -> JudgeQueue:
        return await self._api.get(f"/v1/judge/queue?limit={limit}", JudgeQueue)

    async def retry(self, id: str, by: By) -> JudgeQueue:
        body = {"id": id, "reason": by.reason}
        return await self._api.send("POST", "/v1/judge/queue/retry", JudgeQueue, body, by)


def _place(place: Place) -> dict[str, str]:
    return {"session": place.key, "kind": place.kind, "client": place.client}
