"""/metrics: the counts of this supervisor's processes, in the format that the reader asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from gateway.telemetry.exposition import OPENMETRICS, content_type, render
from gateway.telemetry.metrics import Sample

Metrics = Callable[[], Awaitable[Sequence[Sample]]]


def metrics_route(metrics: Metrics) -> web.RouteDef:
    async def handler(request: web.Request) -> web.Response:
        kind = content_type(",".join(request.headers.getall("accept", [])))
        body = render(await metrics(), openmetrics=kind == OPENMETRICS)
        return web.Response(body=body, headers={"content-type": kind})

    return web.get("/metrics", handler)
