"""What several processes see of one another, and what is left when they are killed."""

import asyncio
from pathlib import Path

import pytest

from gateway.storage.base import Document, Store
from tests.support.redis_server import RedisServer, need_redis_server
from tests.support.stores import Fleet

WRITER = Path(__file__).parent / "writer.py"
COMMITS = 60


class Acknowledged:
    """What a writer said it had been promised: value → (revision, position)."""

    def __init__(self) -> None:
        self.lines: dict[str, tuple[int, int]] = {}

    async def read(self, writer: asyncio.subprocess.Process, at_least: int) -> None:
        assert writer.stdout is not None
        while len(self.lines) < at_least and (line := await writer.stdout.readline()).endswith(b"\n"):
            value, revision, position, winner = line.decode().split()
            assert winner == value
            self.lines[value] = (int(revision), int(position))


async def test_a_reader_misses_nothing_that_other_processes_commit(fleet: Fleet) -> None:
    store = await fleet.store()
    writers = [await fleet.process(WRITER, f"w{i}", str(COMMITS)) for i in range(3)]
    acknowledged = Acknowledged()
    reading = asyncio.gather(*[acknowledged.read(writer, 3 * COMMITS) for writer in writers])

    seen: dict[str, Document] = {}
    since, shared = 0, []
    while len(seen) < 3 * COMMITS + 1 or since < 3 * COMMITS:
        feed = await store.changes(since, prefixes=["d/"], limit=7)
        revisions = [document.revision for document in feed.documents]
        assert revisions == sorted(revisions)
        assert all(since < revision <= feed.revision for revision in revisions)
        shared += [document for document in feed.documents if document.key == "d/shared"]
        fresh = {document.key: document for document in feed.documents}
        assert len(fresh) == len(feed.documents)
        assert fresh.keys() & seen.keys() <= {"d/shared"}
        seen |= fresh
        since = feed.revision
    await reading
    assert [await writer.wait() for writer in writers] == [0, 0, 0]

    for value, (revision, _) in acknowledged.lines.items():
        assert seen[f"d/{value}"].revision == revision
    assert sorted(revision for revision, _ in acknowledged.lines.values()) == list(range(1, 3 * COMMITS + 1))
    assert seen["d/shared"].revision == 3 * COMMITS
    records = await store.read("log", after=0)
    assert [record.position for record in records] == list(range(1, 3 * COMMITS + 1))
    assert {r.value.decode(): r.position for r in records} == {
        value: position for value, (_, position) in acknowledged.lines.items()
    }


async def check_that_all_is_there(store: Store, acknowledged: Acknowledged) -> None:
    records = {record.value.decode(): record.position for record in await store.read("log", after=0)}
    for value, (revision, position) in acknowledged.lines.items():
        assert await store.get(f"d/{value}") == Document(f"d/{value}", revision, value.encode())
        assert records[value] == position
        assert await store.get_key(f"pin/{value}") == value.encode()
        assert not await store.enqueue("queue", value, b"again")
    newest = await store.get("d/shared")
    assert newest is not None
    assert newest.revision >= max(revision for revision, _ in acknowledged.lines.values())
    assert (await store.tick()).revision == newest.revision
    assert not store.regressed


async def test_kill_9_of_the_writers_loses_nothing_acknowledged(fleet: Fleet) -> None:
    acknowledged = Acknowledged()
    writers = [await fleet.process(WRITER, f"w{i}", "0") for i in range(2)]
    await asyncio.gather(*[acknowledged.read(writer, 80) for writer in writers])
    for writer in writers:
        writer.kill()
    await asyncio.gather(
        *[acknowledged.read(writer, 1_000_000) for writer in writers]
    )  # what was in the pipe
    for writer in writers:
        await writer.wait()
    await check_that_all_is_there(await fleet.store(), acknowledged)


@pytest.mark.redis
async def test_kill_9_of_a_redis_that_always_syncs_loses_nothing_acknowledged(tmp_path: Path) -> None:
    need_redis_server()
    server = RedisServer(tmp_path)
    server.start()
    try:
        fleet = Fleet("redis", server.url, "pc", server)
        acknowledged = Acknowledged()
        writer = await fleet.process(WRITER, "w", "0")
        await acknowledged.read(writer, 80)
        server.kill()
        writer.kill()
        await acknowledged.read(writer, 1_000_000)
        await writer.wait()
        server.start()
        await check_that_all_is_there(await fleet.store(), acknowledged)
        await fleet.close()
    finally:
        server.kill()
