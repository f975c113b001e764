"""A shadow stage on real processes, with the simulated provider as the model and as its judge: nobody is
served by the candidate, a worse one is found and a good one goes on to its first sessions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.observation import Assigned, Evidence, Observed, Pair
from gateway.storage import keys
from gateway.storage.base import Store
from tests.support.gateway import Gateway, make_gateway
from tests.support.judged import (
    FINAL_SOON,
    SCENARIO,
    Place,
    kill_the_judge,
    load_on,
    placed,
    quiet,
    records,
    start,
    until,
)

EXTRA = (
    """\
policies:
  judged:
    stages: [shadow, 40%, 50%, 1]
    shadow: {{min_pairs: {min_pairs}, alpha: {{judge: .0001, safety: .005, errors: .005}}}}
    min_bake: [2s, 2s]
    max_bake: 1h
    min_units: 5
    tolerance: {{judge: 40%, safety: 40%, errors: 40%}}
    gates: [judge, errors]
    judged_first: 1
    holdback: {{share: .1, watch: 2s}}
"""
    + FINAL_SOON
    + """\
judge:
  base_url: "http://127.0.0.1:{judge}/v1"
  model: sim-judge
  timeout: 1
  patience: 2
  concurrency: 16
shadow: {{per_minute: 6000, concurrency: 16, timeout: 2}}
"""
)


class Log:
    """What an evidence log holds of the shadow stage, and of the candidate's sessions."""

    def __init__(self, found: list[Evidence]) -> None:
        self.pairs = [record for record in found if isinstance(record, Pair)]
        self.assigned = Counter(record.unit.canary for record in found if isinstance(record, Assigned))
        self.begun = {
            record.unit.session for record in found if isinstance(record, Observed) and record.first
        }

    @classmethod
    async def read(cls, store: Store, id: str) -> Log:
        return cls(await records(store, id))


@pytest.fixture
def min_pairs() -> int:
    return 15


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def place(request: pytest.FixtureRequest, tmp_path: Path, min_pairs: int) -> Iterator[Place]:
    def make(store: str | None) -> Gateway:
        gateway = make_gateway(tmp_path, store=store, scenario=SCENARIO)
        extra = EXTRA.format(judge=gateway.simulator, min_pairs=min_pairs)
        gateway.config.write_text(gateway.config.read_text() + extra)
        return gateway

    with placed(request.param, tmp_path, make) as found:
        yield found


settled = partial(quiet, queue=keys.SHADOWING)


def shadow_of(rollout: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = rollout["evidence"]["verdict"]["shadow"]
    return found


def shown(rollout: dict[str, Any]) -> bool:
    """Whether the verdict that ended it is shown already: it is written a moment after."""
    return bool(rollout["evidence"]["verdict"]["action"] == "roll_back")


async def test_a_worse_candidate_is_found_before_anybody_is_served_by_it(
    place: Place,
) -> None:
    gateway, store = place
    async with load_on(gateway):
        id = start(gateway, "careless")
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing" and shown(rollout))
    assert (ended["phase"], ended["ended_by"]) == ("rolled_back", "controller")
    assert "judge is worse by" in ended["end_reason"]
    assert {weight["value"] for weight in ended["weights"]} == {0.0}
    judge = next(each for each in shadow_of(ended)["metrics"] if each["name"] == "judge")
    assert judge["harm_e"] >= judge["harm_needs"] == pytest.approx(10_000.0)
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
    place: Place,
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


@pytest.mark.parametrize("min_pairs", [100_000])  # the stage lasts
async def test_kill_9_of_the_judge_loses_no_pair_and_counts_none_twice(
    place: Place,
) -> None:
    gateway, store = place
    id = start(gateway, "good")
    async with load_on(gateway):
        killed = await kill_the_judge(gateway)
    await settled(store())
    log = await Log.read(store(), id)
    sessions = Counter(pair.unit.session for pair in log.pairs)
    assert set(sessions.values()) == {1}
    assert set(sessions) == log.begun
    assert gateway.ready()["children"]["judge"]["restarts"] == killed
