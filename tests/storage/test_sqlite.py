"""What is SQLite's own: files, modes, sweeps, the wall clock, what happens when a file is bad."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
import uvloop

from gateway.errors import ConfigError
from gateway.storage.base import QUEUE_MEMORY, Claim, Put
from gateway.storage.limits import Limits
from gateway.storage.sqlite import SqliteStore
from gateway.storage.sqlite_evidence import SCHEMA

PATIENT = Limits(call=20.0, lookup=20.0)


class Wall:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def rows(path: Path, statement: str) -> int:
    database = sqlite3.connect(path)
    (count,) = database.execute(statement).fetchone()
    database.close()
    return int(count)


async def test_documents_sync_at_every_commit_and_evidence_does_not(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "new" / "directory", limits=PATIENT)
    await store.open()
    for file, level in ((store._documents, 2), (store._evidence, 1)):
        assert await file.write(lambda db: db.execute("PRAGMA synchronous").fetchone()) == (level,)
        assert await file.write(lambda db: db.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
    await store.close()
    assert (tmp_path / "new" / "directory").stat().st_mode & 0o077 == 0


async def test_many_open_a_new_directory_at_the_same_time(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path, limits=PATIENT) for _ in range(8)]
    await asyncio.gather(*[store.open() for store in stores])
    await asyncio.gather(*[store.commit([Put(f"k{i}", b"", 0)]) for i, store in enumerate(stores)])
    assert (await stores[0].tick()).revision == 8
    await asyncio.gather(*[store.close() for store in stores])


async def test_it_is_there_after_it_was_closed(tmp_path: Path) -> None:
    for i in range(3):
        store = SqliteStore(tmp_path, limits=PATIENT)
        await store.open()
        assert await store.commit([Put("a", b"%d" % i, i)]) == i + 1
        await store.close()


async def test_calls_made_before_closing_are_finished(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, limits=PATIENT)
    await store.open()
    calls = [asyncio.ensure_future(store.append("log", [b"%d" % i])) for i in range(600)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*calls) == list(range(1, 601))


async def test_expired_keys_are_swept_while_new_ones_come(tmp_path: Path) -> None:
    """However many ages pass, the file holds the keys that live and a third as many that do not."""
    wall = Wall()
    store = SqliteStore(tmp_path, limits=PATIENT, wall=wall)
    await store.open()
    for age in range(20):
        for batch in range(10):
            await store.set_all_if_absent([(f"{age}/{batch}/{i}", b"", 60.0) for i in range(100)])
        wall.now += 61
    await store.close()
    assert 1000 <= rows(tmp_path / "evidence.db", "SELECT count(*) FROM pairs") <= 1000 * 4 / 3


LAYOUT_2 = (
    SCHEMA[0],
    "CREATE TABLE logs (log TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE records (log TEXT NOT NULL, position INTEGER NOT NULL, value BLOB NOT NULL)",
    "CREATE UNIQUE INDEX records_by_position ON records (log, position)",
    """CREATE TABLE items (
        sequence INTEGER PRIMARY KEY, queue TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL,
        state TEXT NOT NULL DEFAULT 'free', at REAL NOT NULL DEFAULT 0, owner TEXT,
        attempt INTEGER NOT NULL DEFAULT 0, reason TEXT, UNIQUE (queue, id)
    )""",
    "CREATE INDEX items_by_state ON items (queue, state, at)",
)


async def test_items_of_layout_2_are_taken_over(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "evidence.db", isolation_level=None)
    for statement in LAYOUT_2:
        database.execute(statement)
    database.execute("INSERT INTO items (queue, id, value) VALUES ('q', 'a', x'76')")
    database.execute("PRAGMA user_version = 2")
    database.close()
    store = SqliteStore(tmp_path, limits=PATIENT, wall=Wall())
    await store.open()
    assert await store.enqueue("q", "b", b"v", text=b"words", keep=60.0)
    assert await store.claim("q", "one", limit=2, lease=60) == (
        Claim("a", b"v", 1),
        Claim("b", b"v", 1, b"words"),
    )
    await store.close()


async def test_keys_of_the_layout_before_are_taken_over(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "evidence.db", isolation_level=None)
    database.execute(
        "CREATE TABLE keys (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL) WITHOUT ROWID"
    )
    for statement in LAYOUT_2[1:]:
        database.execute(statement)
    database.execute("INSERT INTO keys VALUES ('pin/r/1', x'01', 1000060.0), ('pin/r/2', x'02', 999999.0)")
    database.execute("PRAGMA user_version = 1")
    database.close()
    store = SqliteStore(tmp_path, limits=PATIENT, wall=Wall())
    await store.open()
    assert await store.get_key("pin/r/1") == b"\x01"
    assert await store.get_key("pin/r/2") is None
    await store.close()


async def test_what_is_done_is_forgotten_after_its_time(tmp_path: Path) -> None:
    wall = Wall()
    store = SqliteStore(tmp_path, limits=PATIENT, wall=wall)
    await store.open()
    for id in ("done", "dead"):
        await store.enqueue("q", id, b"")
        await store.claim("q", "one", limit=1, lease=60)
    await store.acknowledge("q", "one", "done")
    await store.bury("q", "one", "dead", "reason")
    wall.now += QUEUE_MEMORY + 1
    await store.acknowledge("q", "one", "x")
    await store.bury("q", "one", "x", "")
    assert await store.depth("q") == (0, 0, 0)
    assert await store.enqueue("q", "done", b"")
    await store.close()


async def test_the_clock_is_the_walls(tmp_path: Path) -> None:
    wall = Wall()
    store = SqliteStore(tmp_path, limits=PATIENT, wall=wall)
    await store.open()
    assert await store.tick() == (0, 1_000_000.0)
    await store.close()


async def test_a_restored_backup_is_noticed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, limits=PATIENT)
    await store.open()
    await store.commit([Put("a", b"", None)])
    await store.commit([Put("a", b"", None)])
    assert not store.regressed
    database = sqlite3.connect(tmp_path / "documents.db")
    database.execute("UPDATE revision SET value = 1")
    database.commit()
    database.close()
    await store.tick()
    assert store.regressed
    await store.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evidence.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(ConfigError, match=r"evidence\.db cannot be used: file is not a database"):
        await SqliteStore(tmp_path, limits=PATIENT).open()


async def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "documents.db")
    database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(ConfigError, match="newer gateway \\(layout 9\\)"):
        await SqliteStore(tmp_path, limits=PATIENT).open()


async def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="file/data cannot be used"):
        await SqliteStore(tmp_path / "file" / "data", limits=PATIENT).open()


async def test_a_refused_job_does_not_harm_its_batch(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, limits=PATIENT)
    await store.open()
    calls = [store.commit([Put(f"k{i // 2}", b"%d" % i, 0)]) for i in range(20)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, int) for answer in answers] == [True, False] * 10
    assert [document.value for document in await store.list("")] == [b"%d" % i for i in range(0, 20, 2)]
    await store.close()


def test_it_runs_on_uvloop(tmp_path: Path) -> None:
    async def main() -> int:
        store = SqliteStore(tmp_path, limits=PATIENT)
        await store.open()
        revisions = await asyncio.gather(*[store.commit([Put(f"k{i}", b"", 0)]) for i in range(20)])
        await store.close()
        return max(revisions)

    assert uvloop.run(main()) == 20
