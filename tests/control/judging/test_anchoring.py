"""Anchors on a real store: a judge whose scores move is doubted, one that is silent is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.control.judging.anchoring import Watch
from gateway.control.judging.asking import Examiner
from gateway.control.judging.budget import day, read_spent
from gateway.control.judging.model import JudgeModel
from gateway.control.oversight import read_anchors, standing
from gateway.domain.policy import POLICIES
from gateway.domain.rollout import Deployment, Rollout, Weight
from gateway.evals.calibration import read_labelled
from gateway.evals.drift import Anchors
from gateway.evals.question import PROMPT_DIGEST
from gateway.evals.rubric import Bench
from gateway.prices import PriceList
from gateway.settings import JudgeSettings
from gateway.storage import codec, keys
from gateway.storage.base import Put
from gateway.storage.sqlite import SqliteStore
from tests.control.judging.test_loop import simulated
from tests.support.judging import HELPFUL, PRICES, PROMPT, ROLLOUT, labels
from tests.support.stores import PATIENT

SCENARIO = "judge: {noise: 0.03, bias: %s, behaviour: {first_token_ms: 0, gap_ms: 0%s}}"
BENCH = Bench("judge-model", HELPFUL, PROMPT_DIGEST)
RUNNING = Rollout(
    ROLLOUT, PROMPT, 2, 1, "salt", "progressing", (Weight(0.5, 0.0),), 0.0, "ann", policy=POLICIES["standard"]
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "store", limits=PATIENT)
    await opened.open()
    deployment = Put(keys.deployment(PROMPT), codec.encode(Deployment(PROMPT, 1, RUNNING)), 0)
    await opened.commit([deployment, Put(keys.bench(ROLLOUT), codec.encode(BENCH), 0)])
    yield opened
    await opened.close()


@asynccontextmanager
async def watching(
    store: SqliteStore, bias: float, more: str = "", *, owner: str = "one", **settings: Any
) -> AsyncIterator[Watch]:
    async with simulated(SCENARIO % (bias, more)) as simulator:
        given = {"base_url": f"http://127.0.0.1:{simulator.port}/v1", "model": "judge-model", "patience": 1}
        section = JudgeSettings.model_validate({**given, "anchor_seconds": 3600, **settings})
        model = JudgeModel(section)
        examiner = Examiner(model, attempts=1, nonce=lambda: "n0nce")
        anchors = {"helpful": read_labelled(labels(10), "labels")}
        try:
            prices = PriceList(PRICES)
            yield Watch(store, section, anchors, prices, (examiner, model), owner=owner)
        finally:
            await model.close()
            await store.release(keys.ANCHORER, owner)


async def known(store: SqliteStore) -> Anchors:
    found = await read_anchors(store, BENCH.digest)
    assert found is not None
    return found


async def test_a_judge_that_drifts_is_doubted_until_it_scores_as_before(store: SqliteStore) -> None:
    assert (await standing(store, RUNNING)).doubt == "uncalibrated"
    async with watching(store, 0.0) as watch:
        await watch.turn()
        first = await known(store)
        assert (len(first.first), first.shift, first.drifting) == (20, None, False)
        await watch.turn()  # not due
        assert await known(store) == first
    spent = await read_spent(store, day((await store.tick()).now))
    assert spent.calls == 20
    assert spent.usd > 0.0
    async with watching(store, -0.18, anchor_seconds=1) as watch:
        await age(store)
        await watch.turn()
        moved = await known(store)
        assert moved.drifting
        assert watch.shifts()[0][2][0] < -0.1
        assert (await standing(store, RUNNING)).doubt == "drift"
    async with watching(store, 0.0, anchor_seconds=1) as watch:
        await age(store)
        await watch.turn()
    assert not (await known(store)).drifting
    assert (await standing(store, RUNNING)).doubt == "uncalibrated"


async def age(store: SqliteStore) -> None:
    """The last look is long ago."""
    document = await store.get(keys.anchors(BENCH.digest))
    assert document is not None
    found = codec.decode_document(document, Anchors)
    old = Anchors(
        found.bench, found.rubric, found.first, found.first_at, found.newest, 1.0, found.shift, found.drifting
    )
    await store.commit([Put(document.key, codec.encode(old), document.revision)])


async def test_one_process_looks_and_a_silent_judge_begins_nothing(store: SqliteStore) -> None:
    await store.acquire(keys.ANCHORER, "another", 60.0)
    async with watching(store, 0.0) as watch:
        await watch.turn()
        assert await read_anchors(store, BENCH.digest) is None
        await store.release(keys.ANCHORER, "another")
    async with watching(store, 0.0, ", broken_json_rate: 1") as watch:
        await watch.turn()
        await watch.turn()  # not again at once
        assert await read_anchors(store, BENCH.digest) is None
    assert (await read_spent(store, day((await store.tick()).now))).calls == 20


async def test_beyond_the_day_s_limit_no_anchors_are_scored(store: SqliteStore) -> None:
    async with watching(store, 0.0, usd_per_day=0.000001) as watch:
        await watch.turn()
        await age(store)
        before = await known(store)
        await watch.turn()
        assert await known(store) == before
