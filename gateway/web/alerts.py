"""What became of alerts, and what can be done about those that did not arrive."""

from __future__ import annotations

from aiohttp import web

from gateway.control.administration import DeliveryPage, Sent
from gateway.control.alerts.outbox import Delivery
from gateway.errors import InvalidValue, NotFound, PreconditionFailed, TransitionRefused
from gateway.web import requests
from gateway.web.answers import answer
from gateway.web.door import out_of_reach
from gateway.web.fleet import ADMINISTRATION
from gateway.web.route import CALLER, LIMIT, Parameter, Route

DELIVERY_ID = {"type": "string", "pattern": r"^\d{1,12}(\.[1-9])?-[a-z0-9][a-z0-9._-]{0,63}$"}


async def list_alerts(request: web.Request) -> web.Response:
    after, limit = request.query.get("after"), requests.page_limit(request)
    if after == "":
        raise InvalidValue("after is the `next` of the page before, not empty", param="after")
    return answer(await request.app[ADMINISTRATION].alerts(after or "", limit, request[CALLER].may_see))


async def retry_alert(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.ReasonBody)
    id, caller = request.match_info["delivery"], request[CALLER]
    prompt = (await request.app[ADMINISTRATION].alert(id)).alert.prompt
    if not caller.may_see(prompt):
        raise out_of_reach(caller, prompt)
    by, expected = requests.by(request, body.reason), requests.expected(request)
    delivery, revision = await request.app[ADMINISTRATION].retried(id, by, expected=expected)
    return answer(delivery, revision=revision)


async def test_alert(request: web.Request) -> web.Response:
    body = await requests.read_body(request, requests.TargetBody)
    by = requests.by(request, body.reason)
    return answer(await request.app[ADMINISTRATION].test_alert(body.target, by), status=202)


ROUTES = (
    Route(
        *("GET", "/v1/alerts", "list_alerts", "Deliveries of alerts, newest first", list_alerts, "viewer"),
        answers={200: DeliveryPage},
        errors=(InvalidValue, NotFound),
        query=(LIMIT, Parameter("after", DELIVERY_ID, "only what is older than this delivery")),
    ),
    Route(
        *("POST", "/v1/alerts/test", "test_alert", "Send a test to one target", test_alert, "operator"),
        answers={202: Sent},
        body=requests.TargetBody,
        errors=(NotFound,),
        fleet=True,
        once=True,
    ),
    Route(
        *("POST", "/v1/alerts/{delivery}/retry", "retry_alert", "Ask for a dead letter again", retry_alert),
        role="operator",
        answers={200: Delivery},
        body=requests.ReasonBody,
        errors=(NotFound, TransitionRefused, PreconditionFailed),
        changes=True,
        etag=True,
        once=True,
    ),
)
