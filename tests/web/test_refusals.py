"""Refused attempts are written down: those of rules too, and not more than a budget of each caller allows."""

from __future__ import annotations

import asyncio

import pytest

from gateway.control.access import Access
from gateway.control.plan import By
from gateway.domain.audit import AuditEntry
from gateway.storage import codec, keys
from gateway.storage.sqlite import SqliteStore
from gateway.web.refusals import DAY, MINUTE, Budget, Refusals
from tests.support.prompts import described, prompt_text
from tests.web.conftest import Admin

PROMPT = "/v1/prompts/support-agent"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Log:
    def __init__(self, store: SqliteStore, clock: Clock, budget: Budget) -> None:
        self.store = store
        self.clock = clock
        self.refusals = Refusals(Access(store), budget, clock)

    async def refuse(self, caller: str, times: int = 1) -> None:
        for _ in range(times):
            await self.refusals.write(caller, By(caller, "no"), "", {"operation": "x"})

    async def entries(self) -> list[tuple[str, int]]:
        """Who, and how many were left out before."""
        documents = await self.store.list(keys.AUDIT)
        found = [codec.decode_document(document, AuditEntry) for document in documents]
        return [(entry.actor, entry.after.get("left_out", 0)) for entry in found]


@pytest.fixture
def log(admin: Admin) -> Log:
    return Log(admin.store, Clock(), Budget(minute=3, day=5))


async def test_a_flood_without_a_token_hides_nobody(log: Log) -> None:
    await log.refuse("anonymous", 100)
    await log.refuse("eve")
    assert await log.entries() == [("anonymous", 0)] * 3 + [("eve", 0)]


async def test_what_is_left_out_is_counted_with_the_next_entry(log: Log) -> None:
    await log.refuse("anonymous", 10)
    log.clock.now += MINUTE
    await log.refuse("anonymous")
    assert (await log.entries())[-1] == ("anonymous", 7)


async def test_the_count_is_written_when_nothing_follows(log: Log) -> None:
    await log.refuse("anonymous", 10)
    await log.refusals.flush()
    assert len(await log.entries()) == 3
    log.clock.now += MINUTE
    await log.refusals.flush()
    await log.refusals.flush()
    assert (await log.entries())[3:] == [("anonymous", 7)]


async def test_a_day_has_a_budget_too(log: Log) -> None:
    for _ in range(20):
        await log.refuse("anonymous", 10)
        log.clock.now += MINUTE
        await log.refusals.flush()
    assert len(await log.entries()) == 5
    log.clock.now += DAY
    await log.refusals.flush()
    told = await log.entries()
    assert sum(left_out for _, left_out in told) + 5 - 1 == 200  # one of the five only counted


async def test_the_end_of_the_process_writes_the_count(log: Log) -> None:
    await log.refuse("anonymous", 10)
    await log.refusals.flush(all=True)
    assert (await log.entries())[-1] == ("anonymous", 7)


async def test_what_a_rule_refuses_is_written_down(admin: Admin) -> None:
    await admin.post(f"{PROMPT}/versions", {"file": prompt_text(front=described(suite="s"))})
    refused = await admin.post(f"{PROMPT}/deploy", {"version": 1}, x_actor="eve")
    assert refused.body["code"] == "gate_not_passed"
    entry = (await admin.get("/v1/audit?limit=1")).body["entries"][0]
    assert (entry["action"], entry["actor"], entry["subject"]) == ("refused", "eve", "support-agent")
    assert entry["reason"] == refused.body["detail"]
    assert entry["after"] == {"operation": "deploy", "needs": "operator", "code": "gate_not_passed"}


async def test_lost_races_and_questions_are_not(admin: Admin) -> None:
    await admin.push("one")
    for answer in (
        await admin.get("/v1/prompts/nobody"),
        await admin.post(f"{PROMPT}/deploy", {"version": 1}, if_match='"99"'),
        await admin.post(f"{PROMPT}/deploy", {"version": 7}),
    ):
        assert answer.status in (404, 412)
    entries = (await admin.get("/v1/audit")).body["entries"]
    assert [entry["action"] for entry in entries] == ["push"]


async def test_a_conflict_tells_of_changes_and_not_of_refusals(admin: Admin) -> None:
    await admin.push("one", "two")
    etag = (await admin.get(PROMPT)).headers["etag"]
    await admin.post(f"{PROMPT}/deploy", {"version": 1}, x_actor="ann")
    await asyncio.gather(*(admin.post(f"{PROMPT}/rollout/pause", x_actor="eve") for _ in range(8)))
    late = await admin.post(f"{PROMPT}/deploy", {"version": 2, "reason": "x"}, if_match=etag)
    assert "since then ann: deploy" in late.body["detail"]
    assert "refused" not in late.body["detail"]
