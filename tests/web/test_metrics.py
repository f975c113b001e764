"""/metrics in the format that the reader asks for, and a problem where the supervisor does not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from gateway.errors import Unavailable
from gateway.telemetry.exposition import OPENMETRICS, PLAIN
from gateway.telemetry.metrics import Sample
from gateway.web.answers import problems
from gateway.web.metrics import Metrics, metrics_route


@asynccontextmanager
async def serving(metrics: Metrics) -> AsyncIterator[str]:
    app = web.Application(middlewares=[problems])
    app.add_routes([metrics_route(metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
    finally:
        await runner.cleanup()


async def test_the_reader_chooses_the_format() -> None:
    async def metrics() -> list[Sample]:
        return [("fallbacks_total", (), (2,))]

    async with serving(metrics) as url, aiohttp.ClientSession() as session:
        for accept, kind, family in (
            ("text/plain", PLAIN, "promptcanary_fallbacks_total"),
            ("application/openmetrics-text;version=1.0.0", OPENMETRICS, "promptcanary_fallbacks"),
        ):
            async with session.get(url, headers={"accept": accept}) as answer:
                assert (answer.status, answer.headers["content-type"]) == (200, kind)
                lines = (await answer.text()).splitlines()
                assert f"# TYPE {family} counter" in lines
                assert "promptcanary_fallbacks_total 2" in lines


async def test_without_the_supervisor_there_are_no_metrics_rather_than_wrong_ones() -> None:
    async def metrics() -> list[Sample]:
        raise Unavailable("the supervisor does not answer")

    async with (
        serving(metrics) as url,
        aiohttp.ClientSession() as session,
        session.get(url) as answer,
    ):
        assert answer.status == 503
        assert (await answer.json(content_type=None))["code"] == "unavailable"
