"""Scores into evidence logs: numbered as the fold wants it, each in one transaction with its item's end."""

from __future__ import annotations

import asyncio

import msgspec

from gateway.domain.observation import Batch, Evidence, Pair, Scored, encode_batch
from gateway.errors import GatewayError
from gateway.storage import keys
from gateway.storage.base import Store

KEPT = 256  # rollouts
RECORDS = 5  # attempts to record a score
AGAIN = 1.0  # s between them


class Ledger:
    """A log's batches of one writer are folded in order and once each, so they go out one at a time. After a
    call of which nobody knows what it did, the writer gets a new name rather than a gap in its numbers."""

    def __init__(self, store: Store, queue: str, owner: str) -> None:
        self._store = store
        self._queue = queue
        self._owner = owner
        self._books: dict[str, _Book] = {}
        self._starts = 0

    async def settle(self, id: str, rollout: str, record: Scored | Pair, *more: Evidence) -> bool:
        """`more` is written with it. False if the item is another's by now, or done: then nothing is written.
        A repeated attempt does no harm: the item is done once. Raises what the last one failed with."""
        for attempt in range(1, RECORDS + 1):
            try:
                now = (await self._store.tick()).now
                scored = msgspec.structs.replace(record, judged_at=now)
                return await self._record(id, rollout, (scored, *more), now)
            except GatewayError:
                if attempt == RECORDS:
                    raise
                await asyncio.sleep(AGAIN)
        raise AssertionError

    async def tell(self, id: str, rollout: str, records: tuple[Evidence, ...]) -> bool:
        """What an item that is not scored came to, which may be nothing."""
        if not records:
            return await self._store.acknowledge(self._queue, self._owner, id)
        return await self._record(id, rollout, records, (await self._store.tick()).now)

    async def _record(self, id: str, rollout: str, records: tuple[Evidence, ...], now: float) -> bool:
        while True:
            book = self._books.get(rollout) or self._open(rollout)
            async with book.lock:
                if self._books.get(rollout) is book:  # not given up while this waited
                    return await self._write(book, id, rollout, records, now)

    async def _write(
        self, book: _Book, id: str, rollout: str, records: tuple[Evidence, ...], now: float
    ) -> bool:
        batch = encode_batch(Batch(book.writer, book.sequence + 1, now, records))
        try:
            done = await self._store.acknowledge(
                self._queue, self._owner, id, log=keys.evidence(rollout), values=[batch]
            )
        except GatewayError:
            self._books.pop(rollout, None)
            raise
        book.sequence += done
        return done

    def _open(self, rollout: str) -> _Book:
        if len(self._books) >= KEPT:
            del self._books[next(iter(self._books))]
        self._starts += 1
        book = self._books[rollout] = _Book(f"{self._owner}-{self._starts}")
        return book


class _Book:
    __slots__ = ("lock", "sequence", "writer")

    def __init__(self, writer: str) -> None:
        self.lock = asyncio.Lock()
        self.sequence = 0
        self.writer = writer
