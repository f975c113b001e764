"""What is known of the quality of a rollout's answers beside its evidence: the judge's work, and feedback."""

from __future__ import annotations

import msgspec

from gateway.control.judging.budget import Spent
from gateway.control.replay import read_all
from gateway.domain.feedback import Told, decode_feedback, summarise
from gateway.domain.rollout import Rollout
from gateway.evals.rubric import Bench
from gateway.storage import codec, keys
from gateway.storage.base import Store


class JudgeView(msgspec.Struct, frozen=True):
    """Who judges, by the digest that each score carries."""

    model: str
    rubric: str
    digest: str


class ShadowWork(msgspec.Struct, frozen=True):
    """Of a shadow stage: who judges its pairs, and what copies and judging have cost. `spent.scored`: pairs;
    `spent.unscored`: missing ones by cause, and those that were not taken (`spend`, `ended`)."""

    judge: JudgeView
    spent: Spent


class Quality(msgspec.Struct, frozen=True):
    """`judge`: None before the first score. `spent` on this rollout; `waiting`, `under_way`, `dead`: items of
    all rollouts in the judge's queue. `feedback`: by outcome and arm. `shadow`: None before a pair."""

    rollout: str
    judge: JudgeView | None
    spent: Spent
    waiting: int
    under_way: int
    dead: int
    feedback: dict[str, dict[str, Told]]
    shadow: ShadowWork | None = None


async def quality(store: Store, rollout: Rollout) -> Quality:
    bench = await store.get(keys.bench(rollout.id))
    spent = await store.get(keys.spend(rollout.id))
    told = [decode_feedback(record.value) async for record in read_all(store, keys.feedback(rollout.id))]
    return Quality(
        rollout.id,
        None if bench is None else _shown(codec.decode_document(bench, Bench)),
        Spent() if spent is None else codec.decode_document(spent, Spent),
        *(await store.depth(keys.JUDGING)),
        summarise(told),
        await _shadow(store, rollout.id),
    )


async def _shadow(store: Store, id: str) -> ShadowWork | None:
    bench, spent = await store.get(keys.pair_bench(id)), await store.get(keys.shadow_spend(id))
    if bench is None:
        return None
    known = Spent() if spent is None else codec.decode_document(spent, Spent)
    return ShadowWork(_shown(codec.decode_document(bench, Bench)), known)


def _shown(bench: Bench) -> JudgeView:
    return JudgeView(bench.model, bench.rubric.name, bench.digest)
