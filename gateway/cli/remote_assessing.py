"""What is known of versions from suites, through an admin API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from gateway.cli.api import AdminApi
from gateway.control.assessing import Evaluation
from gateway.control.cases import CasePage, CaseView
from gateway.control.plan import By
from gateway.domain.case import Case
from gateway.evals.results import Posted


class RemoteAssessing:
    def __init__(self, api: AdminApi) -> None:
        self._api = api

    async def evaluation(self, prompt: str, number: int) -> Evaluation:
        return await self._api.get(_runs(prompt, number), Evaluation)

    async def post_evaluation(
        self, prompt: str, number: int, posted: Posted, by: By, *, expected: int | None = None
    ) -> Evaluation:
        body = msgspec.structs.replace(posted, reason=by.reason)
        return await self._api.send("POST", _runs(prompt, number), Evaluation, body, by, expected)

    async def cases(self, prompt: str) -> tuple[Case, ...]:
        return (await self._api.get(_cases(prompt), CasePage)).cases

    async def case(self, prompt: str, id: str) -> CaseView:
        return await self._api.get(_cases(prompt, id), CaseView)

    async def accept_case(self, prompt: str, id: str, asserts: list[Any] | None, by: By) -> CaseView:
        body = {"assert": asserts, "reason": by.reason}
        return await self._api.send("POST", _cases(prompt, id, "accept"), CaseView, body, by)

    async def reject_case(self, prompt: str, id: str, by: By) -> CaseView:
        return await self._api.send("POST", _cases(prompt, id, "reject"), CaseView, {"reason": by.reason}, by)

    async def confirm_flag(self, prompt: str, id: str, flag: str, by: By) -> CaseView:
        body = {"flag": flag, "reason": by.reason}
        return await self._api.send("POST", _cases(prompt, id, "confirm"), CaseView, body, by)

    async def clear_flags(self, prompt: str, id: str, by: By) -> CaseView:
        return await self._api.send("POST", _cases(prompt, id, "clear"), CaseView, {"reason": by.reason}, by)


def _cases(prompt: str, *rest: str) -> str:
    return "/".join([f"/v1/prompts/{quote(prompt, safe='')}/cases", *(quote(part, safe="") for part in rest)])


def _runs(prompt: str, number: int) -> str:
    return f"/v1/prompts/{quote(prompt, safe='')}/versions/{number}/eval-runs"
