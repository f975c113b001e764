"""The shadow stage at work: each copy of a stable request comes to exactly one pair in the evidence log.

    claim         leased, as for the judge: if this process dies, another takes the copy up
    settled       too late, too dear, the stage is over: no call is made
    replayed      the candidate is asked the same; a call of a tool in its answer stays a text
    judged        both answers, each beside the other, by one rubric: two questions for each criterion
    acknowledge   the pair is appended and the copy is done in one transaction, or neither

What the stage does not want any more, and what it cannot pay for, is done without a record: it is chosen by
nothing that the answers could say. Spending lowers the rate: from half of a limit on, the share of copies
that are taken falls with what is left, so that a stage becomes slow rather than stopping at noon.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec
from mmh3 import mmh3_x64_128_utupledigest

from gateway.control.judging.asking import Charge, Examiner, Judged, Words
from gateway.control.judging.benches import Benches
from gateway.control.judging.budget import Budget, Spent
from gateway.control.judging.claims import Claims
from gateway.control.judging.ledger import Ledger
from gateway.control.judging.loop import MARGIN
from gateway.control.judging.model import JudgeModel, Reply
from gateway.control.judging.replaying import KEPT, Candidate, Replayed, Replayer, words_of
from gateway.control.judging.tracing import paired
from gateway.control.registry import Registry
from gateway.domain.observation import Outcome, Pair
from gateway.domain.rollout import Deployment
from gateway.domain.shadowing import Copy, decode_copy
from gateway.evals.beside import PAIR_DIGEST
from gateway.evals.redaction import Redaction
from gateway.evals.rubric import Bench, Rubric
from gateway.prices import PriceList
from gateway.settings import JudgeSettings, ShadowSettings
from gateway.storage import codec, keys
from gateway.storage.base import Claim, Store
from gateway.telemetry.tracer import Tracer
from gateway.wire.splice import split
from gateway.wire.texts import first_bytes, last_bytes

UNIT = 2.0**-53
DRAW_SEED = 0x54AD0000
FULL_RATE = 0.5  # of a limit: so much may be spent before the rate falls


class Pairing:
    """`owner` names this process. `nonce` makes a new unguessable word. The replayer is closed with this."""

    def __init__(
        self,
        store: Store,
        settings: tuple[JudgeSettings, ShadowSettings],
        rubrics: Mapping[str, Rubric],
        prices: PriceList,
        replayer: Replayer,
        *,
        owner: str,
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
        tracer: Tracer | None = None,
    ) -> None:
        judge, shadow = settings
        self._tracer = tracer or Tracer()
        self._store = store
        self._judge_settings, self._settings = settings
        self._prices = prices
        self._owner = owner
        self._replayer = replayer
        self._redaction = Redaction(judge.redact)
        self._registry = Registry(store)
        self._model = JudgeModel(judge)
        self._examiner = Examiner(self._model, attempts=judge.attempts, nonce=nonce)
        self._benches = Benches(store, judge, rubrics, prompt=PAIR_DIGEST, key=keys.pair_bench)
        self._ledger = Ledger(store, keys.SHADOWING, owner)
        self._budget = Budget(
            store, per_day=shadow.usd_per_day, per_rollout=shadow.usd_per_rollout, prefix=keys.SHADOW_SPENDING
        )
        self._candidates: OrderedDict[tuple[str, int], Candidate] = OrderedDict()
        self._claims = Claims(
            store,
            keys.SHADOWING,
            self._settle,
            self._budget.flush,
            owner=owner,
            room=shadow.concurrency,
            lease=shadow.attempts * shadow.timeout + judge.patience + 2 * MARGIN,
            what="shadow",
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; pairs under way then have a moment, and what is left is claimed by another."""
        try:
            await self._claims.run(stop)
        finally:
            await self._replayer.close()
            await self._model.close()

    # --- one copy

    async def _settle(self, claim: Claim) -> None:
        try:
            copy = decode_copy(claim.value, claim.text)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            await self._store.bury(keys.SHADOWING, self._owner, claim.id, f"cannot be read: {error}")
            return
        now = (await self._store.tick()).now
        candidate = await self._wanted(copy)
        if candidate is None:
            await self._leave(claim, copy, "ended", now)
            return
        if drawn(copy.id) >= await self._rate(copy.rollout, now):
            await self._leave(claim, copy, "spend", now)
            return
        bench = await self._benches.of(copy.prompt, copy.rollout)
        cause = self._hopeless(copy, claim.attempt, bench, now)
        if cause:
            pair = missing(copy, cause)
        else:
            with paired(self._tracer, copy, bench) as done:
                pair = done(await self._pair(copy, candidate, bench, now))
        pair = msgspec.structs.replace(pair, judge=bench.digest)
        if await self._ledger.settle(claim.id, copy.rollout, pair):
            told = Spent(unscored={pair.cause: 1}) if pair.cause else Spent(scored=1)
            self._budget.add(copy.rollout, now, told)

    async def _leave(self, claim: Claim, copy: Copy, cause: str, now: float) -> None:
        """Done, and no pair."""
        if await self._store.acknowledge(keys.SHADOWING, self._owner, claim.id):
            self._budget.add(copy.rollout, now, Spent(unscored={cause: 1}))

    def _hopeless(self, copy: Copy, attempt: int, bench: Bench, now: float) -> str:
        """Why no call is made for it; "" if it is to be judged."""
        if now >= copy.due_at:
            return "late"
        if not copy.body:
            return "expired"  # its words may be kept no longer
        if attempt > self._judge_settings.claims:
            return "judge_died"
        return "" if bench.prompt == PAIR_DIGEST else "judge_changed"

    async def _wanted(self, copy: Copy) -> Candidate | None:
        """The candidate, while its shadow stage lasts."""
        document = await self._store.get(keys.deployment(copy.prompt))
        deployment = None if document is None else codec.decode_document(document, Deployment)
        rollout = None if deployment is None else deployment.rollout
        if rollout is None or rollout.id != copy.rollout or not rollout.in_shadow:
            return None
        key = copy.prompt, rollout.candidate
        known = self._candidates.get(key)
        if known is None:
            known = self._candidates[key] = Candidate.of(await self._registry.version(*key))
            if len(self._candidates) > KEPT:
                self._candidates.popitem(last=False)
        return known

    async def _rate(self, rollout: str, now: float) -> float:
        """The share of copies that is taken."""
        spent = [(await self._budget.spent(each)).usd for each in self._budget.periods(rollout, now)]
        limits = self._settings.usd_per_day, self._settings.usd_per_rollout
        return min(rate_left(usd, limit) for usd, limit in zip(spent, limits, strict=True))

    async def _pair(self, copy: Copy, candidate: Candidate, bench: Bench, now: float) -> Pair:
        replayed = await self._replayer.ask(copy, candidate)
        unpriced = replayed.calls if replayed.usd is None else 0
        self._budget.add(copy.rollout, now, Spent(replayed.usd or 0.0, replayed.calls, unpriced))
        if replayed.outcome == "provider":
            return missing(copy, replayed.cause)
        outcomes: tuple[Outcome, Outcome] = copy.outcome, replayed.outcome
        flagged = bool(copy.flags), bool(replayed.flags)
        difference, cause = None, replayed.cause
        if outcomes == ("ok", "ok"):
            difference, cause = await self._judge(copy, replayed, bench)
        return Pair(copy.unit, now, difference, cause, outcomes, flagged)

    async def _judge(self, copy: Copy, replayed: Replayed, bench: Bench) -> tuple[float | None, str]:
        """Stable's score − the candidate's; or None, and why."""
        most = self._judge_settings.answer_bytes
        stable = first_bytes(copy.answer, most)
        candidate = first_bytes(self._redaction.of(replayed.text), most)
        if not stable.strip() and not candidate.strip():
            return None, "empty"
        if stable == candidate:
            return 0.0, ""
        words = last_bytes(words_of(split(copy.body)), self._judge_settings.question_bytes)
        now = (await self._store.tick()).now
        patience = min(self._judge_settings.patience, copy.due_at - now)

        async def score(answer: str, other: str) -> Judged:
            charge = self._charge(copy, bench, now)
            return await self._examiner.judge(
                bench, Words(words, answer, other), patience=patience, charge=charge
            )

        ours, theirs = await asyncio.gather(score(stable, candidate), score(candidate, stable))
        if ours.score is None or theirs.score is None:
            return None, ours.cause or theirs.cause
        return ours.score - theirs.score, ""

    def _charge(self, copy: Copy, bench: Bench, now: float) -> Charge:
        def charge(reply: Reply) -> None:
            place = self._judge_settings.base_url
            cost = self._prices.cost(bench.model, reply.usage, now=now, base_url=place)
            spent = Spent(calls=1, unpriced=1) if cost is None else Spent(usd=cost.paid, calls=1)
            self._budget.add(copy.rollout, now, spent)

        return charge


def missing(copy: Copy, cause: str) -> Pair:
    """No answer of the candidate is known."""
    return Pair(copy.unit, 0.0, None, cause, (copy.outcome, "provider"), (bool(copy.flags), False))


def rate_left(usd: float, limit: float) -> float:
    """The share of copies that is taken when so much of a limit (0: none) is spent.

    >>> rate_left(4.0, 10.0), rate_left(7.5, 10.0), rate_left(10.0, 10.0), rate_left(3.0, 0.0)
    (1.0, 0.5, 0.0, 1.0)
    """
    if limit <= 0.0:
        return 1.0
    return max(0.0, min(1.0, (1.0 - usd / limit) / (1.0 - FULL_RATE)))


def drawn(id: str) -> float:
    """Uniform in [0, 1), fixed by the copy's name."""
    return (mmh3_x64_128_utupledigest(id.encode(), DRAW_SEED)[0] >> 11) * UNIT
