"""A worker's view: changes arrive, versions are loaded once, a store that is down or odd stops nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.proxy.snapshots import Versions
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import BY, chat_body, until, worker_stage

PROMPTED = {"x-prompt": "greeter"}


@on_uvloop
async def test_a_change_arrives_by_itself_within_half_a_second(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        number = await stage.push()
        await stage.rollouts.deploy("greeter", number, BY)
        snapshots = stage.worker.snapshots
        await until(lambda: "greeter" in snapshots.deployments, 1.0)
        assert snapshots.deployments["greeter"].live == number
        assert stage.worker.versions.get("greeter", number) is not None, "loaded before the first request"


@on_uvloop
async def test_requests_that_wait_for_one_version_are_one_read(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        versions = stage.worker.versions
        versions._prepared.clear()
        reads: list[str] = []
        get = stage.worker.store.get

        async def counted(key: str) -> object:
            reads.append(key)
            await asyncio.sleep(0.05)
            return await get(key)

        stage.worker.store.get = counted  # type: ignore[method-assign, assignment]
        replies = await asyncio.gather(*(stage.ask(chat_body(), PROMPTED) for _ in range(10)))
        assert [reply.status for reply in replies] == [200] * 10
        assert len(reads) == 1
        await stage.assert_empty()


@on_uvloop
async def test_a_version_that_cannot_be_read_is_a_503_with_retry_after_and_then_served(
    tmp_path: Path,
) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        stage.worker.versions._prepared.clear()
        get = stage.worker.store.get

        async def down(key: str) -> object:
            raise StoreUnavailable("the store is down")

        stage.worker.store.get = down  # type: ignore[method-assign, assignment]
        reply = await stage.ask(chat_body(), PROMPTED)
        assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
        assert int(reply.headers["retry-after"]) >= 1
        stage.worker.store.get = get  # type: ignore[method-assign]
        assert (await stage.ask(chat_body(), PROMPTED)).status == 200
        await stage.assert_empty()


@on_uvloop
async def test_the_least_recently_used_version_is_the_first_to_go(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        numbers = [await stage.push(edition=edition) for edition in ("one", "two", "three")]
        versions = Versions(stage.worker.store, 2)
        for number in numbers[:2]:
            assert await versions.fetch("greeter", number) is not None
        assert versions.get("greeter", numbers[0]) is not None
        await versions.fetch("greeter", numbers[2])
        assert [versions.get("greeter", number) is None for number in numbers] == [False, True, False]
        assert await versions.fetch("greeter", 99) is None


@pytest.mark.parametrize("error", [StoreUnavailable("down"), LookupError("surprise")])
@on_uvloop
async def test_while_the_store_fails_the_last_view_serves_and_then_goes_on(
    tmp_path: Path, error: Exception
) -> None:
    async with worker_stage(tmp_path, quiet=False) as stage:
        await stage.deploy()
        snapshots, store = stage.worker.snapshots, stage.worker.store
        tick = store.tick
        asked = asyncio.Event()

        async def fails() -> object:
            asked.set()
            raise error

        store.tick = fails  # type: ignore[method-assign, assignment]
        await asked.wait()
        await asyncio.sleep(0)
        before = snapshots.staleness(stage.worker.clock())
        assert (await stage.ask(chat_body(), PROMPTED)).status == 200
        assert snapshots.staleness(stage.worker.clock()) > before
        store.tick = tick  # type: ignore[method-assign]
        second = await stage.push(edition="second")
        await stage.rollouts.deploy("greeter", second, BY)
        await until(lambda: snapshots.deployments["greeter"].live == second, 2.0)
