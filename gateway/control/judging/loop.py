"""The judge's loop: each item of the queue comes to exactly one record in its rollout's evidence log.

    claim         leased: if this process dies, another takes the item up when the lease has run out
    settled       too late, rollout over, too dear, or its judge died too often: unscored, and no call is made
    ask           one question for each criterion; what cannot be read is asked again, an outage is waited out
    acknowledge   the record is appended and the item is done in one transaction, or neither

Model, rubric and prompt are those that the rollout was first judged by. A failed judgment is `unscored`
with its cause, never a score: `completeness` of the analysis counts those, and the rollout waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Mapping

import msgspec

from gateway.control.judging.asking import Examiner, Judged, Words
from gateway.control.judging.budget import Budget, Spent
from gateway.control.judging.ledger import Ledger
from gateway.control.judging.model import JudgeModel, Reply
from gateway.domain.judging import Item, decode_item
from gateway.domain.observation import Scored
from gateway.domain.rollout import Deployment
from gateway.errors import ConfigError, GatewayError, StoreRevised
from gateway.evals.question import PROMPT_DIGEST
from gateway.evals.rubric import Bench, Rubric
from gateway.prices import PriceList
from gateway.settings import JudgeSettings
from gateway.storage import codec, keys
from gateway.storage.base import Claim, Put, Store

logger = logging.getLogger(__name__)

POLL = 0.25  # s between looks at an empty queue
AGAIN = 1.0  # s between looks at a store that fails
UPKEEP = 1.0  # s: what was spent is written, what runs is looked at again
MARGIN = 10.0  # s of a lease beyond the patience
RECORDS = 5  # attempts to record a score
KEPT = 256  # rollouts
LAST_WORDS = 2.0  # s that judgments under way have at the end


class Judge:
    """`owner` names this process. `nonce` makes a new unguessable word."""

    def __init__(
        self,
        store: Store,
        settings: JudgeSettings,
        rubrics: Mapping[str, Rubric],
        prices: PriceList,
        *,
        owner: str,
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._store = store
        self._settings = settings
        self._rubrics = rubrics
        self._prices = prices
        self._owner = owner
        self._model = JudgeModel(settings)
        self._examiner = Examiner(self._model, attempts=settings.attempts, nonce=nonce)
        self._ledger = Ledger(store, owner)
        self._budget = Budget(store, per_day=settings.usd_per_day, per_rollout=settings.usd_per_rollout)
        self._benches: dict[str, Bench] = {}  # by rollout
        self._running: dict[str, str] = {}  # prompt → rollout, as seen at the last upkeep
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing = False
        check_rubrics(settings, rubrics)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; judgments under way then have a moment, and what is left is claimed by another."""
        upkeep = asyncio.create_task(self._upkeep())
        try:
            while not stop.is_set():
                await self._pause(stop, await self._take())
        finally:
            upkeep.cancel()
            if self._tasks:
                await asyncio.wait((*self._tasks,), timeout=LAST_WORDS)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, upkeep, return_exceptions=True)
            await self._last_flush()
            await self._model.close()

    async def _pause(self, stop: asyncio.Event, taken: int | None) -> None:
        """Until there may be something to take."""
        if len(self._tasks) >= self._settings.concurrency:
            await asyncio.wait((*self._tasks,), timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), AGAIN if taken is None else POLL)

    async def _take(self) -> int | None:
        """Claim as many items as there is room for; None if the store failed."""
        room = self._settings.concurrency - len(self._tasks)
        if room <= 0:
            return 0
        lease = self._settings.patience + MARGIN
        try:
            claims = await self._store.claim(keys.JUDGING, self._owner, limit=room, lease=lease)
        except GatewayError as error:
            self._complain(error)
            return None
        self._failing = False
        for claim in claims:
            task = asyncio.create_task(self._safely(claim))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(claims)

    def _complain(self, error: GatewayError) -> None:
        if not self._failing:
            logger.error("nothing is judged for now: %s", error.message)
        self._failing = True

    async def _safely(self, claim: Claim) -> None:
        """What fails here is taken up again once the lease has run out."""
        try:
            await self._settle(claim)
        except GatewayError as error:
            self._complain(error)
        except Exception:
            logger.exception("an answer could not be judged")

    # --- one item

    async def _settle(self, claim: Claim) -> None:
        try:
            item = decode_item(claim.value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            await self._store.bury(keys.JUDGING, self._owner, claim.id, f"cannot be read: {error}")
            return
        now = (await self._store.tick()).now
        bench = await self._bench(item)
        cause = await self._no_judgment(item, claim.attempt, bench, now)
        judged = Judged(None, cause) if cause else await self._judge(item, bench, now)
        said = Spent(unscored={judged.cause: 1}) if judged.score is None else Spent(scored=1)
        record = Scored(item.unit, judged.score, now, judged.cause, bench.digest, judged.weighted)
        if await self._record(claim.id, item, record):
            self._budget.add(item.rollout, now, said)

    async def _record(self, id: str, item: Item, score: Scored) -> bool:
        """A repeated attempt does no harm: the item is done once. Raises what the last one failed with."""
        for attempt in range(1, RECORDS + 1):
            try:
                now = (await self._store.tick()).now
                record = msgspec.structs.replace(score, judged_at=now)
                return await self._ledger.record(id, item.rollout, record, now)
            except GatewayError:
                if attempt == RECORDS:
                    raise
                await asyncio.sleep(AGAIN)
        raise AssertionError

    async def _no_judgment(self, item: Item, attempt: int, bench: Bench, now: float) -> str:
        """Why no call is made for it; "" if it is to be judged."""
        if now >= item.due_at:
            return "late"
        if attempt > self._settings.claims:
            return "judge_died"
        if bench.prompt != PROMPT_DIGEST:
            return "judge_changed"  # by an upgrade of the gateway: scores would not be comparable
        if not await self._runs(item):
            return "ended"
        return await self._budget.exceeded(item.rollout, now)

    async def _judge(self, item: Item, bench: Bench, now: float) -> Judged:
        return await self._examiner.judge(
            bench,
            Words(item.question, item.answer),
            patience=min(self._settings.patience, item.due_at - now),
            charge=lambda reply: self._charge(item, bench, reply, now),
        )

    def _charge(self, item: Item, bench: Bench, reply: Reply, now: float) -> None:
        cost = self._prices.cost(bench.model, reply.usage, now=now, base_url=self._settings.base_url)
        spent = Spent(calls=1, unpriced=1) if cost is None else Spent(usd=cost.paid, calls=1)
        self._budget.add(item.rollout, now, spent)

    # --- what a rollout is judged by

    async def _bench(self, item: Item) -> Bench:
        """Frozen by the first item of the rollout, whichever process has it."""
        known = self._benches.get(item.rollout)
        while known is None:
            key = keys.bench(item.rollout)
            document = await self._store.get(key)
            if document is not None:
                known = codec.decode_document(document, Bench)
                break
            bench = Bench(self._settings.model, self._rubrics[self._rubric_of(item.prompt)], PROMPT_DIGEST)
            try:
                await self._store.commit([Put(key, codec.encode(bench), 0)])
            except StoreRevised:
                continue
            logger.info("%s of %s is judged by %s, rubric %s", item.rollout, item.prompt, *_shown(bench))
            known = bench
        if len(self._benches) >= KEPT:
            self._benches.clear()
        self._benches[item.rollout] = known
        return known

    def _rubric_of(self, prompt: str) -> str:
        return self._settings.by_prompt.get(prompt, self._settings.rubric)

    async def _runs(self, item: Item) -> bool:
        running = self._running.get(item.prompt)
        if running is None:
            document = await self._store.get(keys.deployment(item.prompt))
            deployment = None if document is None else codec.decode_document(document, Deployment)
            rollout = None if deployment is None else deployment.rollout
            running = self._running[item.prompt] = "" if rollout is None else rollout.id
        return running == item.rollout

    # --- upkeep

    async def _upkeep(self) -> None:
        while True:
            await asyncio.sleep(UPKEEP)
            try:
                await self._budget.flush()
            except GatewayError as error:
                self._complain(error)
            self._running.clear()

    async def _last_flush(self) -> None:
        try:
            await self._budget.flush()
        except GatewayError as error:
            logger.warning("what judging cost last is not written: %s", error.message)


def check_rubrics(settings: JudgeSettings, rubrics: Mapping[str, Rubric]) -> None:
    """Raises `ConfigError` for a rubric that is named and not there."""
    for name in (settings.rubric, *settings.by_prompt.values()):
        if name not in rubrics:
            known = ", ".join(sorted(rubrics)) or "none"
            raise ConfigError(f"judge: there is no rubric {name!r} in {settings.rubrics}; there is {known}")


def _shown(bench: Bench) -> tuple[str, str]:
    return bench.model, bench.rubric.name
