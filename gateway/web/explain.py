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


class UnnamedBody(requests.SessionBody, frozen=True, forbid_unknown_fields=True):
    """`model`: as the requests name it; an alias of a prompt, else the default prompt counts."""

    model: str = ""


async def explain_request(request: web.Request) -> web.Response:
    found = await request.app[ADMINISTRATION].explain_request(request.match_info["request"])
    return answer(_seen(request, found))


async def explain_session(request: web.Request) -> web.Response:
    """A POST, although it changes nothing: what it asks for belongs into no log of addresses."""
    body = await requests.read_body(request, requests.SessionBody)
    found = await request.app[ADMINISTRATION].explain_session(
        request.match_info["prompt"], body.session, body.kind, body.client
    )
    return answer(found)


async def explain_unnamed(request: web.Request) -> web.Response:
    body = await requests.read_body(request, UnnamedBody)
    found = await request.app[ADMINISTRATION].explain_unnamed(
        body.model, body.session, body.kind, body.client
    )
    return answer(_seen(request, found))


def _seen(request: web.Request, found: Explanation) -> Explanation:
    caller = request[CALLER]
    if found.prompt is not None and not caller.may_see(found.prompt):
        raise out_of_reach(caller, found.prompt)
    return found


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
    Route(
        *("POST", "/v1/explain", "explain_unnamed", "The same for requests that name no prompt"),
        *(explain_unnamed, "viewer"),
        answers={200: Explanation},
        body=UnnamedBody,
        errors=(PromptNotFound, PromptNotDeployed),
    ),
)
