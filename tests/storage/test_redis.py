"""What is Redis' own: servers that are refused, Sentinel, scripts that vanish, commits that are lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from gateway.errors import ConfigError, StoreUnavailable
from gateway.storage.base import Put, Store
from gateway.storage.limits import Limits
from gateway.storage.redis import LEAP, LUA, RedisStore
from tests.support.redis_server import RedisServer, free_port, need_redis_server
from tests.support.stores import until

pytestmark = pytest.mark.redis
PATIENT = Limits(call=20.0, lookup=20.0, failures=1_000_000)
Start = Callable[..., RedisServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    need_redis_server()
    servers: list[RedisServer] = []

    def start(*options: str, durable: bool = True) -> RedisServer:
        server = RedisServer(tmp_path / f"redis{len(servers)}", *options, durable=durable)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()


async def test_debians_default_is_refused_unless_the_loss_is_accepted(start: Start) -> None:
    server = start("--maxmemory-policy", "allkeys-lru", durable=False)
    store = RedisStore(server.url, limits=PATIENT)
    with pytest.raises(ConfigError, match=r"appendonly is no, must be yes; maxmemory-policy is allkeys-lru"):
        await store.open()
    await store.close()
    store = RedisStore(server.url, limits=PATIENT, accept_data_loss=True)
    await store.open()
    assert await store.commit([Put("a", b"", 0)]) == 1
    await store.close()


async def test_a_server_that_hides_its_configuration_is_refused(start: Start) -> None:
    server = start("--rename-command", "CONFIG", "")
    store = RedisStore(server.url, limits=PATIENT)
    with pytest.raises(ConfigError, match="appendonly is unknown"):
        await store.open()
    await store.close()


async def test_all_keys_share_the_fleets_hash_tag_and_fleets_do_not_meet(start: Start) -> None:
    server = start()
    one, two = (RedisStore(server.url, prefix=prefix, limits=PATIENT) for prefix in ("one", "two"))
    await one.open()
    await one.commit([Put("a", b"", 0)])
    await one.set_if_absent("k", b"1", 60)
    await one.append("log", [b""])
    await one.enqueue("q", "id", b"")
    await one.acquire("lease", "me", 60)
    names: list[bytes] = await one._client.keys("*")
    assert names and all(name.startswith(b"{one}:") for name in names)
    assert await two.get("a") is None
    assert await two.set_if_absent("k", b"2", 60) == b"2"
    await one.close()
    await two.close()


async def test_scripts_that_the_server_forgot_are_sent_again(start: Start) -> None:
    server = start()
    store = RedisStore(server.url, limits=PATIENT)
    await store.commit([Put("a", b"", 0)])
    server.command("SCRIPT FLUSH")
    assert await store.commit([Put("a", b"", 1)]) == 2
    await store.close()


async def test_a_long_feed_is_read_in_stretches(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.storage.redis.SPAN", 3)
    store = RedisStore(start().url, limits=PATIENT)
    for commit in range(6):
        await store.commit([Put(f"{'d' if commit % 2 else 'other'}/{commit}/{i}", b"", 0) for i in range(5)])
    feed = await store.changes(0, prefixes=["d/"])
    assert [document.key for document in feed.documents] == [
        f"d/{c}/{i}" for c in (1, 3, 5) for i in range(5)
    ]
    assert feed.revision == 6
    feed = await store.changes(0, prefixes=["d/"], limit=6)
    assert len(feed.documents) == 10
    assert feed.revision == 4
    await store.close()


async def test_a_restart_makes_the_revision_leap_but_loses_nothing(start: Start) -> None:
    server = start()
    store = RedisStore(server.url, limits=PATIENT)
    await store.commit([Put("a", b"", 0)])
    server.kill()
    server.start()
    assert (await after_restart(store)) == 1
    assert await store.commit([Put("a", b"", 1)]) == 1 + LEAP + 1
    assert await store.commit([Put("a", b"", None)]) == 1 + LEAP + 2
    assert [d.key for d in (await store.changes(1, prefixes=["a"])).documents] == ["a"]
    assert not store.regressed
    await store.close()


async def after_restart(store: Store) -> int:
    async def revision() -> int | None:
        try:
            return (await store.tick()).revision
        except StoreUnavailable:
            return None

    found = await until(revision)
    assert found is not None
    return found


@asynccontextmanager
async def sentinel_of(primary: RedisServer, directory: Path) -> AsyncIterator[str]:
    """A sentinel that fails over after 300 ms; yields the store's URL."""
    directory.mkdir()
    port = free_port()
    (directory / "sentinel.conf").write_text(
        f"port {port}\nbind 127.0.0.1\ndir {directory}\nsentinel monitor main 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 3000\n"
    )
    process = await asyncio.create_subprocess_exec(
        "redis-server", str(directory / "sentinel.conf"), "--sentinel", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield f"redis+sentinel://127.0.0.1:{port}/main/0"
    finally:
        process.kill()
        await process.wait()


async def opened(store: Store) -> bool:
    try:
        await store.open()
    except StoreUnavailable:
        return False
    return True


async def test_commits_lost_in_a_failover_are_noticed_by_who_saw_them(start: Start, tmp_path: Path) -> None:
    """A replica that has stopped hearing of its primary is promoted: the primary's last commits are gone."""
    primary = start("--repl-diskless-sync-delay", "0")
    replica = start("--replicaof", "127.0.0.1", str(primary.port))

    async def replicating() -> bool:
        return b"state=online" in primary.answer("INFO replication")

    async def replicated() -> bool:
        return replica.command("HLEN {pc}:documents") == b":1"

    await until(replicating)
    async with sentinel_of(primary, tmp_path / "sentinel") as url, AsyncExitStack() as stack:
        saw_it, saw_less = RedisStore(url, limits=PATIENT), RedisStore(url, limits=PATIENT)
        for store in (saw_it, saw_less):
            stack.push_async_callback(store.close)
            await until(partial(opened, store))
        assert await saw_it.commit([Put("a", b"1", 0)]) == 1
        assert (await saw_less.tick()).revision == 1
        await until(replicated)
        replica.suspend()
        assert primary.command("CLIENT KILL TYPE replica") == b":1"
        assert await saw_it.commit([Put("a", b"2", 1)]) == 2
        primary.kill()
        replica.resume()

        async def promoted() -> bool:
            try:
                return await saw_less.commit([Put("b", b"", None)]) > 0
            except StoreUnavailable:
                return False

        await until(promoted)
        assert not saw_less.regressed
        await saw_it.tick()
        assert saw_it.regressed
        lost = await saw_it.get("a")
        assert lost is not None and lost.value == b"1"
        assert [document.key for document in (await saw_it.changes(2, prefixes=[""])).documents] == ["b"]


def test_every_script_is_short_and_says_what_it_takes_and_answers() -> None:
    scripts = sorted(LUA.glob("*.lua"))
    assert scripts
    for path in scripts:
        text = path.read_text()
        assert len(text.splitlines()) <= 60, path.name
        assert text.startswith("-- "), path.name
        assert "-- KEYS[1]" in text, path.name
        assert "-- Answer: " in text, path.name


async def test_a_sentinel_that_is_not_there() -> None:
    limits = Limits(call=1.0)
    store = RedisStore(f"redis+sentinel://127.0.0.1:{free_port()}/main", limits=limits)
    with pytest.raises(StoreUnavailable):
        await store.open()
    await store.close()
