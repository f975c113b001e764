"""Regression cases, and what people say of severe flags."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from gateway.control.assessing import StoreAssessing
from gateway.control.cases import CasePage, CaseView
from gateway.errors import InvalidValue, NotFound, PromptNotFound, TransitionRefused
from gateway.web import requests
from gateway.web.answers import answer
from gateway.web.prompts import PROMPT
from gateway.web.route import STORE, Route

CASES = f"{PROMPT}/cases"
CASE = f"{CASES}/{{case}}"


class AcceptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`assert`: what the case must not be again, as a suite has it; by default what its flags say."""

    asserts: list[Any] | None = msgspec.field(default=None, name="assert")
    reason: str = ""


class FlagBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    flag: str
    reason: str = ""


def _on(request: web.Request) -> tuple[StoreAssessing, str, str]:
    named = request.match_info
    return StoreAssessing(request.app[STORE]), named["prompt"], named.get("case", "")


async def list_cases(request: web.Request) -> web.Response:
    assessing, prompt, _ = _on(request)
    return answer(CasePage(await assessing.cases(prompt)))


async def show_case(request: web.Request) -> web.Response:
    assessing, prompt, id = _on(request)
    return answer(await assessing.case(prompt, id))


async def accept_case(request: web.Request) -> web.Response:
    assessing, prompt, id = _on(request)
    body = await requests.read_body(request, AcceptBody)
    by = requests.by(request, body.reason)
    return answer(await assessing.accept_case(prompt, id, body.asserts, by))


async def reject_case(request: web.Request) -> web.Response:
    assessing, prompt, id = _on(request)
    body = await requests.read_body(request, requests.ReasonBody)
    return answer(await assessing.reject_case(prompt, id, requests.by(request, body.reason)))


async def confirm_flag(request: web.Request) -> web.Response:
    assessing, prompt, id = _on(request)
    body = await requests.read_body(request, FlagBody)
    return answer(await assessing.confirm_flag(prompt, id, body.flag, requests.by(request, body.reason)))


async def clear_flags(request: web.Request) -> web.Response:
    assessing, prompt, id = _on(request)
    body = await requests.read_body(request, requests.ReasonBody)
    return answer(await assessing.clear_flags(prompt, id, requests.by(request, body.reason)))


ROUTES = (
    Route(
        *("GET", CASES, "list_cases", "Regression cases of a prompt, the oldest first", list_cases, "viewer"),
        answers={200: CasePage},
        errors=(InvalidValue, PromptNotFound),
    ),
    Route(
        *("GET", CASE, "show_case", "One case, with its words while they are kept", show_case, "operator"),
        answers={200: CaseView},
        errors=(InvalidValue, NotFound),
    ),
    Route(
        *("POST", f"{CASE}/accept", "accept_case", "Take a case into the suite", accept_case, "operator"),
        answers={200: CaseView},
        body=AcceptBody,
        once=True,
        errors=(NotFound, TransitionRefused),
    ),
    Route(
        *("POST", f"{CASE}/reject", "reject_case", "Leave a case out of the suite", reject_case, "operator"),
        answers={200: CaseView},
        body=requests.ReasonBody,
        once=True,
        errors=(NotFound,),
    ),
    Route(
        *("POST", f"{CASE}/confirm", "confirm_flag", "Say that a severe flag is real", confirm_flag),
        role="operator",
        answers={200: CaseView},
        body=FlagBody,
        once=True,
        errors=(NotFound, TransitionRefused),
    ),
    Route(
        *("POST", f"{CASE}/clear", "clear_flags", "Say that nothing severe is in it", clear_flags),
        role="operator",
        answers={200: CaseView},
        body=requests.ReasonBody,
        once=True,
        errors=(NotFound, TransitionRefused),
    ),
)
