"""Evidence is kept for a time after its rollout has ended, or until all logs together are too large.

    kept/{rollout}   written with the start; then only by the controller's sweep, under its fence

Words that wait for the judge go when their own time is over. What is too old goes wholly. What is too much
goes from the rollouts that ended first, then from the beginning of the largest that run, but never beyond
their checkpoint, from which a successor folds on. A log is marked as cut before it is cut, so a replay
never takes a part for the whole. Sizes are those of folded batches.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from gateway.control.case import Case, Checkpoint
from gateway.control.registry import list_all
from gateway.domain.rollout import Rollout
from gateway.storage import codec, keys
from gateway.storage.base import Documents, Fence, Put, Store

logger = logging.getLogger(__name__)

SWEEP = 60.0  # s between sweeps
STEP = 100  # batches read at once, each at most some 15 KB
END = 2**62  # a position after every other


class Keep(NamedTuple):
    """`seconds` after the end of a rollout; `size`: bytes of the evidence of all rollouts."""

    seconds: float = 7 * 86_400.0
    size: int = 2 * 1024**3


WEEK = Keep()


class Kept(msgspec.Struct, frozen=True):
    """What is left of a rollout's evidence. `cut`: what is up to this position in its log is gone, `cut_size`
    bytes. `size`: bytes of all batches that were folded until its end at `ended_at` (store time, s; 0: that
    has not been seen yet). `gone`: nothing is left, of its decisions neither."""

    prompt: str
    cut: int = 0
    cut_size: int = 0
    size: int = 0
    ended_at: float = 0.0
    gone: bool = False

    @property
    def left(self) -> int:
        return self.size - self.cut_size


async def read_kept(store: Documents, rollout: str) -> Kept | None:
    """None: a rollout by hand, which leaves no evidence."""
    document = await store.get(keys.kept(rollout))
    return None if document is None else codec.decode_document(document, Kept)


class Retention:
    def __init__(self, store: Store, keep: Keep) -> None:
        self._store = store
        self._keep = keep

    async def sweep(self, cases: Mapping[str, Case], fence: Fence) -> None:
        """`cases`: the rollouts that are being folded. Raises `GatewayError`; the next sweep goes on."""
        for queue in (keys.JUDGING, keys.SHADOWING, keys.TRIAGE):
            await self._store.forget_texts(queue)
        now = (await self._store.tick()).now
        ended: dict[str, Kept] = {}
        size = 0
        for document in await list_all(self._store, keys.KEPT):
            id, kept = document.key.removeprefix(keys.KEPT), codec.decode_document(document, Kept)
            if id in cases:
                size += cases[id].size - kept.cut_size
                continue
            if not kept.ended_at:
                kept = await self._end(id, kept, fence)
            if kept.gone or not kept.ended_at:
                continue
            if now >= kept.ended_at + self._keep.seconds:
                await self._remove(id, kept, fence)
            else:
                ended[id] = kept
                size += kept.left
        await self._shrink(size - self._keep.size, ended, cases, fence)

    async def _end(self, id: str, kept: Kept, fence: Fence) -> Kept:
        """Note that a rollout has ended, if it has; a controller that died may have left its state."""
        archived = await self._store.get(keys.rollout(kept.prompt, id))
        if archived is None:
            return kept
        kept = replace(kept, ended_at=codec.decode_document(archived, Rollout).ended_at)
        puts = []
        stored = await self._store.get(keys.checkpoint(id))
        if stored is not None:
            last = codec.decode_document(stored, Checkpoint)
            kept = replace(kept, size=last.size)
            if last.evidence:
                puts.append(Put(stored.key, codec.encode(Checkpoint(0, b"", size=last.size)), None))
        puts.append(Put(keys.kept(id), codec.encode(kept), None))
        await self._store.commit(puts, fence=fence)
        return kept

    async def _remove(self, id: str, kept: Kept, fence: Fence) -> None:
        """Its time is over."""
        await self._mark(id, replace(kept, cut=END, cut_size=kept.size), fence)
        await self._store.trim(keys.evidence(id), through=END)
        await self._store.trim(keys.decisions(id), through=END)
        await self._mark(id, replace(kept, cut=END, cut_size=kept.size, gone=True), fence)
        logger.info("the evidence of %s is removed: its rollout has long ended", id)

    async def _shrink(
        self, excess: int, ended: Mapping[str, Kept], cases: Mapping[str, Case], fence: Fence
    ) -> None:
        """Free `excess` bytes, as far as there are any to be freed."""
        for id, kept in sorted(ended.items(), key=lambda item: item[1].ended_at):
            if excess <= 0:
                return
            if kept.left > 0:
                await self._mark(id, replace(kept, cut=END, cut_size=kept.size), fence)
                await self._store.trim(keys.evidence(id), through=END)
                logger.warning("the evidence of %s is removed: all logs together are too large", id)
                excess -= kept.left
        for id, case in sorted(cases.items(), key=lambda item: -item[1].size):
            if excess <= 0:
                return
            excess -= await self._behead(id, case.checkpointed, excess, fence)

    async def _behead(self, id: str, through: int, excess: int, fence: Fence) -> int:
        """Cut about `excess` bytes from the beginning of a log, at most what is up to `through`; returns how
        many."""
        kept = await read_kept(self._store, id)
        if kept is None:
            return 0
        freed, position = 0, kept.cut
        while freed < excess and position < through:
            page = await self._store.read(keys.evidence(id), after=position, limit=STEP)
            page = tuple(record for record in page if record.position <= through)
            if not page:
                break
            for record in page:
                position = record.position
                freed += len(record.value)
                if freed >= excess:
                    break
        if freed:
            await self._mark(id, replace(kept, cut=position, cut_size=kept.cut_size + freed), fence)
            await self._store.trim(keys.evidence(id), through=position)
            logger.warning(
                "evidence of %s up to %d is removed: all logs together are too large", id, position
            )
        return freed

    async def _mark(self, id: str, kept: Kept, fence: Fence) -> None:
        await self._store.commit([Put(keys.kept(id), codec.encode(kept), None)], fence=fence)
