"""A shadow stage on real processes, with the simulated provider as the model and as its judge: nobody is
served by the candidate, a worse one is found and a good one goes on to its first sessions."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.control.replay import read_all
from gateway.domain.observation import Assigned, Pair, decode_batch
from gateway.storage import keys
from gateway.storage.base import Store
from gateway.storage.create import create_store
from tests.e2e.test_judge import PATIENCE, PREFIX, SCENARIO, load_on, start, until
from tests.support.gateway import Gateway, make_gateway, running
from tests.support.redis_server import RedisServer, need_redis_server

EXTRA = """\
policies:
  judged:
    stages: [shadow, 40%, 50%, 1]
    shadow: {{min_pairs: 15}}
    min_bake: [2s, 2s]
    max_bake: 1h
    min_units: 5
    tolerance: {{judge: 40%, safety: 40%, errors: 40%}}
    gates: [judge, errors]
    judged_first: 1
    holdback: {{share: .1, watch: 2s}}
evidence:
  watermark: 1
  judge_limit: 5
  event_window: 4
  upstream_limit: 1
  latency_warmup: 0
judge:
  base_url: "http://127.0.0.1:{judge}/v1"
  model: sim-judge
  timeout: 1
  patience: 2
  concurrency: 16
shadow: {{per_minute: 6000, concurrency: 16, timeout: 2}}
"""


def build(folder: Path, store: str | None = None) -> Gateway:
    gateway = make_gateway(folder, store=store, scenario=SCENARIO)
    gateway.config.write_text(gateway.config.read_text() + EXTRA.format(judge=gateway.simulator))
    return gateway


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Gateway, Callable[[], Store]]]:
    if request.param == "sqlite":
        with running(build(tmp_path)) as gateway:
            yield gateway, lambda: create_store("sqlite", str(tmp_path / "data"))
        return
    need_redis_server()
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        store = f"{{kind: redis, url: '{server.url}', prefix: {PREFIX}}}"
        with running(build(tmp_path, store)) as gateway:
            yield gateway, lambda: create_store("redis", server.url, prefix=PREFIX)
    finally:
        server.kill()


class Log:
    """What an evidence log holds of the shadow stage, and of the candidate's sessions."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.assigned: Counter[bool] = Counter()  # by arm

    @classmethod
    async def read(cls, store: Store, id: str) -> Log:
        log = cls()
        await store.open()
        try:
            async for entry in read_all(store, keys.evidence(id)):
                for record in decode_batch(entry.value).records:
                    if isinstance(record, Pair):
                        log.pairs.append(record)
                    elif isinstance(record, Assigned):
                        log.assigned[record.unit.canary] += 1
        finally:
            await store.close()
        return log


async def settled(store: Store) -> None:
    """No copy waits any more."""
    await store.open()
    try:
        async with asyncio.timeout(PATIENCE):
            while (await store.depth(keys.SHADOWING))[:2] != (0, 0):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        await store.close()


def shadow_of(rollout: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = rollout["evidence"]["verdict"]["shadow"]
    return found


def shown(rollout: dict[str, Any]) -> bool:
    """Whether the verdict that ended it is shown already: it is written a moment after."""
    return bool(rollout["evidence"]["verdict"]["action"] == "roll_back")


async def test_a_worse_candidate_is_found_before_anybody_is_served_by_it(
    place: tuple[Gateway, Callable[[], Store]],
) -> None:
    gateway, store = place
    async with load_on(gateway):
        id = start(gateway, "careless")
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing" and shown(rollout))
    assert (ended["phase"], ended["ended_by"]) == ("rolled_back", "controller")
    assert "judge is worse by" in ended["end_reason"]
    assert {weight["value"] for weight in ended["weights"]} == {0.0}
    judge = next(each for each in shadow_of(ended)["metrics"] if each["name"] == "judge")
    assert judge["harm_e"] >= judge["harm_needs"] == pytest.approx(100.0)
    assert judge["difference"] == pytest.approx(0.5, abs=0.15)
    assert (await asyncio.to_thread(gateway.call, f"/v1/rollouts/{id}/replay"))["agree"]
    await settled(store())
    log = await Log.read(store(), id)
    assert log.assigned[True] == 0 < log.assigned[False]
    sessions = Counter(pair.unit.session for pair in log.pairs)
    assert set(sessions.values()) == {1}
    assert not any(pair.unit.canary for pair in log.pairs)
    assert {pair.outcomes for pair in log.pairs} == {("ok", "ok")}
    audit = await asyncio.to_thread(gateway.call, "/v1/audit")
    told = next(entry for entry in audit["entries"] if entry["action"] == "roll_back")
    assert "shadow:judge" in told["reason"]


async def test_a_good_candidate_passes_the_stage_and_is_promoted(
    place: tuple[Gateway, Callable[[], Store]],
) -> None:
    gateway, store = place
    async with load_on(gateway):
        id = start(gateway, "good")
        first = await until(gateway, lambda rollout: True)
        assert (first["shadow"], first["weight"], first["stages"]) == (True, 0.0, 2)
        exposed = await until(gateway, lambda rollout: not rollout["shadow"])
        assert exposed["weights"][-1]["value"] >= 0.4
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
    assert (ended["phase"], ended["ended_by"]) == ("promoted", "controller")
    assert (await asyncio.to_thread(gateway.call, f"/v1/rollouts/{id}/replay"))["agree"]
    log = await Log.read(store(), id)
    assert len(log.pairs) >= 15


async def test_kill_9_of_the_judge_loses_no_pair_and_counts_none_twice(
    place: tuple[Gateway, Callable[[], Store]],
) -> None:
    gateway, store = place
    id = start(gateway, "good")
    killed = 0
    async with load_on(gateway):
        for _ in range(3):
            await asyncio.sleep(1.5)
            pid = gateway.ready()["children"]["judge"]["pid"]
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                killed += 1
    assert killed >= 2
    await settled(store())
    log = await Log.read(store(), id)
    sessions = Counter(pair.unit.session for pair in log.pairs)
    assert set(sessions.values()) == {1}
    assert gateway.ready()["children"]["judge"]["restarts"] == killed
