"""A real HTTP server that alerts are sent to: it keeps what it gets, and answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web


class Got(NamedTuple):
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Receiver:
    """`answers` are the statuses of the next requests, then 204; -1 closes the connection without one, 0
    never answers."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.url = ""
        self._news = asyncio.Event()
        self._never = asyncio.Event()

    async def wait(self, count: int) -> list[Got]:
        """Once there are `count` requests."""
        async with asyncio.timeout(20):
            while len(self.got) < count:
                self._news.clear()
                await self._news.wait()
        return self.got

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append(Got(headers, await request.read()))
        self._news.set()
        status = self.answers.pop(0) if self.answers else 204
        if status == -1:
            assert request.transport is not None
            request.transport.abort()
        if status == 0:
            await self._never.wait()
        return web.Response(status=status if status > 0 else 500, headers=self.headers)

    def release(self) -> None:
        self._never.set()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        receiver.release()
        await runner.cleanup()
