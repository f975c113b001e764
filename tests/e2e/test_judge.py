"""The judge on real processes, with the simulated provider as its model: a good version is promoted, a worse
one rolled back, and with a judge that is down nothing is promoted."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.storage.create import create_store
from tests.support.gateway import Gateway, free_ports, running
from tests.support.judged import (
    FAULTY,
    Log,
    Place,
    build,
    kill_the_judge,
    load_on,
    placed,
    quiet,
    start,
    until,
)
from tests.support.judging import labels


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with placed(request.param, tmp_path, lambda store: build(tmp_path, store=store)) as found:
        yield found


async def calibrate(gateway: Gateway) -> None:
    """The judge is compared with labels that agree with it."""
    file = gateway.folder / "labels.jsonl"
    file.write_text(labels(30, wrong=1))
    command = (sys.executable, "-m", "gateway", "judge", "calibrate", str(file))
    process = await asyncio.create_subprocess_exec(*command, "--config", str(gateway.config))
    assert await process.wait() == 0


async def test_a_good_version_is_promoted_and_a_worse_one_rolled_back_by_their_scores(
    place: Place,
) -> None:
    gateway, store = place
    async with load_on(gateway):
        good = start(gateway, "good")
        # Its scores are its only ground, so it waits until somebody has shown that the judge may be believed.
        await until(
            gateway, lambda rollout: "agrees with people" in (rollout["hold"] or {}).get("detail", "")
        )
        await calibrate(gateway)
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
        assert (ended["phase"], ended["ended_by"]) == ("promoted", "controller")
        bad = start(gateway, "careless")
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
    assert (ended["phase"], ended["ended_by"]) == ("rolled_back", "controller")
    assert "judge" in ended["end_reason"]
    assert (await asyncio.to_thread(gateway.call, f"/v1/rollouts/{good}/replay"))["agree"]
    await quiet(store())
    for id in (good, bad):
        log = await Log.read(store(), id)
        sessions = [record.unit.session for record in log.scored]
        assert len(sessions) == len(set(sessions))
        assert set(sessions) <= log.judged
        assert len(sessions) > 20
        assert len({record.judge for record in log.scored}) == 1


async def test_kill_9_of_the_judge_loses_no_score_and_counts_none_twice(
    place: Place,
) -> None:
    gateway, store = place
    id = start(gateway, "good")
    async with load_on(gateway):
        killed = await kill_the_judge(gateway)
    await quiet(store())
    log = await Log.read(store(), id)
    sessions = Counter(record.unit.session for record in log.scored)
    assert set(sessions.values()) == {1}
    assert set(sessions) == log.judged & log.answered, gateway.log()
    assert gateway.ready()["children"]["judge"]["restarts"] == killed
    gateway.act("abort")


async def test_a_judge_that_fails_often_is_seen_in_completeness_and_promotion_waits(tmp_path: Path) -> None:
    with running(build(tmp_path, scenario=FAULTY, timeout=0.2, attempts=1)) as gateway:
        id = start(gateway, "good")
        async with load_on(gateway):
            # A busy machine may find the scores stale before it finds them missing: then `judge` comes first.
            await until(gateway, lambda rollout: (rollout["hold"] or {}).get("reason") == "completeness")
            await asyncio.sleep(3.0)
        assert (await until(gateway, lambda rollout: True))["phase"] == "progressing"
        await quiet(create_store("sqlite", str(tmp_path / "data")))
        log = await Log.read(create_store("sqlite", str(tmp_path / "data")), id)
        sessions = Counter(record.unit.session for record in log.scored)
        assert set(sessions.values()) == {1}
        assert set(sessions) == log.judged & log.answered
        causes = Counter(record.cause for record in log.scored)
        assert causes["timeout"] > 0 < causes["unreadable"]
        assert 0.2 < causes[""] / len(log.scored) < 0.85


async def test_with_a_judge_that_is_down_a_rollout_holds_and_is_never_promoted(tmp_path: Path) -> None:
    """For all of its bake, the maximum and its extension included."""
    gateway = build(tmp_path, judge=free_ports(1)[0])
    gateway.config.write_text(gateway.config.read_text().replace("max_bake: 1h", "max_bake: 6s"))
    with running(gateway):
        began = time.monotonic()
        start(gateway, "good")
        async with load_on(gateway):
            held = await until(gateway, lambda rollout: rollout["hold"] is not None)
            assert held["hold"]["reason"] in ("completeness", "judge")
            while time.monotonic() < began + 15.0:
                seen = await until(gateway, lambda rollout: True)
                assert (seen["phase"], seen["watch"]) == ("progressing", False)
                await asyncio.sleep(0.5)
            after = await until(gateway, lambda rollout: True)
        assert (after["phase"], after["watch"]) == ("progressing", False)
        assert after["hold"]["reason"] in ("completeness", "judge", "evidence")
        assert gateway.call("/v1/live")["prompts"][0]["live"] == 1
