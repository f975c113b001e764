"""What is known of the quality of a rollout's answers beside its evidence: the judge's work, and feedback."""

from __future__ import annotations

import msgspec

from gateway.control.judging.budget import Spent, day, read_spent
from gateway.control.judging.pace import Pace
from gateway.control.oversight import read_anchors, read_calibration, read_pace
from gateway.control.replay import read_all
from gateway.domain.feedback import Told, decode_feedback, summarise
from gateway.domain.rollout import Rollout
from gateway.evals.calibration import Calibration
from gateway.evals.drift import Anchors
from gateway.evals.rubric import Bench, rubric_digest
from gateway.storage import codec, keys
from gateway.storage.base import Documents, Store


class JudgeView(msgspec.Struct, frozen=True):
    """Who judges: `digest`, which each score carries, is over model, rubric and judge's prompt.
    `calibration`: how it agrees with people, None if nobody has looked; `anchors`: how it scores the same
    answers now and then, None if it does not."""

    model: str
    rubric: str
    digest: str
    rubric_digest: str
    prompt_digest: str
    calibration: Calibration | None
    anchors: Anchors | None


class ShadowWork(msgspec.Struct, frozen=True):
    """Of a shadow stage: who judges its pairs, and what copies and judging have cost. `spent.scored`: pairs;
    `spent.unscored`: missing ones by cause, and those that were not taken (`spend`, `ended`)."""

    judge: JudgeView
    spent: Spent


class Quality(msgspec.Struct, frozen=True):
    """`judge`: None before the first score. `spent` on this rollout, `today` (UTC) on all; `pace`: which
    share of its sessions the judge can afford; `waiting`, `under_way`, `dead`: items of all rollouts in the
    judge's queue. `feedback`: by outcome and arm. `shadow`: None before a pair."""

    rollout: str
    judge: JudgeView | None
    spent: Spent
    today: Spent
    pace: Pace
    waiting: int
    under_way: int
    dead: int
    feedback: dict[str, dict[str, Told]]
    shadow: ShadowWork | None = None


async def quality(store: Store, rollout: Rollout) -> Quality:
    bench = await store.get(keys.bench(rollout.id))
    now = (await store.tick()).now
    told = [decode_feedback(record.value) async for record in read_all(store, keys.feedback(rollout.id))]
    return Quality(
        rollout.id,
        None if bench is None else await _shown(store, codec.decode_document(bench, Bench)),
        await read_spent(store, rollout.id),
        await read_spent(store, day(now)),
        await read_pace(store, rollout.id),
        *(await store.depth(keys.JUDGING)),
        summarise(told),
        await _shadow(store, rollout.id),
    )


async def _shadow(store: Store, id: str) -> ShadowWork | None:
    bench = await store.get(keys.pair_bench(id))
    if bench is None:
        return None
    judge = await _shown(store, codec.decode_document(bench, Bench))
    return ShadowWork(judge, await read_spent(store, keys.SHADOW_SPENDING + id))


async def _shown(store: Documents, bench: Bench) -> JudgeView:
    digests = (bench.digest, rubric_digest(bench.rubric)[:16], bench.prompt[:16])
    calibration, anchors = (
        await read_calibration(store, bench.digest),
        await read_anchors(store, bench.digest),
    )
    return JudgeView(bench.model, bench.rubric.name, *digests, calibration, anchors)
