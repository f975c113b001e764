"""The judge's queue as people see it: how much waits, and what was given up."""

from __future__ import annotations

from typing import Protocol

import msgspec

from gateway.control.changes import Entry, record
from gateway.control.plan import By
from gateway.errors import NotFound
from gateway.storage import keys
from gateway.storage.base import Store


class DeadJudgment(msgspec.Struct, frozen=True):
    """An item that was given up at store time `at`, s: `reason` says why. Its id is rollout and session."""

    id: str
    at: float
    reason: str
    attempts: int


class JudgeQueue(msgspec.Struct, frozen=True):
    """Items that wait, are with a judge, and were given up; of these the newest."""

    waiting: int
    under_way: int
    dead: int
    letters: tuple[DeadJudgment, ...]


class Judgments(Protocol):
    """What people do with the judge's queue; see `judge_queue` and `retry_judgment`."""

    async def queue(self, limit: int) -> JudgeQueue: ...

    async def retry(self, id: str, by: By) -> JudgeQueue: ...


class StoreJudgments:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def queue(self, limit: int) -> JudgeQueue:
        return await judge_queue(self._store, limit)

    async def retry(self, id: str, by: By) -> JudgeQueue:
        return await retry_judgment(self._store, id, by)


async def judge_queue(store: Store, limit: int = 100) -> JudgeQueue:
    found = await store.letters(keys.JUDGING, limit=limit)
    letters = tuple(DeadJudgment(*letter) for letter in found)
    return JudgeQueue(*(await store.depth(keys.JUDGING)), letters)


async def retry_judgment(store: Store, id: str, by: By) -> JudgeQueue:
    """One that was given up waits again. Raises `NotFound`."""
    if not await store.revive(keys.JUDGING, id):
        raise NotFound(f"there is no dead letter {id!r:.200} in the judge's queue", param="id")

    async def planned(now: float) -> Entry | None:
        return Entry("retry_judgment", "", None, {"item": id})

    await record(store, by, planned)
    return await judge_queue(store)
