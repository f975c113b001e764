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
import secrets
from collections.abc import Callable, Mapping

import msgspec

from gateway.control.judging.asking import Examiner, Judged, Words
from gateway.control.judging.benches import Benches
from gateway.control.judging.budget import Budget, Spent
from gateway.control.judging.claims import Claims
from gateway.control.judging.ledger import Ledger
from gateway.control.judging.model import JudgeModel, Reply
from gateway.control.judging.pace import Pacer
from gateway.control.judging.tracing import judgment
from gateway.control.judging.watching import Watcher
from gateway.domain.judging import Item, decode_item
from gateway.domain.observation import Scored
from gateway.domain.rollout import Deployment
from gateway.evals.question import PROMPT_DIGEST
from gateway.evals.rubric import Bench, Rubric
from gateway.prices import PriceList
from gateway.settings import JudgeSettings
from gateway.storage import codec, keys
from gateway.storage.base import Claim, Store
from gateway.telemetry.tracer import Tracer

MARGIN = 10.0  # s of a lease beyond the patience


class Judge:
    """`owner` names this process. `nonce` makes a new unguessable word. `tracer` takes spans of judgments;
    `watcher` looks at the same answers for safety."""

    def __init__(
        self,
        store: Store,
        settings: JudgeSettings,
        rubrics: Mapping[str, Rubric],
        prices: PriceList,
        *,
        owner: str,
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
        tracer: Tracer | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self._store = store
        self._watcher = watcher
        self._tracer = tracer or Tracer()
        self.settings = settings
        self._prices = prices
        self._owner = owner
        self._model = JudgeModel(settings)
        self._examiner = Examiner(self._model, attempts=settings.attempts, nonce=nonce)
        self._ledger = Ledger(store, keys.JUDGING, owner)
        self._budget = Budget(store, per_day=settings.usd_per_day, per_rollout=settings.usd_per_rollout)
        self._pacer = Pacer(
            store,
            self._budget,
            owner,
            per_day=settings.usd_per_day,
            per_rollout=settings.usd_per_rollout,
        )
        self._new = Spent()  # since it was last told
        self._benches = Benches(store, settings, rubrics, prompt=PROMPT_DIGEST, key=keys.bench)
        self._running: dict[str, str] = {}  # prompt → rollout, as seen at the last upkeep
        self._claims = Claims(
            store,
            keys.JUDGING,
            self._settle,
            self._upkeep,
            owner=owner,
            room=settings.concurrency,
            lease=settings.patience + MARGIN,
            what="judging",
        )

    @property
    def under_way(self) -> int:
        """Judgments that have begun."""
        return self._claims.under_way

    def news(self) -> Spent:
        """What was done since the last time."""
        new, self._new = self._new, Spent()
        return new

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; judgments under way then have a moment, and what is left is claimed by another."""
        try:
            await self._claims.run(stop)
        finally:
            await self._model.close()
            if self._watcher is not None:
                await self._watcher.close()

    # --- one item

    async def _settle(self, claim: Claim) -> None:
        try:
            item = decode_item(claim.value, claim.text)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            await self._store.bury(keys.JUDGING, self._owner, claim.id, f"cannot be read: {error}")
            return
        now = (await self._store.tick()).now
        self._pacer.backlog.saw(item, now)
        bench = await self._benches.of(item.prompt, item.rollout)
        cause = await self._no_judgment(item, claim.attempt, bench, now)
        judged = Judged(None, cause) if cause else await self._judge(item, bench, now)
        said = Spent(unscored={judged.cause: 1}) if judged.score is None else Spent(scored=1)
        record = Scored(item.unit, judged.score, now, judged.cause, bench.digest, judged.weighted)
        told = () if self._watcher is None or cause else await self._watcher.look(item, now)
        if await self._ledger.settle(claim.id, item.rollout, record, *told):
            self._add(item.rollout, now, said)
            if self._watcher is not None:
                await self._watcher.keep(item, told, judged.score)

    async def _no_judgment(self, item: Item, attempt: int, bench: Bench, now: float) -> str:
        """Why no call is made for it; "" if it is to be judged."""
        if now >= item.due_at:
            return "late"
        if not item.answer:
            return "expired"  # its words may be kept no longer
        if attempt > self.settings.claims:
            return "judge_died"
        if bench.prompt != PROMPT_DIGEST:
            return "judge_changed"  # by an upgrade of the gateway: scores would not be comparable
        if not await self._runs(item):
            return "ended"
        return await self._budget.exceeded(item.rollout, now)

    async def _judge(self, item: Item, bench: Bench, now: float) -> Judged:
        with judgment(self._tracer, item, bench) as done:
            return done(
                await self._examiner.judge(
                    bench,
                    Words(item.question, item.answer),
                    patience=min(self.settings.patience, item.due_at - now),
                    charge=lambda reply: self._charge(item, bench, reply, now),
                )
            )

    def _charge(self, item: Item, bench: Bench, reply: Reply, now: float) -> None:
        cost = self._prices.cost(bench.model, reply.usage, now=now, base_url=self.settings.base_url)
        spent = Spent(calls=1, unpriced=1) if cost is None else Spent(usd=cost.paid, calls=1)
        self._add(item.rollout, now, spent)

    def _add(self, rollout: str, now: float, spent: Spent) -> None:
        self._budget.add(rollout, now, spent)
        self._new = self._new.plus(spent)

    async def _runs(self, item: Item) -> bool:
        running = self._running.get(item.prompt)
        if running is None:
            document = await self._store.get(keys.deployment(item.prompt))
            deployment = None if document is None else codec.decode_document(document, Deployment)
            rollout = None if deployment is None else deployment.rollout
            running = self._running[item.prompt] = "" if rollout is None else rollout.id
        return running == item.rollout

    async def _upkeep(self) -> None:
        self._running.clear()
        await self._budget.flush()
        await self._pacer.turn((await self._store.tick()).now)
