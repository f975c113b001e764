"""The admin API as one table of operations, and the application that serves it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web

from gateway.control.access import Access
from gateway.control.administration import NOTHING_OWN, Own, StoreAdministration
from gateway.control.library import StoreLibrary
from gateway.control.operations import StoreOperations
from gateway.domain.policy import POLICIES, Policy
from gateway.storage.base import Store
from gateway.web import (
    alerts,
    assessing,
    cases,
    events,
    explain,
    fleet,
    judging,
    keys,
    library,
    openapi,
    prompts,
    rollouts,
)
from gateway.web.answers import Handler, answer, problems
from gateway.web.door import Door, bearer
from gateway.web.events import STREAMS, Streams
from gateway.web.fleet import ADMINISTRATION
from gateway.web.guard import LOOPBACK, guard
from gateway.web.library import LIBRARY
from gateway.web.refusals import Budget, Refusals
from gateway.web.route import CALLER, OPERATIONS, STORE, Route

MAX_BODY = 2 * 1024 * 1024  # bytes: a prompt file of the largest size, escaped in JSON
Readiness = Callable[[], Awaitable[Mapping[str, Any]]]
READINESS = web.AppKey[Readiness]("readiness")


class Entrance(NamedTuple):
    """How the port is reached: from this machine only (`loopback`), or with tokens; `bootstrap` is one that
    the configuration has. `refusals`: audit entries for those who are refused. `streams`: open ones
    of events."""

    loopback: bool = True
    bootstrap: str | None = None
    refusals: Budget = Budget()
    streams: int = 32


OWN_MACHINE = Entrance()


async def healthz(request: web.Request) -> web.Response:
    return answer({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    status = await request.app[READINESS]()
    return answer(status, status=200 if status.get("ready") else 503)


async def describe(request: web.Request) -> web.Response:
    return web.Response(body=DOCUMENT, content_type="application/json")


ROUTES: tuple[Route, ...] = (
    Route("GET", "/healthz", "healthz", "The process answers", healthz, None, {200: None}),
    Route("GET", "/readyz", "readyz", "Whether the gateway serves", readyz, None, {200: None, 503: None}),
    Route("GET", "/openapi.json", "openapi", "This document", describe, None, {200: None}),
    *prompts.ROUTES,
    *rollouts.ROUTES,
    *fleet.ROUTES,
    *keys.ROUTES,
    *alerts.ROUTES,
    *explain.ROUTES,
    *assessing.ROUTES,
    *cases.ROUTES,
    *library.ROUTES,
    *judging.ROUTES,
    *events.ROUTES,
)
DOCUMENT = openapi.encoded(ROUTES)


def build_admin(
    store: Store,
    readiness: Readiness,
    policies: Mapping[str, Policy] = POLICIES,
    rules: Mapping[str, float] | None = None,
    entrance: Entrance = OWN_MACHINE,
    own: Own = NOTHING_OWN,
) -> web.Application:
    """The admin API on `store`; rollouts start under one of `policies`; `readiness` answers /readyz, whose
    status is 200 if its "ready" is true; `own` is what the configuration says and the store does not."""
    app = web.Application(middlewares=[problems, guard], client_max_size=MAX_BODY)
    access = Access(store, entrance.bootstrap, loopback=entrance.loopback)
    app[STORE] = store
    app[OPERATIONS] = StoreOperations(store, policies, rules)
    app[ADMINISTRATION] = StoreAdministration(store, own)
    app[LIBRARY] = StoreLibrary(store, policies, own.signing_keys)
    app[READINESS] = readiness
    app[LOOPBACK] = entrance.loopback
    refusals = Refusals(access, entrance.refusals, time.monotonic)
    app.cleanup_ctx.append(refusals.run)
    door = Door(access, refusals)
    app[STREAMS] = Streams(entrance.streams, lambda request: access.caller(bearer(request)))
    app.on_shutdown.append(app[STREAMS].close)
    app.add_routes([_served(route, door) for route in ROUTES])
    return app


def build_health(readiness: Readiness) -> web.Application:
    """What a machine without an admin API answers on its port."""
    app = web.Application(middlewares=[problems])
    app[READINESS] = readiness
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    return app


def _served(route: Route, door: Door) -> web.RouteDef:
    handler: Handler = route.handler
    if route.role is not None:

        async def admitted(request: web.Request) -> web.StreamResponse:
            request[CALLER] = await door.admit(request, route)
            return await door.serve(request, route)

        handler = admitted
    return (
        web.get(route.path, handler)
        if route.method == "GET"
        else web.route(route.method, route.path, handler)
    )
