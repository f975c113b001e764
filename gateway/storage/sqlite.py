"""The embedded store: SQLite on one machine, any number of processes.

Three files, so that a rollback never waits behind a batch of evidence, and a request for neither:

- documents.db (synchronous FULL): documents and leases. What was acknowledged survives power loss.
- evidence.db (synchronous NORMAL): keys, logs, queues. What was acknowledged survives the death of every
  process, kill -9 included: it is in the operating system's page cache. A power loss may take the last
  of it, never tear a transaction (https://sqlite.org/pragma.html#pragma_synchronous).
- keys.table, which is not SQLite's: the small keys that a request waits for (`key_table`).

The store's clock is the machine's wall clock.
"""

import sqlite3
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gateway.errors import GatewayError
from gateway.storage import keys as names
from gateway.storage import sqlite_documents as documents
from gateway.storage import sqlite_evidence as evidence
from gateway.storage import sqlite_letters as letters
from gateway.storage.base import (
    LATER,
    Claim,
    Document,
    Feed,
    Fence,
    Later,
    Lease,
    Letter,
    Put,
    Record,
    Tick,
    check_puts,
)
from gateway.storage.limits import DEFAULT_LIMITS, Breaker, Clock, Guard, Limits, Watermark
from gateway.storage.small_keys import SmallKeys
from gateway.storage.sqlite_file import SqliteFile


def _is_small(key: str) -> bool:
    """Whether it is in `keys.table`."""
    return key.startswith(names.SMALL)


class SqliteStore:
    """`directory` is made if it is missing. `wall` is the store's clock (s since the epoch), `clock` the
    breaker's."""

    def __init__(
        self,
        directory: Path,
        *,
        limits: Limits = DEFAULT_LIMITS,
        wall: Clock = time.time,
        clock: Clock = time.monotonic,
    ) -> None:
        busy = 0.75 * limits.call  # give up before the caller does, so that the thread is free again
        self._documents = SqliteFile(
            directory / "documents.db", documents.SCHEMA, synchronous="FULL", busy=busy
        )
        self._evidence = SqliteFile(
            directory / "evidence.db",
            evidence.SCHEMA,
            synchronous="NORMAL",
            busy=busy,
            upgrades=(*evidence.UPGRADES, partial(evidence.upgrade_small, path=directory / "keys.table")),
        )
        self._small = SmallKeys(directory / "keys.table", busy)
        self._now = wall
        self._guard, self._lookup = (
            Guard(
                limit,
                Breaker(failures=limits.failures, cool_down=limits.cool_down, clock=clock),
                (sqlite3.Error, OSError),
            )
            for limit in (limits.call, limits.lookup)
        )
        self._watermark = Watermark()

    @property
    def regressed(self) -> bool:
        return self._watermark.regressed

    async def open(self) -> None:
        try:
            await self._documents.open()
            await self._evidence.open()
            await self._small.open()
        except GatewayError:
            await self.close()
            raise

    async def close(self) -> None:
        await self._small.close()
        await self._evidence.close()
        await self._documents.close()

    # --- documents

    async def get(self, key: str) -> Document | None:
        async with self._guard():
            return await self._documents.read(partial(documents.get, key=key))

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> tuple[Document, ...]:
        job = partial(documents.list_documents, prefix=prefix, after=after, limit=limit)
        async with self._guard():
            return await self._documents.read(job)

    async def commit(self, puts: Sequence[Put], *, fence: Fence | None = None) -> int:
        check_puts(puts)
        async with self._guard():
            revision = await self._documents.write(partial(documents.commit, puts=tuple(puts), fence=fence))
        self._watermark.observe(revision)
        return revision

    async def changes(self, since: int, *, prefixes: Sequence[str], limit: int = 1000) -> Feed:
        job = partial(documents.changes, since=since, prefixes=tuple(prefixes), limit=limit)
        async with self._guard():
            return await self._documents.read(job)

    async def tick(self) -> Tick:
        async with self._guard():
            revision = await self._documents.read(documents.revision)
        self._watermark.observe(revision)
        return Tick(revision, self._now())

    # --- keys

    def get_at_once(self, key: str) -> bytes | Later | None:
        return self._small.near.get_at_once(key, self._now()) if _is_small(key) else LATER

    def set_all_at_once(self, items: Sequence[tuple[str, bytes, float]]) -> tuple[bytes, ...] | Later:
        if not all(_is_small(key) for key, _, _ in items):
            return LATER
        return self._small.near.set_all_at_once(items, self._now())

    async def get_key(self, key: str) -> bytes | None:
        found = self.get_at_once(key)
        if not isinstance(found, Later):
            return found
        async with self._lookup():
            if _is_small(key):
                return await self._small.run(lambda table: table.get(key, self._now()))
            return await self._evidence.read(partial(evidence.get_key, key=key, now=self._now()))

    async def set_if_absent(self, key: str, value: bytes, ttl: float) -> bytes:
        return (await self.set_all_if_absent(((key, value, ttl),)))[0]

    async def set_all_if_absent(self, items: Sequence[tuple[str, bytes, float]]) -> tuple[bytes, ...]:
        small = [item for item in items if _is_small(item[0])]
        others = tuple(item for item in items if not _is_small(item[0]))
        near: tuple[bytes, ...] = ()
        stand: tuple[bytes, ...] = ()
        async with self._guard():
            if small:
                near = await self._small.run(lambda table: table.set_all(small, self._now()))
            if others:
                job = partial(evidence.set_all_if_absent, items=others, now=self._now())
                stand = await self._evidence.write(job)
        winners, rest = iter(near), iter(stand)
        return tuple(next(winners if _is_small(key) else rest) for key, _, _ in items)

    async def touch(self, keys: Sequence[tuple[str, float]]) -> None:
        small = [item for item in keys if _is_small(item[0])]
        others = tuple(item for item in keys if not _is_small(item[0]))
        async with self._guard():
            await self._small.touch(small, self._now())
            if others:
                await self._evidence.write(partial(evidence.touch, keys=others, now=self._now()))

    async def delete_key(self, key: str) -> None:
        async with self._guard():
            if _is_small(key):
                await self._small.run(lambda table: table.delete(key, self._now()))
            else:
                await self._evidence.write(partial(evidence.delete_key, key=key))

    # --- logs

    async def append(self, log: str, values: Sequence[bytes]) -> int:
        async with self._guard():
            return await self._evidence.write(partial(evidence.append, log=log, values=tuple(values)))

    async def read(self, log: str, *, after: int, limit: int = 1000) -> tuple[Record, ...]:
        async with self._guard():
            return await self._evidence.read(partial(evidence.read, log=log, after=after, limit=limit))

    async def trim(self, log: str, *, through: int) -> None:
        deleted = evidence.TRIM
        while deleted == evidence.TRIM:  # a call each: however long the log, no one else waits for it
            async with self._guard():
                deleted = await self._evidence.write(partial(evidence.trim, log=log, through=through))

    # --- queue

    async def enqueue(
        self, queue: str, id: str, value: bytes, *, text: bytes = b"", keep: float = 0.0
    ) -> bool:
        until = self._now() + keep
        job = partial(evidence.enqueue, queue=queue, id=id, value=value, text=text, until=until)
        async with self._guard():
            return await self._evidence.write(job)

    async def forget_texts(self, queue: str) -> int:
        forgotten = 0
        while True:  # a call each, as in `trim`
            async with self._guard():
                some = await self._evidence.write(
                    partial(evidence.forget_texts, queue=queue, now=self._now())
                )
            forgotten += some
            if some < evidence.TRIM:
                return forgotten

    async def claim(self, queue: str, owner: str, *, limit: int, lease: float) -> tuple[Claim, ...]:
        job = partial(evidence.claim, queue=queue, owner=owner, limit=limit, lease=lease, now=self._now())
        async with self._guard():
            return await self._evidence.write(job)

    async def acknowledge(
        self, queue: str, owner: str, id: str, *, log: str = "", values: Sequence[bytes] = ()
    ) -> bool:
        job = partial(
            evidence.acknowledge, queue=queue, owner=owner, id=id, now=self._now(), log=log, values=values
        )
        async with self._guard():
            return await self._evidence.write(job)

    async def bury(self, queue: str, owner: str, id: str, reason: str) -> bool:
        job = partial(evidence.bury, queue=queue, owner=owner, id=id, reason=reason, now=self._now())
        async with self._guard():
            return await self._evidence.write(job)

    async def letters(self, queue: str, *, limit: int) -> tuple[Letter, ...]:
        async with self._guard():
            return await self._evidence.read(partial(letters.letters, queue=queue, limit=limit))

    async def revive(self, queue: str, id: str) -> bool:
        async with self._guard():
            return await self._evidence.write(partial(letters.revive, queue=queue, id=id))

    async def depth(self, queue: str) -> tuple[int, int, int]:
        async with self._guard():
            return await self._evidence.read(partial(evidence.depth, queue=queue, now=self._now()))

    # --- leases

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease | None:
        job = partial(documents.acquire, name=name, owner=owner, ttl=ttl, now=self._now())
        async with self._guard():
            return await self._documents.write(job)

    async def release(self, name: str, owner: str) -> None:
        async with self._guard():
            await self._documents.write(partial(documents.release, name=name, owner=owner))
