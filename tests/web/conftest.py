"""A real admin API on a real SQLite store and a real socket."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.storage.sqlite import SqliteStore
from gateway.web import build_admin
from tests.support.prompts import prompt_text
from tests.support.stores import PATIENT


@dataclass
class Answer:
    status: int
    headers: Any
    body: Any


@dataclass
class Admin:
    store: SqliteStore
    session: aiohttp.ClientSession
    url: str
    app: web.Application
    status: dict[str, object] = field(default_factory=lambda: {"ready": True})

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.url + path, json=body, headers=names) as response:
            return Answer(response.status, response.headers, await response.json(content_type=None))

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.call("GET", path, **headers)

    async def post(self, path: str, body: object = None, **headers: str) -> Answer:
        return await self.call("POST", path, {} if body is None else body, **headers)

    async def push(self, *bodies: str) -> None:
        for body in bodies:
            answer = await self.post("/v1/prompts/support-agent/versions", {"file": prompt_text(body)})
            assert answer.status == 201


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    store = SqliteStore(tmp_path / "store", limits=PATIENT)
    await store.open()
    status: dict[str, object] = {"ready": True}

    async def readiness() -> dict[str, object]:
        return status

    app = build_admin(store, readiness)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        yield Admin(store, session, f"http://127.0.0.1:{port}", app, status)
    await runner.cleanup()
    await store.close()
