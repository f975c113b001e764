"""Anchors: answers that the judge of each running rollout scores again now and then (`evals.drift`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence

from gateway.control.judging.asking import Examiner, Words
from gateway.control.judging.budget import Budget, Spent
from gateway.control.judging.model import JudgeModel, Reply
from gateway.control.judging.pace import running_rollouts
from gateway.errors import GatewayError
from gateway.evals.calibration import Labelled
from gateway.evals.drift import Anchors, anchor_of, begun, scored_again
from gateway.evals.question import PROMPT_DIGEST
from gateway.evals.rubric import Bench
from gateway.prices import PriceList
from gateway.settings import JudgeSettings
from gateway.storage import codec, keys
from gateway.storage.base import Put, Store
from gateway.telemetry.metrics import Sample

logger = logging.getLogger(__name__)

LOOK = 5.0  # s between looks at what is due
AGAIN = 60.0  # s until a judge that gave too few scores to begin with is tried again
LEASE = 30.0  # s; it is renewed with each bench


class Watch:
    """`anchors`: items by rubric. One process in a fleet scores them, by a lease."""

    def __init__(
        self,
        store: Store,
        settings: JudgeSettings,
        anchors: Mapping[str, Sequence[Labelled]],
        prices: PriceList,
        examiner: tuple[Examiner, JudgeModel],
        *,
        owner: str,
    ) -> None:
        self._store = store
        self._settings = settings
        self._anchors = anchors
        self._prices = prices
        self._examiner, self._model = examiner
        self._owner = owner
        self._budget = Budget(store, per_day=settings.usd_per_day, per_rollout=0.0)
        self._tried: dict[str, float] = {}  # benches that could not be begun, and when
        self._shifts: dict[str, float] = {}  # by rubric
        self._failing = False

    async def run(self, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set() and self._anchors:
                await self._try_turn()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK)
        finally:
            with contextlib.suppress(GatewayError):  # else it runs out by itself
                await self._store.release(keys.ANCHORER, self._owner)
            await self._model.close()

    def shifts(self) -> list[Sample]:
        return [("judge_anchor_shift", (rubric,), (shift,)) for rubric, shift in self._shifts.items()]

    async def _try_turn(self) -> None:
        try:
            await self.turn()
            self._failing = False
        except GatewayError as error:
            if not self._failing:
                logger.error("no anchors are scored for now: %s", error.message)
            self._failing = True

    async def turn(self) -> None:
        """Score the anchors of every bench that is due. Raises `GatewayError`."""
        if await self._store.acquire(keys.ANCHORER, self._owner, LEASE) is None:
            return
        now = (await self._store.tick()).now
        done = set()
        for id in await running_rollouts(self._store):
            document = await self._store.get(keys.bench(id))
            bench = None if document is None else codec.decode_document(document, Bench)
            if bench is None or bench.digest in done or bench.prompt != PROMPT_DIGEST:
                continue
            done.add(bench.digest)
            await self._attend(bench, now)

    async def _attend(self, bench: Bench, now: float) -> None:
        items = self._anchors.get(bench.rubric.name, ())
        document = await self._store.get(keys.anchors(bench.digest))
        before = None if document is None else codec.decode_document(document, Anchors)
        wait = self._settings.anchor_seconds
        due = (
            before.at + wait if before is not None else self._tried.get(bench.digest, now) + min(wait, AGAIN)
        )
        if not items or (now < due and (before is not None or bench.digest in self._tried)):
            return
        self._budget.look_again()
        if await self._budget.exceeded("", now):
            return
        scores = await self._scores(bench, items, now)
        await self._budget.flush()
        if before is None:
            after = begun(bench.digest, bench.rubric.name, scores, now)
        else:
            after = scored_again(before, scores, now, self._settings.anchor_shift)
        if after is None:
            self._tried[bench.digest] = now
            return
        if after.shift is not None:
            self._shifts[bench.rubric.name] = after.shift.estimate
        if after.drifting and not (before is not None and before.drifting):
            logger.error(
                "the judge %s, rubric %s, drifts: see `judge status`", bench.model, bench.rubric.name
            )
        await self._store.commit([Put(keys.anchors(bench.digest), codec.encode(after), None)])

    async def _scores(self, bench: Bench, items: Sequence[Labelled], now: float) -> dict[str, float | None]:
        room = asyncio.Semaphore(self._settings.concurrency)

        def charge(reply: Reply) -> None:
            cost = self._prices.cost(bench.model, reply.usage, now=now, base_url=self._settings.base_url)
            spent = Spent(calls=1, unpriced=1) if cost is None else Spent(usd=cost.paid, calls=1)
            self._budget.add("", now, spent)

        async def one(item: Labelled) -> float | None:
            async with room:
                await self._store.acquire(keys.ANCHORER, self._owner, LEASE + self._settings.patience)
                words = Words(item.question, item.answer)
                patience = self._settings.patience
                return (await self._examiner.judge(bench, words, patience=patience, charge=charge)).score

        found = await asyncio.gather(*(one(item) for item in items))
        return {anchor_of(item): score for item, score in zip(items, found, strict=True)}
