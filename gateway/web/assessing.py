"""What is known of versions from suites."""

from __future__ import annotations

from aiohttp import web

from gateway.control.assessing import Evaluation, StoreAssessing
from gateway.errors import (
    Conflict,
    InvalidValue,
    NotFound,
    PreconditionFailed,
    PromptNotFound,
    VersionNotFound,
)
from gateway.evals.results import Posted
from gateway.web import requests
from gateway.web.answers import answer
from gateway.web.prompts import PROMPT
from gateway.web.route import STORE, Route

RUNS = f"{PROMPT}/versions/{{version}}/eval-runs"


async def show_evaluation(request: web.Request) -> web.Response:
    number = requests.number("version", request.match_info["version"])
    return answer(await StoreAssessing(request.app[STORE]).evaluation(request.match_info["prompt"], number))


async def post_evaluation(request: web.Request) -> web.Response:
    number = requests.number("version", request.match_info["version"])
    body = await requests.read_body(request, Posted)
    found = await StoreAssessing(request.app[STORE]).post_evaluation(
        request.match_info["prompt"],
        number,
        body,
        requests.by(request, body.reason),
        expected=requests.expected(request),
    )
    return answer(found, status=201)


ROUTES = (
    Route(
        *("GET", RUNS, "show_evaluation", "A version's last run of its suite", show_evaluation, "viewer"),
        answers={200: Evaluation},
        errors=(InvalidValue, PromptNotFound, VersionNotFound, NotFound),
    ),
    Route(
        *("POST", RUNS, "post_evaluation", "Record a suite that ran elsewhere", post_evaluation, "operator"),
        answers={201: Evaluation},
        body=Posted,
        errors=(PromptNotFound, VersionNotFound, Conflict, PreconditionFailed),
        once=True,
    ),
)
