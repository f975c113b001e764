"""What is of no single prompt: the audit log, tokens."""

from __future__ import annotations

from aiohttp import web

from gateway.control.access import Issued, Tokens, TokenView
from gateway.control.administration import StoreAdministration
from gateway.control.audit import AuditPage, Verification
from gateway.errors import Conflict, InvalidValue, NotFound, PreconditionFailed, TransitionRefused
from gateway.web import requests
from gateway.web.answers import answer
from gateway.web.prompts import BEFORE
from gateway.web.route import CALLER, LIMIT, OPERATIONS, Parameter, Route

ADMINISTRATION = web.AppKey("administration", StoreAdministration)
TOKEN = "/v1/tokens/{token}"


async def list_audit(request: web.Request) -> web.Response:
    page = await request.app[OPERATIONS].audit(
        before=requests.query_number(request, "before"),
        limit=requests.page_limit(request, 50),
        prompt=request.query.get("prompt", ""),
        seen=request[CALLER].may_see,
    )
    return answer(page)


async def verify_audit(request: web.Request) -> web.Response:
    return answer(await request.app[OPERATIONS].verify_audit())


async def list_tokens(request: web.Request) -> web.Response:
    return answer(Tokens(await request.app[ADMINISTRATION].tokens()))


async def create_token(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.TokenBody)
    by = requests.by(request, body.reason)
    issued = await request.app[ADMINISTRATION].create_token(body.name, body.role, body.prompts, by)
    return answer(issued, status=201, revision=issued.token.revision)


async def rotate_token(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.RotateBody)
    by = requests.by(request, body.reason)
    name, expected = request.match_info["token"], requests.expected(request)
    issued = await request.app[ADMINISTRATION].rotate_token(name, body.grace, by, expected=expected)
    return answer(issued, revision=issued.token.revision)


async def revoke_token(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.ReasonBody)
    by = requests.by(request, body.reason)
    name, expected = request.match_info["token"], requests.expected(request)
    view = await request.app[ADMINISTRATION].revoke_token(name, by, expected=expected)
    return answer(view, revision=view.revision)


ROUTES = (
    Route(
        *("GET", "/v1/audit", "list_audit", "The audit log, newest first", list_audit, "viewer"),
        answers={200: AuditPage},
        errors=(InvalidValue,),
        query=(LIMIT, BEFORE, Parameter("prompt", {"type": "string"}, "only entries of this prompt")),
    ),
    Route(
        *("GET", "/v1/audit/verify", "verify_audit", "Prove the hash chain", verify_audit, "viewer"),
        answers={200: Verification},
    ),
    Route(
        *("GET", "/v1/tokens", "list_tokens", "All tokens, without their secrets", list_tokens, "admin"),
        answers={200: Tokens},
        fleet=True,
    ),
    Route(
        *("POST", "/v1/tokens", "create_token", "Make a token; its secret is shown once", create_token),
        role="admin",
        answers={201: Issued},
        body=requests.TokenBody,
        errors=(Conflict,),
        fleet=True,
        etag=True,
        once=True,
        secret="secret",
    ),
    Route(
        *("POST", f"{TOKEN}/rotate", "rotate_token", "A new secret for a token", rotate_token, "admin"),
        answers={200: Issued},
        body=requests.RotateBody,
        errors=(NotFound, TransitionRefused, PreconditionFailed),
        fleet=True,
        changes=True,
        etag=True,
        once=True,
        secret="secret",
    ),
    Route(
        *("POST", f"{TOKEN}/revoke", "revoke_token", "A token is good no longer", revoke_token, "admin"),
        answers={200: TokenView},
        body=requests.ReasonBody,
        errors=(NotFound, PreconditionFailed),
        fleet=True,
        changes=True,
        etag=True,
        once=True,
    ),
)
