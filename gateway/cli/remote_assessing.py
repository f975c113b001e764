"""What is known of versions from suites, through an admin API."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from gateway.cli.api import AdminApi
from gateway.control.assessing import Evaluation
from gateway.control.plan import By
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


def _runs(prompt: str, number: int) -> str:
    return f"/v1/prompts/{quote(prompt, safe='')}/versions/{number}/eval-runs"
