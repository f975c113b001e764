"""The judge's queue."""

from __future__ import annotations

import msgspec
from aiohttp import web

from gateway.control.judging.queue import JudgeQueue, judge_queue, retry_judgment
from gateway.errors import InvalidValue, NotFound
from gateway.web import requests
from gateway.web.answers import answer
from gateway.web.route import LIMIT, STORE, Route


class ItemBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    reason: str = ""


async def show_queue(request: web.Request) -> web.Response:
    return answer(await judge_queue(request.app[STORE], requests.page_limit(request)))


async def retry_item(request: web.Request) -> web.Response:
    body = await requests.read_body(request, ItemBody)
    return answer(await retry_judgment(request.app[STORE], body.id, requests.by(request, body.reason)))


ROUTES = (
    Route(
        *("GET", "/v1/judge/queue", "judge_queue", "What waits for the judge, and what was given up"),
        *(show_queue, "viewer"),
        answers={200: JudgeQueue},
        errors=(InvalidValue,),
        query=(LIMIT,),
        fleet=True,
    ),
    Route(
        *("POST", "/v1/judge/queue/retry", "retry_judgment", "Ask for a dead letter again", retry_item),
        role="operator",
        answers={200: JudgeQueue},
        body=ItemBody,
        errors=(NotFound,),
        fleet=True,
        once=True,
    ),
)
