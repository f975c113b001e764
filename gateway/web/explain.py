"""Why a request, or a session, got its version."""

from __future__ import annotations

from aiohttp import web

from gateway.control.explain import Explanation
from gateway.errors import InvalidValue, PromptNotDeployed, PromptNotFound
from gateway.web import requests
from gateway.web.answers import answer
from gateway.web.door import out_of_reach
from gateway.web.fleet import ADMINISTRATION
from gateway.web.prompts import PROMPT
from gateway.web.route import CALLER, Route


async def explain_request(request: web.Request) -> web.Response:
    found = await request.app[ADMINISTRATION].explain_request(request.match_info["request"])
    caller = request[CALLER]
    if found.prompt is not None and not caller.may_see(found.prompt):
        raise out_of_reach(caller, found.prompt)
    return answer(found)


async def explain_session(request: web.Request) -> web.Response:
    """A POST, although it changes nothing: what it asks for belongs into no log of addresses."""
    body = await requests.read_body(request, requests.SessionBody)
    found = await request.app[ADMINISTRATION].explain_session(
        request.match_info["prompt"], body.session, body.kind, body.client
    )
    return answer(found)


ROUTES = (
    Route(
        *("GET", "/v1/requests/{request}", "explain_request", "Why a request got its version"),
        *(explain_request, "viewer"),
        answers={200: Explanation},
        errors=(InvalidValue,),
    ),
    Route(
        *("POST", f"{PROMPT}/explain", "explain_session", "What a session's next request gets, and why"),
        *(explain_session, "viewer"),
        answers={200: Explanation},
        body=requests.SessionBody,
        errors=(PromptNotFound, PromptNotDeployed),
    ),
)
