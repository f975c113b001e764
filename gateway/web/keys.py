"""Routes of the gateway's own client keys."""

from __future__ import annotations

import msgspec
from aiohttp import web

from gateway.domain.client_key import Permission, Wanted
from gateway.web import requests
from gateway.web.answers import OPERATIONS, answer


class CreateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    prompts: tuple[str, ...] = ("*",)
    permissions: tuple[Permission, ...] = ()
    rate: float | None = None
    burst: int | None = None
    reason: str = ""


def routes() -> list[web.RouteDef]:
    return [
        web.get("/v1/keys", list_keys),
        web.post("/v1/keys", create_key),
        web.post("/v1/keys/{id}/revoke", revoke_key),
    ]


async def list_keys(request: web.Request) -> web.Response:
    return answer({"keys": await request.app[OPERATIONS].client_keys()})


async def create_key(request: web.Request) -> web.Response:
    body = await requests.read_body(request, CreateBody)
    wanted = Wanted(body.name, body.prompts, body.permissions, body.rate, body.burst)
    return answer(
        await request.app[OPERATIONS].create_key(wanted, requests.by(request, body.reason)), status=201
    )


async def revoke_key(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.ReasonBody)
    by = requests.by(request, body.reason)
    return answer(await request.app[OPERATIONS].revoke_key(request.match_info["id"], by))
