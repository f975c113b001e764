"""A store that is slow or gone: every call fails within its limit, then at once, and recovers by itself."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.storage.base import Put, Store
from gateway.storage.limits import Limits
from tests.support.redis_server import RedisServer, need_redis_server
from tests.support.stores import Fleet, until

LIMITS = Limits(call=0.3, lookup=0.05, failures=3, cool_down=0.2)
WRITES: dict[str, Callable[[Store], Awaitable[object]]] = {
    "commit": lambda store: store.commit([Put("a", b"", None)]),
    "set_if_absent": lambda store: store.set_if_absent("k", b"", 60),
    "touch": lambda store: store.touch([("k", 60)]),
    "delete_key": lambda store: store.delete_key("k"),
    "set_if_absent of a pin": lambda store: store.set_if_absent("pin/k", b"", 60),
    "touch of a pin": lambda store: store.touch([("pin/k", 60)]),
    "delete_key of a pin": lambda store: store.delete_key("pin/k"),
    "append": lambda store: store.append("log", [b""]),
    "trim": lambda store: store.trim("log", through=1),
    "enqueue": lambda store: store.enqueue("q", "id", b""),
    "claim": lambda store: store.claim("q", "one", limit=1, lease=1),
    "acknowledge": lambda store: store.acknowledge("q", "one", "id"),
    "bury": lambda store: store.bury("q", "one", "id", ""),
    "acquire": lambda store: store.acquire("lease", "one", 1),
    "release": lambda store: store.release("lease", "one"),
}


@asynccontextmanager
async def slow_sqlite(directory: Path) -> AsyncIterator[None]:
    """Another process in the middle of a write that does not end."""
    table = os.open(directory / "keys.table", os.O_RDWR)
    fcntl.flock(table, fcntl.LOCK_EX)
    blockers = []
    for name in ("documents.db", "evidence.db"):
        blocker = sqlite3.connect(directory / name, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        blockers.append(blocker)
    try:
        yield
    finally:
        os.close(table)
        for blocker in blockers:
            blocker.execute("ROLLBACK")
            blocker.close()


@asynccontextmanager
async def slow_redis(server: RedisServer) -> AsyncIterator[None]:
    server.suspend()
    try:
        yield
    finally:
        server.resume()


def slowness(fleet: Fleet) -> AbstractAsyncContextManager[None]:
    return slow_redis(fleet.server) if fleet.server else slow_sqlite(Path(fleet.location))


@pytest.mark.parametrize("name", WRITES)
async def test_every_write_to_a_slow_store_fails_within_its_limit(fleet: Fleet, name: str) -> None:
    store = await fleet.store(LIMITS)
    loop = asyncio.get_running_loop()
    async with slowness(fleet):
        begin = loop.time()
        with pytest.raises(StoreUnavailable):
            await WRITES[name](store)
        assert loop.time() - begin < 3 * LIMITS.call


async def test_the_breaker_opens_and_a_probe_closes_it(fleet: Fleet) -> None:
    store = await fleet.store(LIMITS)
    loop = asyncio.get_running_loop()
    async with slowness(fleet):
        for _ in range(LIMITS.failures):
            with pytest.raises(StoreUnavailable):
                await store.append("log", [b"lost"])
        begin = loop.time()
        with pytest.raises(StoreUnavailable, match="3 times in a row"):
            await store.append("log", [b"lost"])
        assert loop.time() - begin < LIMITS.call / 2

    async def works() -> bool:
        try:
            await store.append("log", [b"back"])
        except StoreUnavailable:
            return False
        return True

    await until(works)
    assert b"back" in [record.value for record in await store.read("log", after=0)]


@pytest.mark.redis
async def test_a_slow_look_up_has_a_shorter_limit_and_its_own_breaker(redis_server: RedisServer) -> None:
    fleet = Fleet("redis", redis_server.url, "look-ups", redis_server)
    store = await fleet.store(LIMITS)
    loop = asyncio.get_running_loop()
    async with slowness(fleet):
        for _ in range(LIMITS.failures):
            begin = loop.time()
            with pytest.raises(StoreUnavailable, match=r"within 0\.05 s"):
                await store.get_key("pin")
            assert loop.time() - begin < LIMITS.call
        with pytest.raises(StoreUnavailable, match="in a row"):
            await store.get_key("pin")
    await store.append("log", [b""])
    await fleet.close()


async def test_sqlite_reads_do_not_wait_for_a_slow_writer(tmp_path: Path) -> None:
    fleet = Fleet("sqlite", str(tmp_path), "", None)
    store = await fleet.store()
    await store.commit([Put("a", b"1", 0)])
    await store.set_if_absent("pin", b"1", 60)
    async with slow_sqlite(tmp_path):
        assert (await store.tick()).revision == 1
        assert len(await store.list("")) == 1
        assert await store.get_key("pin") == b"1"
    await fleet.close()


async def test_a_call_that_its_caller_gave_up_is_not_a_fault_of_the_store(fleet: Fleet) -> None:
    store = await fleet.store(LIMITS)
    for _ in range(LIMITS.failures + 1):
        task = asyncio.ensure_future(store.tick())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await store.tick()).revision == 0


async def test_answers_stay_with_their_calls_when_some_are_cancelled(fleet: Fleet) -> None:
    store = await fleet.store()
    await asyncio.gather(*[store.set_if_absent(f"k{i}", b"%d" % i, 60) for i in range(50)])
    for turn in range(5):
        calls = [asyncio.ensure_future(store.get_key(f"k{i}")) for i in range(50)]
        for _ in range(turn + 1):
            await asyncio.sleep(0)
        for call in calls[::3]:
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for i, answer in enumerate(answers):
            assert answer == b"%d" % i or (i % 3 == 0 and isinstance(answer, asyncio.CancelledError))


async def test_a_store_that_is_not_open_or_closed_says_so(tmp_path: Path) -> None:
    fleet = Fleet("sqlite", str(tmp_path), "", None)
    store = await fleet.store()
    await fleet.close()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.tick()


@pytest.mark.redis
async def test_a_redis_that_goes_and_comes_back(tmp_path: Path) -> None:
    need_redis_server()
    server = RedisServer(tmp_path)
    server.start()
    fleet = Fleet("redis", server.url, "pc", server)
    try:
        store = await fleet.store(LIMITS)
        await store.commit([Put("a", b"1", 0)])
        server.kill()
        with pytest.raises(StoreUnavailable):
            await store.tick()
        server.start()

        async def works() -> bool:
            try:
                return (await store.tick()).revision == 1
            except StoreUnavailable:
                return False

        await until(works)
        assert await store.commit([Put("a", b"2", 1)]) > 1
        assert not store.regressed
    finally:
        await fleet.close()
        server.kill()


@pytest.mark.redis
async def test_no_redis_at_all() -> None:
    fleet = Fleet("redis", "redis://127.0.0.1:1/0", "pc", None)
    with pytest.raises(StoreUnavailable, match="the store failed"):
        await fleet.store(LIMITS)
