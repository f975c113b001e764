"""The store of a fleet: one Redis 7 or newer, with Sentinel if it must fail over.

Every operation that reads or writes more than one key is one Lua script (lua/), so it is atomic and one
round trip. All keys carry the same hash tag, `{prefix}`. The store's clock is the server's.

What was acknowledged survives kill -9 with `appendfsync always`; with `everysec` the last second may be
lost, and so may the last writes in a failover. That is not prevented but detected: see `regressed`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from gateway.errors import FenceLost, StoreRevised
from gateway.storage.base import (
    LATER,
    QUEUE_MEMORY,
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
from gateway.storage.redis_client import check_server, connect

LUA = Path(__file__).parent / "lua"
LEAP = 1_000_000  # revisions; more than a server can lose at once
FORGET = 1000  # texts that one script deletes
SPAN = 10_000  # documents of the feed that one script looks at: some 5 ms


class RedisStore:
    """`url`: see `redis_client`. `prefix` is the fleet's. At most `connections` are open at once; further
    calls wait for one, within their limit."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "pc",
        accept_data_loss: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        connections: int = 32,
        clock: Clock = time.monotonic,
    ) -> None:
        self._tag = f"{{{prefix}}}:"
        self._accept_data_loss = accept_data_loss
        self._client, self._closing = connect(url, limit=limits.call)
        self._connections = asyncio.Semaphore(connections)
        self._scripts = {
            path.stem: self._client.register_script(path.read_text()) for path in LUA.glob("*.lua")
        }
        guards = [
            Guard(
                limit,
                Breaker(failures=limits.failures, cool_down=limits.cool_down, clock=clock),
                (RedisError, OSError),
            )
            for limit in (limits.call, limits.lookup)
        ]
        self._guard, self._lookup = guards
        self._watermark = Watermark()

    @property
    def regressed(self) -> bool:
        return self._watermark.regressed

    async def open(self) -> None:
        """Raises `ConfigError` if the server is not to be trusted with data."""
        async with self._limited(self._guard):
            await check_server(self._client, accept_data_loss=self._accept_data_loss)

    async def close(self) -> None:
        for client in self._closing:
            await client.aclose()

    # --- documents

    async def get(self, key: str) -> Document | None:
        row = await self._run("get", ("documents", "feed"), key)
        return None if row is None else Document(key, int(row[0]), row[1])

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> tuple[Document, ...]:
        low = b"(" + after.encode() if after >= prefix else b"[" + prefix.encode()
        high = b"(" + prefix.encode() + b"\xff"  # no UTF-8 holds this byte: the end of a prefix
        row = await self._run("list", ("documents", "feed", "index"), low, high, limit)
        return _documents(row)

    async def commit(self, puts: Sequence[Put], *, fence: Fence | None = None) -> int:
        check_puts(puts)
        lease, token = ("", "") if fence is None else (fence.lease, str(fence.token))
        arguments: list[Any] = [token, LEAP]
        for put in puts:
            arguments += (put.key, put.value, "" if put.expected is None else put.expected)
        names = ("meta", "documents", "feed", "index", f"lease:{lease}")
        outcome, *details = await self._run("commit", names, *arguments)
        if outcome == b"fenced" and fence is not None:
            newest = int(details[0])
            raise FenceLost(f"lease {lease!r} has token {newest} now, not {fence.token}: another holds it")
        if outcome == b"revised":
            key, found = details[0].decode(), int(details[1])
            expected = next(put.expected for put in puts if put.key == key)
            raise StoreRevised(
                f"document {key!r} is at revision {found}, not {expected}: read it again and decide anew",
                param=key,
            )
        revision, before, after = (int(detail) for detail in details)
        self._watermark.observe(revision, (before, after))
        return revision

    async def changes(self, since: int, *, prefixes: Sequence[str], limit: int = 1000) -> Feed:
        found: dict[str, Document] = {}
        end = False
        while not end and len(found) < limit:
            arguments = (since, limit - len(found), SPAN, *prefixes)
            row = await self._run("changes", ("meta", "documents", "feed"), *arguments)
            since, end = int(row[0]), bool(int(row[1]))
            for document in _documents(row[2:]):
                found.pop(document.key, None)  # changed again since the last stretch: its place is here now
                found[document.key] = document
        return Feed(since, tuple(found.values()))

    async def tick(self) -> Tick:
        row = await self._run("tick", ("meta",))
        revision, seconds, microseconds, before, after = (int(field) for field in row)
        self._watermark.observe(revision, (before, after))
        return Tick(revision, seconds + microseconds / 1e6)

    # --- keys

    def get_at_once(self, key: str) -> Later:  # it is a network away
        return LATER

    def set_all_at_once(self, items: Sequence[tuple[str, bytes, float]]) -> Later:
        return LATER

    async def get_key(self, key: str) -> bytes | None:
        async with self._limited(self._lookup):
            value: Any = await self._client.get(self._name(f"key:{key}"))
        return None if value is None else bytes(value)

    async def set_if_absent(self, key: str, value: bytes, ttl: float) -> bytes:
        return (await self.set_all_if_absent(((key, value, ttl),)))[0]

    async def set_all_if_absent(self, items: Sequence[tuple[str, bytes, float]]) -> tuple[bytes, ...]:
        if not items:
            return ()
        async with self._limited(self._guard), self._client.pipeline(transaction=False) as pipeline:
            for key, value, ttl in items:
                pipeline.set(self._name(f"key:{key}"), value, nx=True, get=True, px=_milliseconds(ttl))
            earlier: list[Any] = await pipeline.execute()
        return tuple(
            [item[1] if found is None else bytes(found) for item, found in zip(items, earlier, strict=True)]
        )

    async def touch(self, keys: Sequence[tuple[str, float]]) -> None:
        if not keys:
            return
        async with self._limited(self._guard), self._client.pipeline(transaction=False) as pipeline:
            for key, ttl in keys:
                pipeline.pexpire(self._name(f"key:{key}"), _milliseconds(ttl))
            await pipeline.execute()

    async def delete_key(self, key: str) -> None:
        async with self._limited(self._guard):
            await self._client.delete(self._name(f"key:{key}"))

    # --- logs

    async def append(self, log: str, values: Sequence[bytes]) -> int:
        return int(await self._run("append", (f"log:{log}", "positions"), log, *values))

    async def read(self, log: str, *, after: int, limit: int = 1000) -> tuple[Record, ...]:
        async with self._limited(self._guard):
            rows: Any = await self._client.xrange(self._name(f"log:{log}"), min=f"({after}-0", count=limit)
        return tuple(Record(int(id.partition(b"-")[0]), fields[b""]) for id, fields in rows)

    async def trim(self, log: str, *, through: int) -> None:
        async with self._limited(self._guard):
            await self._client.xtrim(self._name(f"log:{log}"), minid=f"{through + 1}-0", approximate=False)

    # --- queue

    async def enqueue(
        self, queue: str, id: str, value: bytes, *, text: bytes = b"", keep: float = 0.0
    ) -> bool:
        names = (*_queue(queue, "values", "free", "done"), "meta", *_queue(queue, "texts", "until"))
        return bool(await self._run("enqueue", names, id, value, text, keep))

    async def forget_texts(self, queue: str) -> int:
        forgotten = 0
        while True:
            some = int(await self._run("forget_texts", _queue(queue, "texts", "until"), FORGET))
            forgotten += some
            if some < FORGET:
                return forgotten

    async def claim(self, queue: str, owner: str, *, limit: int, lease: float) -> tuple[Claim, ...]:
        names = _queue(queue, "values", "free", "claimed", "owners", "attempts", "texts", "until")
        row = await self._run("claim", names, owner, limit, lease)
        rows = [row[i : i + 4] for i in range(0, len(row), 4)]
        return tuple(Claim(id.decode(), value, int(tried), text) for id, value, tried, text in rows)

    async def acknowledge(
        self, queue: str, owner: str, id: str, *, log: str = "", values: Sequence[bytes] = ()
    ) -> bool:
        names = (*_queue(queue, "values", "claimed", "owners", "attempts", "done"), f"log:{log}", "positions")
        names = (*names, *_queue(queue, "texts", "until"))
        return bool(await self._run("acknowledge", names, id, owner, QUEUE_MEMORY, log, *values))

    async def bury(self, queue: str, owner: str, id: str, reason: str) -> bool:
        names = _queue(queue, "values", "claimed", "owners", "attempts", "dead", "reasons")
        return bool(await self._run("bury", names, id, owner, QUEUE_MEMORY, reason))

    async def letters(self, queue: str, *, limit: int) -> tuple[Letter, ...]:
        row = await self._run("letters", _queue(queue, "dead", "reasons", "attempts"), limit)
        rows = [row[i : i + 4] for i in range(0, len(row), 4)]
        return tuple(Letter(id.decode(), float(at), why.decode(), int(tried)) for id, at, why, tried in rows)

    async def revive(self, queue: str, id: str) -> bool:
        names = (*_queue(queue, "dead", "reasons", "attempts", "free"), "meta")
        return bool(await self._run("revive", names, id))

    async def depth(self, queue: str) -> tuple[int, int, int]:
        free, claimed, dead = await self._run("depth", _queue(queue, "free", "claimed", "dead"))
        return int(free), int(claimed), int(dead)

    # --- leases

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease | None:
        row = await self._run("acquire", (f"lease:{name}",), owner, ttl)
        return None if row is None else Lease(name, int(row[0]), float(row[1]))

    async def release(self, name: str, owner: str) -> None:
        await self._run("release", (f"lease:{name}",), owner)

    # --- how every call runs

    def _name(self, name: str) -> str:
        return self._tag + name

    async def _run(self, script: str, names: Sequence[str], *arguments: Any) -> Any:
        """EVALSHA; redis-py loads the script where the server does not know it yet."""
        operation: AsyncScript = self._scripts[script]
        async with self._limited(self._guard):
            return await operation(keys=[self._name(name) for name in names], args=arguments)

    @asynccontextmanager
    async def _limited(self, guard: Guard) -> AsyncIterator[None]:
        async with guard(), self._connections:
            yield


def _queue(queue: str, *parts: str) -> tuple[str, ...]:
    return tuple(f"queue:{queue}:{part}" for part in parts)


def _documents(row: Sequence[bytes]) -> tuple[Document, ...]:
    return tuple(Document(row[i].decode(), int(row[i + 1]), row[i + 2]) for i in range(0, len(row), 3))


def _milliseconds(ttl: float) -> int:
    return max(1, round(ttl * 1000))
