"""The routes of the admin API. Handlers are thin: read the request, ask the operations, answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from gateway.control.operations import StoreOperations
from gateway.control.rollouts import Start
from gateway.control.views import DeploymentView
from gateway.domain.policy import POLICIES, Policy
from gateway.domain.prompt import Gate
from gateway.domain.rollout import PERSONS, TRANSITIONS, Event
from gateway.storage.base import Store
from gateway.web import keys, requests
from gateway.web.answers import OPERATIONS, Handler, answer, problems
from gateway.web.guard import guard

MAX_BODY = 2 * 1024 * 1024  # bytes: a prompt file of the largest size, escaped in JSON
Readiness = Callable[[], Awaitable[Mapping[str, Any]]]

PATHS: dict[str, Event] = {event.removeprefix("set_"): event for _, event in TRANSITIONS if event in PERSONS}


def build_admin(
    store: Store,
    readiness: Readiness,
    policies: Mapping[str, Policy] = POLICIES,
    rules: Mapping[str, float] | None = None,
) -> web.Application:
    """The admin API on `store`; rollouts start under one of `policies`; `readiness` answers /readyz, whose
    status is 200 if its "ready" is true."""
    app = web.Application(middlewares=[problems, guard], client_max_size=MAX_BODY)
    app[OPERATIONS] = StoreOperations(store, policies, rules)
    app.add_routes(keys.routes())
    prompt, version = "/v1/prompts/{prompt}", "/v1/prompts/{prompt}/versions"
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz(readiness)),
            web.get("/v1/live", live),
            web.get("/v1/prompts", list_prompts),
            web.get(prompt, show_prompt),
            web.get(version, list_versions),
            web.post(version, push),
            web.get(version + "/{version}", show_version),
            web.put(version + "/{version}/gate", record_gate),
            web.get(prompt + "/rollouts", list_rollouts),
            web.post(prompt + "/rollouts", start_rollout),
            web.get(prompt + "/rollout", show_rollout),
            *(web.post(f"{prompt}/rollout/{path}", change_rollout(event)) for path, event in PATHS.items()),
            web.post(prompt + "/deploy", deploy),
            web.get("/v1/rollouts/{rollout}/replay", replay),
            web.get("/v1/rollouts/{rollout}/quality", quality),
            web.get("/v1/audit", list_audit),
            web.get("/v1/audit/verify", verify_audit),
        ]
    )
    return app


async def healthz(request: web.Request) -> web.Response:
    return answer({"status": "ok"})


def readyz(readiness: Readiness) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        status = await readiness()
        return answer(status, status=200 if status.get("ready") else 503)

    return handler


async def live(request: web.Request) -> web.Response:
    prompts = await request.app[OPERATIONS].prompts()
    return answer({"prompts": [prompt for prompt in prompts if prompt.live is not None]})


async def list_prompts(request: web.Request) -> web.Response:
    return answer({"prompts": await request.app[OPERATIONS].prompts()})


async def show_prompt(request: web.Request) -> web.Response:
    view = await request.app[OPERATIONS].prompt(request.match_info["prompt"])
    return answer(view, revision=view.revision)


async def list_versions(request: web.Request) -> web.Response:
    view = await request.app[OPERATIONS].prompt(request.match_info["prompt"])
    return answer({"versions": view.versions}, revision=view.revision)


async def push(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.PushBody)
    pushed = await request.app[OPERATIONS].push(
        body.file, body.source, requests.by(request, body.reason), into=request.match_info["prompt"]
    )
    return answer(pushed, status=201 if pushed.created else 200)


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
    return answer(view)


async def list_rollouts(request: web.Request) -> web.Response:
    return answer({"rollouts": await request.app[OPERATIONS].rollouts(request.match_info["prompt"])})


async def show_rollout(request: web.Request) -> web.Response:
    """The deployment, whose `rollout` is the running one or null."""
    return _deployment(await request.app[OPERATIONS].deployment(request.match_info["prompt"]))


async def start_rollout(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.StartBody)
    view = await request.app[OPERATIONS].start(
        request.match_info["prompt"],
        Start(body.version, body.weight, body.override_inputs, body.policy),
        requests.by(request, body.reason),
        expected=requests.expected(request),
    )
    return _deployment(view, status=201)


def change_rollout(event: Event) -> Handler:
    kind: type[requests.WeightBody | requests.ReasonBody]
    kind = requests.WeightBody if event == "set_weight" else requests.ReasonBody

    async def handler(request: web.Request) -> web.Response:
        body = await requests.read_body(request, kind)
        view = await request.app[OPERATIONS].change(
            request.match_info["prompt"],
            event,
            requests.by(request, body.reason),
            weight=body.weight if isinstance(body, requests.WeightBody) else None,
            expected=requests.expected(request),
        )
        return _deployment(view)

    return handler


async def deploy(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.DeployBody)
    view = await request.app[OPERATIONS].deploy(
        request.match_info["prompt"],
        body.version,
        requests.by(request, body.reason),
        emergency=body.emergency,
        expected=requests.expected(request),
    )
    return _deployment(view)


async def replay(request: web.Request) -> web.Response:
    return answer(await request.app[OPERATIONS].replay(request.match_info["rollout"]))


async def quality(request: web.Request) -> web.Response:
    return answer(await request.app[OPERATIONS].quality(request.match_info["rollout"]))


async def list_audit(request: web.Request) -> web.Response:
    limit = requests.query_number(request, "limit")
    page = await request.app[OPERATIONS].audit(
        before=requests.query_number(request, "before"),
        limit=50 if limit is None else limit,
        prompt=request.query.get("prompt", ""),
    )
    return answer(page)


async def verify_audit(request: web.Request) -> web.Response:
    return answer(await request.app[OPERATIONS].verify_audit())


def _deployment(view: DeploymentView, *, status: int = 200) -> web.Response:
    return answer(view, status=status, revision=view.revision)
