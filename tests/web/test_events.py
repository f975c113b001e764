"""Events: the audit log as a stream that can be gone on from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from gateway.control.access import Access
from gateway.control.plan import By
from gateway.web.events import STREAMS
from tests.web.conftest import Admin

PROMPT = "/v1/prompts/support-agent"


class Stream:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> tuple[int, str, Any]:
        """Id, event and data of the next event; an id of -1: the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(20):
            while line := await self.response.content.readline():
                text = line.decode().rstrip("\n")
                if not text and "event" in fields:
                    return int(fields.get("id", 0)), fields["event"], json.loads(fields["data"])
                name, _, value = text.partition(": ")
                fields[name] = value
        return -1, "", None


@asynccontextmanager
async def following(admin: Admin, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with admin.session.get(f"{admin.url}/v1/events{query}", headers=names) as response:
        assert response.status == 200, await response.text()
        assert response.headers["content-type"] == "text/event-stream"
        yield Stream(response)


async def test_what_happens_is_told_as_it_happens(admin: Admin) -> None:
    await admin.push("one")
    async with following(admin) as stream:
        await admin.post(f"{PROMPT}/deploy", {"version": 1}, x_actor="ann")
        number, event, entry = await stream.next()
    assert (number, event, entry["actor"], entry["subject"]) == (2, "deploy", "ann", "support-agent")
    (listed,) = (await admin.get("/v1/audit?limit=1")).body["entries"]
    assert entry == listed


async def test_who_was_cut_off_goes_on_where_it_was(admin: Admin) -> None:
    await admin.push("one", "two", "three", "four")
    for query, headers in (("?wait=0&after=2", {}), ("?wait=0&after=1", {"last_event_id": "2"})):
        async with following(admin, query, **headers) as stream:
            assert [(await stream.next())[0] for _ in range(3)] == [3, 4, -1]


async def test_only_one_prompt(admin: Admin) -> None:
    await admin.push("one")
    await admin.post("/v1/prompts/billing/versions", {"file": "---\nname: billing\n---\nsystem:\nBill.\n"})
    async with following(admin, "?wait=0&after=0&prompt=billing") as stream:
        assert [(await stream.next())[0] for _ in range(2)] == [2, -1]


async def test_a_limited_token_hears_of_its_prompts_only(admin: Admin) -> None:
    await admin.push("one")
    issued = await Access(admin.store).create("some", "viewer", ("billing",), By("ann"))
    async with following(admin, "?wait=0&after=0", authorization=f"Bearer {issued.secret}") as stream:
        assert await stream.next() == (-1, "", None)


async def test_a_token_that_is_revoked_hears_nothing_more(admin: Admin) -> None:
    access = Access(admin.store)
    issued = await access.create("some", "viewer", (), By("ann"))
    async with following(admin, authorization=f"Bearer {issued.secret}") as stream:
        await access.revoke("some", By("ann"))
        assert (await stream.next())[0] == -1


async def test_a_number_beyond_the_end_begins_again(admin: Admin) -> None:
    await admin.push("one")
    async with following(admin, "?wait=0&after=99") as stream:
        assert await stream.next() == (0, "reset", {})
        assert (await stream.next())[0] == -1


@pytest.mark.parametrize("query", ["?after=x", "?wait=-1", "?wait=3601", "?after=1234567890"])
async def test_what_is_no_number_is_refused(admin: Admin, query: str) -> None:
    assert (await admin.get(f"/v1/events{query}")).status == 400


async def test_streams_are_so_many_and_end_with_the_api(admin: Admin) -> None:
    streams = admin.app[STREAMS]
    streams.most = 1
    async with following(admin) as stream:
        refused = await admin.get("/v1/events")
        assert (refused.status, refused.body["code"], refused.headers["retry-after"]) == (
            503,
            "overloaded",
            "5",
        )
        await admin.app.shutdown()
        assert (await stream.next())[0] == -1
    assert streams.open == 0
