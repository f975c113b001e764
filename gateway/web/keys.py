"""Routes of the gateway's own client keys."""

from __future__ import annotations

import msgspec
from aiohttp import web

from gateway.control.client_keys import KeyPage, KeyView, NewKey
from gateway.domain.client_key import Permission, Wanted
from gateway.errors import InvalidValue, NotFound, PreconditionFailed
from gateway.web import requests
from gateway.web.answers import answer
from gateway.web.route import OPERATIONS, Route


class KeyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    prompts: tuple[str, ...] = ("*",)
    permissions: tuple[Permission, ...] = ()
    rate: float | None = None
    burst: int | None = None
    reason: str = ""


async def list_keys(request: web.Request) -> web.Response:
    return answer(KeyPage(await request.app[OPERATIONS].client_keys()))


async def create_key(request: web.Request) -> web.Response:
    body = await requests.read_body(request, KeyBody)
    wanted = Wanted(body.name, body.prompts, body.permissions, body.rate, body.burst)
    made = await request.app[OPERATIONS].create_key(wanted, requests.by(request, body.reason))
    return answer(made, status=201, revision=made.revision)


async def revoke_key(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.ReasonBody)
    by = requests.by(request, body.reason)
    id, expected = request.match_info["id"], requests.expected(request)
    view = await request.app[OPERATIONS].revoke_key(id, by, expected=expected)
    return answer(view, revision=view.revision)


ROUTES = (
    Route(
        *("GET", "/v1/keys", "list_keys", "Client keys, newest first", list_keys, "viewer"),
        answers={200: KeyPage},
        fleet=True,
    ),
    Route(
        *("POST", "/v1/keys", "create_key", "Make a client's key; it is shown once", create_key, "admin"),
        answers={201: NewKey},
        body=KeyBody,
        fleet=True,
        etag=True,
        once=True,
        secret="key",
    ),
    Route(
        *("POST", "/v1/keys/{id}/revoke", "revoke_key", "A key is refused from now on", revoke_key, "admin"),
        answers={200: KeyView},
        body=requests.ReasonBody,
        errors=(InvalidValue, NotFound, PreconditionFailed),
        fleet=True,
        changes=True,
        etag=True,
        once=True,
    ),
)
