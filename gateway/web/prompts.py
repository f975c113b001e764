"""Prompts and versions."""

from __future__ import annotations

from aiohttp import web

from gateway.control.registry import Pushed
from gateway.control.views import (
    DeploymentPage,
    DeploymentView,
    PromptView,
    VersionDetail,
    VersionPage,
    VersionView,
)
from gateway.domain.prompt import Gate
from gateway.errors import (
    Conflict,
    GateNotPassed,
    InvalidValue,
    PreconditionFailed,
    PromptFileError,
    PromptNotFound,
    TemplateError,
    TransitionRefused,
    VersionNotFound,
)
from gateway.web import requests
from gateway.web.answers import answer
from gateway.web.route import CALLER, LIMIT, OPERATIONS, Parameter, Route

PROMPT = "/v1/prompts/{prompt}"
AFTER = Parameter("after", {"type": "string"}, "only what sorts after this name")
BEFORE = Parameter("before", {"type": "integer", "minimum": 0}, "only what is below this number")


async def live(request: web.Request) -> web.Response:
    prompts = await request.app[OPERATIONS].prompts()
    caller = request[CALLER]
    shown = [each for each in prompts if each.live is not None and caller.may_see(each.prompt)]
    return answer(DeploymentPage(tuple(shown)))


async def list_prompts(request: web.Request) -> web.Response:
    after, limit = request.query.get("after", ""), requests.page_limit(request)
    return answer(await request.app[OPERATIONS].page(after, limit, request[CALLER].may_see))


async def show_prompt(request: web.Request) -> web.Response:
    view = await request.app[OPERATIONS].prompt(request.match_info["prompt"])
    return answer(view, revision=view.revision)


async def list_versions(request: web.Request) -> web.Response:
    before, limit = requests.query_number(request, "before"), requests.page_limit(request)
    view = await request.app[OPERATIONS].prompt(request.match_info["prompt"])
    shown = [each for each in view.versions if before is None or each.number < before]
    following = shown[limit - 1].number if len(shown) > limit else None
    return answer(VersionPage(tuple(shown[:limit]), following), revision=view.revision)


async def push(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.PushBody)
    pushed = await request.app[OPERATIONS].push(
        body.file,
        body.source,
        requests.by(request, body.reason),
        into=request.match_info["prompt"],
        expected=requests.expected(request),
    )
    return answer(pushed, status=201 if pushed.created else 200, revision=pushed.revision)


async def show_version(request: web.Request) -> web.Response:
    number = requests.number("version", request.match_info["version"])
    return answer(await request.app[OPERATIONS].version(request.match_info["prompt"], number))


async def record_gate(request: web.Request) -> web.Response:
    number = requests.number("version", request.match_info["version"])
    body = await requests.read_body(request, requests.GateBody)
    view = await request.app[OPERATIONS].record_gate(
        request.match_info["prompt"],
        number,
        Gate(body.state, suite=body.suite, detail=body.detail),
        requests.by(request, body.reason),
        expected=requests.expected(request),
    )
    return answer(view, revision=view.revision)


async def deploy(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.DeployBody)
    view = await request.app[OPERATIONS].deploy(
        request.match_info["prompt"],
        body.version,
        requests.by(request, body.reason),
        emergency=body.emergency,
        expires_in=body.expires_in,
        watch=body.watch,
        expected=requests.expected(request),
    )
    return answer(view, revision=view.revision)


ROUTES = (
    Route("GET", "/v1/live", "live", "What is live", live, "viewer", {200: DeploymentPage}),
    Route(
        *("GET", "/v1/prompts", "list_prompts", "Deployments of all prompts", list_prompts, "viewer"),
        answers={200: DeploymentPage},
        errors=(InvalidValue,),
        query=(LIMIT, AFTER),
    ),
    Route(
        *("GET", PROMPT, "show_prompt", "A deployment and all versions", show_prompt, "viewer"),
        answers={200: PromptView},
        errors=(InvalidValue, PromptNotFound),
        etag=True,
    ),
    Route(
        *("GET", f"{PROMPT}/versions", "list_versions", "Versions, newest first", list_versions, "viewer"),
        answers={200: VersionPage},
        errors=(InvalidValue, PromptNotFound),
        query=(LIMIT, BEFORE),
        etag=True,
    ),
    Route(
        *("POST", f"{PROMPT}/versions", "push", "Push a prompt file", push, "operator"),
        answers={201: Pushed, 200: Pushed},
        body=requests.PushBody,
        errors=(PromptFileError, TemplateError, Conflict, PreconditionFailed),
        changes=True,
        etag=True,
        once=True,
    ),
    Route(
        *("GET", f"{PROMPT}/versions/{{version}}", "show_version", "One version", show_version, "viewer"),
        answers={200: VersionDetail},
        errors=(InvalidValue, PromptNotFound, VersionNotFound),
    ),
    Route(
        *("PUT", f"{PROMPT}/versions/{{version}}/gate", "record_gate", "Record the result of a suite"),
        *(record_gate, "operator"),
        answers={200: VersionView},
        body=requests.GateBody,
        errors=(PromptNotFound, VersionNotFound, Conflict, PreconditionFailed),
        changes=True,
        etag=True,
        once=True,
    ),
    Route(
        *("POST", f"{PROMPT}/deploy", "deploy", "Make a version live at once", deploy, "operator"),
        answers={200: DeploymentView},
        body=requests.DeployBody,
        errors=(
            *(PromptNotFound, VersionNotFound, GateNotPassed, TransitionRefused),
            *(Conflict, PreconditionFailed),
        ),
        changes=True,
        etag=True,
        once=True,
    ),
)
