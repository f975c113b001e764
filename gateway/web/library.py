"""What is read and arranged beside rollouts: differences, cards, files, policies, labels, pins."""

from __future__ import annotations

import msgspec
from aiohttp import web

from gateway.control.card import Card
from gateway.control.comparing import VersionDiff
from gateway.control.explain import Place
from gateway.control.library import Labels, PolicyPage, PolicyView, StoreLibrary, VersionFile
from gateway.control.sessions import PinView
from gateway.errors import (
    Conflict,
    InvalidValue,
    NotFound,
    PreconditionFailed,
    PromptFileError,
    PromptNotFound,
    TransitionRefused,
    VersionNotFound,
)
from gateway.web import requests
from gateway.web.answers import answer
from gateway.web.prompts import PROMPT
from gateway.web.route import Parameter, Route

LIBRARY = web.AppKey("library", StoreLibrary)
VERSION = f"{PROMPT}/versions/{{version}}"
LABEL = f"{PROMPT}/labels/{{label}}"
BASE = Parameter(
    "base",
    {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    "compare with this version; default: the live one, or the one before if it is live itself",
)
OF_VERSIONS = (InvalidValue, PromptNotFound, VersionNotFound, PromptFileError)


class LabelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    reason: str = ""


class ClearBody(requests.SessionBody, frozen=True, forbid_unknown_fields=True):
    reason: str = ""


def _version(request: web.Request) -> tuple[str, int]:
    return request.match_info["prompt"], requests.number("version", request.match_info["version"])


async def diff(request: web.Request) -> web.Response:
    prompt, number = _version(request)
    base = requests.query_number(request, "base")
    return answer(await request.app[LIBRARY].diff(prompt, number, base))


async def card(request: web.Request) -> web.Response:
    return answer(await request.app[LIBRARY].card(*_version(request)))


async def file(request: web.Request) -> web.Response:
    return answer(await request.app[LIBRARY].file(*_version(request)))


async def list_policies(request: web.Request) -> web.Response:
    return answer(PolicyPage(await request.app[LIBRARY].policies()))


async def show_policy(request: web.Request) -> web.Response:
    return answer(await request.app[LIBRARY].policy(request.match_info["policy"]))


async def list_labels(request: web.Request) -> web.Response:
    shown = await request.app[LIBRARY].labels(request.match_info["prompt"])
    return answer(shown, revision=shown.revision)


async def set_label(request: web.Request) -> web.Response:
    body = await requests.read_body(request, LabelBody)
    return await _label(request, body.version, body.reason)


async def remove_label(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.ReasonBody)
    return await _label(request, None, body.reason)


async def _label(request: web.Request, version: int | None, reason: str) -> web.Response:
    shown = await request.app[LIBRARY].set_label(
        request.match_info["prompt"],
        request.match_info["label"],
        version,
        requests.by(request, reason),
        expected=requests.expected(request),
    )
    return answer(shown, revision=shown.revision)


async def show_pin(request: web.Request) -> web.Response:
    """A POST, although it changes nothing: see `explain`."""
    return answer(await request.app[LIBRARY].pin(_place(request, await _session(request))))


async def clear_pin(request: web.Request) -> web.Response:
    body = await requests.read_body(request, ClearBody)
    by = requests.by(request, body.reason)
    return answer(await request.app[LIBRARY].clear_pin(_place(request, body), by))


async def _session(request: web.Request) -> requests.SessionBody:
    return await requests.read_body(request, requests.SessionBody)


def _place(request: web.Request, body: requests.SessionBody) -> Place:
    return Place(request.match_info["prompt"], body.session, body.kind, body.client)


ROUTES = (
    Route(
        *("GET", f"{VERSION}/diff", "diff", "What differs from another version, by part and as text", diff),
        role="viewer",
        answers={200: VersionDiff},
        errors=OF_VERSIONS,
        query=(BASE,),
    ),
    Route(
        *("GET", f"{VERSION}/card", "card", "What is known of a version, with Markdown", card, "viewer"),
        answers={200: Card},
        errors=OF_VERSIONS,
    ),
    Route(
        *("GET", f"{VERSION}/file", "file", "A version as a prompt file", file, "viewer"),
        answers={200: VersionFile},
        errors=OF_VERSIONS,
    ),
    Route(
        *("GET", "/v1/policies", "list_policies", "What rollouts can be started under", list_policies),
        role="viewer",
        answers={200: PolicyPage},
    ),
    Route(
        *("GET", "/v1/policies/{policy}", "show_policy", "One policy", show_policy, "viewer"),
        answers={200: PolicyView},
        errors=(InvalidValue, NotFound),
    ),
    Route(
        *("GET", f"{PROMPT}/labels", "list_labels", "Movable names of versions", list_labels, "viewer"),
        answers={200: Labels},
        errors=(InvalidValue, PromptNotFound),
        etag=True,
    ),
    Route(
        *("PUT", LABEL, "set_label", "Let a label name a version", set_label, "operator"),
        answers={200: Labels},
        body=LabelBody,
        errors=(PromptNotFound, VersionNotFound, TransitionRefused, Conflict, PreconditionFailed),
        changes=True,
        etag=True,
        once=True,
    ),
    Route(
        *("DELETE", LABEL, "remove_label", "Take a label away", remove_label, "operator"),
        answers={200: Labels},
        body=requests.ReasonBody,
        errors=(PromptNotFound, NotFound, TransitionRefused, Conflict, PreconditionFailed),
        changes=True,
        etag=True,
        once=True,
    ),
    Route(
        *("POST", f"{PROMPT}/pins/show", "show_pin", "A session's pin", show_pin, "viewer"),
        answers={200: PinView},
        body=requests.SessionBody,
        errors=(PromptNotFound,),
    ),
    Route(
        *("POST", f"{PROMPT}/pins/clear", "clear_pin", "Draw a session again", clear_pin, "operator"),
        answers={200: PinView},
        body=ClearBody,
        errors=(PromptNotFound, TransitionRefused),
        once=True,
    ),
)
