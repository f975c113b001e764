"""One SQLite file in WAL mode: a thread that writes and a thread that reads, each with its own connection.

Statements never run on the event loop, and a reader never waits for a writer (https://sqlite.org/wal.html).
Calls that arrive while a transaction runs are put together into the next one, so that a burst costs one
commit. All jobs of a batch stand or fall together when SQLite fails; a job that refuses (a lost
compare-and-set) must do so before its first write, and then only that job fails.
"""

import asyncio
import contextlib
import fcntl
import sqlite3
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Literal, TypeVar

from gateway.errors import ConfigError, GatewayError, StoreUnavailable

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
Batch = list[tuple[Job[Any], asyncio.Future[Any]]]
Answer = tuple[Any, Exception | None]

MAX_BATCH = 256  # jobs in one transaction
OLDEST_SQLITE = (3, 35)  # RETURNING
WAL_BYTES = 64 * 1024 * 1024  # what a WAL file shrinks to once it has been larger
WAL_PAGES = 4000  # written before they are taken over into the file: pages that change again are copied once


class Connection:
    """A connection and its thread. All but the jobs happens on the event loop, so nothing needs a lock; a
    queue and one call back are half of what an executor and its futures cost."""

    def __init__(self, database: sqlite3.Connection, begin: str, name: str) -> None:
        self._database = database
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._waiting: Batch = []
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._idle = asyncio.Event()
        self._idle.set()
        Thread(target=self._work, name=name, daemon=True).start()

    async def run(self, job: Job[T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((job, future))
        if self._idle.is_set():
            self._start_batch()
        return await future

    async def close(self) -> None:
        """Waits for what is under way and what waits."""
        await self._idle.wait()
        self._batches.put(None)
        await self._ended

    def _start_batch(self) -> None:
        wanted = [item for item in self._waiting if not item[1].done()]  # nobody waits for the others
        batch, self._waiting = wanted[:MAX_BATCH], wanted[MAX_BATCH:]
        if batch:
            self._idle.clear()
            self._batches.put(batch)
        else:
            self._idle.set()

    def _deliver(self, batch: Batch, answers: list[Answer]) -> None:
        for (_, future), (answer, error) in zip(batch, answers, strict=True):
            if future.done():
                continue
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)
        self._start_batch()

    # --- in the thread

    def _work(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone, and everyone who waited
            while (batch := self._batches.get()) is not None:
                answers = self._transact([job for job, _ in batch])
                self._loop.call_soon_threadsafe(self._deliver, batch, answers)
            self._database.close()
            self._loop.call_soon_threadsafe(self._ended.set_result, None)

    def _transact(self, jobs: list[Job[Any]]) -> list[Answer]:
        try:
            return self._answers(jobs)
        except Exception as failure:  # noqa: BLE001  (raised again where it is awaited)
            return [(None, failure)] * len(jobs)

    def _answers(self, jobs: list[Job[Any]]) -> list[Answer]:
        database = self._database
        answers: list[Answer] = []
        try:
            database.execute(self._begin)
            for job in jobs:
                try:
                    answers.append((job(database), None))
                except GatewayError as refusal:
                    answers.append((None, refusal))
            database.execute("COMMIT")
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")
        return answers


class SqliteFile:
    """`busy` is how long, s, a statement waits for another process's transaction. `upgrades` lead from each
    older layout to the next."""

    def __init__(
        self,
        path: Path,
        schema: tuple[str, ...],
        *,
        synchronous: Literal["FULL", "NORMAL"],
        busy: float,
        upgrades: tuple[Callable[[sqlite3.Connection], None], ...] = (),
    ) -> None:
        self._path = path
        self._schema = schema
        self._upgrades = upgrades
        self._synchronous = synchronous
        self._busy = busy
        self._reader: Connection | None = None
        self._writer: Connection | None = None

    async def open(self) -> None:
        """Raises `ConfigError` if the file cannot be used, `StoreUnavailable` if it is locked."""
        writer, reader = await asyncio.to_thread(self._prepare)
        self._writer = Connection(writer, "BEGIN IMMEDIATE", f"{self._path.stem}-writer")
        self._reader = Connection(reader, "BEGIN DEFERRED", f"{self._path.stem}-reader")

    async def close(self) -> None:
        connections = (self._reader, self._writer)
        self._reader = self._writer = None  # who comes now is told at once
        for connection in connections:
            if connection is not None:
                await connection.close()

    async def read(self, job: Job[T]) -> T:
        """Run `job` on one consistent state: all that was acknowledged before this call, perhaps more."""
        return await self._opened(self._reader).run(job)

    async def write(self, job: Job[T]) -> T:
        """Run `job` in a transaction that is committed when this returns."""
        return await self._opened(self._writer).run(job)

    def _opened(self, connection: Connection | None) -> Connection:
        if connection is None:
            raise StoreUnavailable(f"the store {self._path} is not open")
        return connection

    def _prepare(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise ConfigError(f"SQLite {sqlite3.sqlite_version} is too old: use 3.35 or newer")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Switching a file to WAL and making its tables is not safe against others who do the same:
            # SQLITE_BUSY comes at once there, whatever the busy time-out says.
            with (self._path.parent / "open.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                writer = self._connect()
                self._create(writer)
                return writer, self._connect()
        except OSError as error:
            raise ConfigError(f"the store's directory {self._path.parent} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"the store's file {self._path} cannot be used: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self._path,
            timeout=self._busy,
            isolation_level=None,  # transactions are begun and ended here
            check_same_thread=False,  # opened in one thread, then used in one other
            cached_statements=256,
        )
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {self._synchronous}")
        database.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        database.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        return database

    def _create(self, database: sqlite3.Connection) -> None:
        (found,) = database.execute("PRAGMA user_version").fetchone()
        layout = len(self._upgrades) + 1
        if found == layout:
            return
        if found > layout:
            raise ConfigError(f"{self._path} was written by a newer gateway (layout {found}): use that one")
        database.execute("BEGIN IMMEDIATE")
        if found == 0:
            for statement in self._schema:
                database.execute(statement)
        else:
            for upgrade in self._upgrades[found - 1 :]:
                upgrade(database)
        database.execute(f"PRAGMA user_version = {layout}")
        database.execute("COMMIT")
