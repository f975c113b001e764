"""Rollouts: one operation for each event of the transition table that a person may ask for."""

from __future__ import annotations

from aiohttp import web

from gateway.control.quality import Quality
from gateway.control.replay import Replay
from gateway.control.rollouts import Start
from gateway.control.views import DeploymentView, RolloutPage
from gateway.domain.rollout import PERSONS, TRANSITIONS, Event
from gateway.errors import (
    Conflict,
    GateNotPassed,
    InvalidValue,
    NotFound,
    PreconditionFailed,
    PromptNotDeployed,
    PromptNotFound,
    TransitionRefused,
    VersionNotFound,
)
from gateway.web import requests
from gateway.web.answers import Handler, answer
from gateway.web.door import out_of_reach
from gateway.web.prompts import PROMPT
from gateway.web.route import CALLER, LIMIT, OPERATIONS, Parameter, Route

CHANGE_ERRORS = (PromptNotFound, TransitionRefused, Conflict, PreconditionFailed)
PATHS: dict[str, Event] = {event.removeprefix("set_"): event for _, event in TRANSITIONS if event in PERSONS}
SAYS: dict[Event, str] = {event: transition.says for (_, event), transition in TRANSITIONS.items()}


async def list_rollouts(request: web.Request) -> web.Response:
    after, limit = request.query.get("after"), requests.page_limit(request)
    views = await request.app[OPERATIONS].rollouts(request.match_info["prompt"])
    ids = [view.id for view in views]
    if after is not None and after not in ids:
        raise InvalidValue(f"after is the `next` of the page before, not {after!r:.100}", param="after")
    rest = views if after is None else views[ids.index(after) + 1 :]
    following = rest[limit - 1].id if len(rest) > limit else None
    return answer(RolloutPage(rest[:limit], following))


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
    kind = body_of(event)

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


def body_of(event: Event) -> type[requests.WeightBody | requests.ReasonBody]:
    return requests.WeightBody if event == "set_weight" else requests.ReasonBody


async def replay(request: web.Request) -> web.Response:
    return answer(await request.app[OPERATIONS].replay(await _seen(request)))


async def quality(request: web.Request) -> web.Response:
    return answer(await request.app[OPERATIONS].quality(await _seen(request)))


async def _seen(request: web.Request) -> str:
    """The rollout's id, if the caller may see its prompt."""
    rollout = request.match_info["rollout"]
    prompt = await request.app[OPERATIONS].prompt_of(rollout)
    if not request[CALLER].may_see(prompt):
        raise out_of_reach(request[CALLER], prompt)
    return rollout


def _deployment(view: DeploymentView, *, status: int = 200) -> web.Response:
    return answer(view, status=status, revision=view.revision)


def _changing(path: str, event: Event) -> Route:
    return Route(
        *("POST", f"{PROMPT}/rollout/{path}", event, SAYS[event].capitalize(), change_rollout(event)),
        role="operator",
        answers={200: DeploymentView},
        body=body_of(event),
        errors=CHANGE_ERRORS,
        changes=True,
        etag=True,
        once=True,
    )


ROUTES = (
    Route(
        *("GET", f"{PROMPT}/rollouts", "list_rollouts", "Rollouts, newest first", list_rollouts, "viewer"),
        answers={200: RolloutPage},
        errors=(InvalidValue, PromptNotFound),
        query=(LIMIT, Parameter("after", {"type": "string"}, "only what is older than this rollout")),
    ),
    Route(
        *("POST", f"{PROMPT}/rollouts", "start_rollout", "Start a rollout", start_rollout, "operator"),
        answers={201: DeploymentView},
        body=requests.StartBody,
        errors=(*CHANGE_ERRORS, VersionNotFound, PromptNotDeployed, GateNotPassed),
        changes=True,
        etag=True,
        once=True,
    ),
    Route(
        *("GET", f"{PROMPT}/rollout", "show_rollout", "The rollout that runs, or null", show_rollout),
        role="viewer",
        answers={200: DeploymentView},
        errors=(InvalidValue, PromptNotFound),
        etag=True,
    ),
    *(_changing(path, event) for path, event in PATHS.items()),
    Route(
        *("GET", "/v1/rollouts/{rollout}/replay", "replay", "Every verdict again, from its evidence"),
        *(replay, "viewer"),
        answers={200: Replay},
        errors=(InvalidValue, NotFound),
    ),
    Route(
        *("GET", "/v1/rollouts/{rollout}/quality", "quality", "What judge and users say of its answers"),
        *(quality, "viewer"),
        answers={200: Quality},
        errors=(InvalidValue, NotFound),
    ),
)
