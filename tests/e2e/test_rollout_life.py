"""What can happen to a rollout while the controller runs, on real processes: its time runs out, people act on
it, and it turns bad when nobody expects it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deciding import EXTRA, SCENARIO, acts, live, load_on, start, turn_bad, until
from tests.support.gateway import Gateway, make_gateway, running

ME, IT = "anonymous", "controller"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("life")
    with running(make_gateway(folder, scenario=SCENARIO, extra=EXTRA)) as started:
        yield started


async def agrees(gateway: Gateway, rollout: str) -> bool:
    replayed = await asyncio.to_thread(gateway.call, f"/v1/rollouts/{rollout}/replay")
    return (replayed["agree"], replayed["partial"]) == (True, False)


async def test_without_enough_sessions_it_raises_its_weight_waits_longer_and_holds(gateway: Gateway) -> None:
    before = live(gateway)
    id = start(gateway, "hungry", "starved")
    async with load_on(gateway):
        raised = await until(gateway, lambda rollout: rollout["raises"] > 0)
        assert 4.0 <= raised["weights"][-1]["effective_at"] - raised["started_at"] < 8.0
        assert [weight["value"] for weight in raised["weights"]][-1] == 0.5
        extended = await until(
            gateway, lambda rollout: "extended by 80%" in rollout["evidence"]["verdict"]["reason"]
        )
        assert (extended["phase"], extended["hold"], extended["stage"]) == ("progressing", None, 0)
        held = await until(gateway, lambda rollout: rollout["hold"] is not None)
        assert held["hold"]["reason"] == "evidence"
        assert held["hold"]["since"] - held["started_at"] >= 8.0 * 1.8
        assert live(gateway) == before
        turn_bad(gateway, "hungry")  # it waits, and is watched
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
    assert (ended["phase"], ended["ended_by"], live(gateway)) == ("rolled_back", IT, before)
    assert acts(gateway, id) == [
        (ME, "start"),
        (IT, "raise_weight"),
        (IT, "hold"),
        (IT, "roll_back"),
    ]
    assert await agrees(gateway, id)


async def test_pause_resume_and_promote_by_a_person(gateway: Gateway) -> None:
    before = live(gateway)
    id = start(gateway, "steered", "quick")
    async with load_on(gateway):
        await until(gateway, lambda rollout: bool(rollout["evidence"]))
        gateway.act("pause")
        paused = await until(gateway, lambda rollout: rollout["evidence"]["verdict"]["rule"] == "paused")
        since = paused["evidence"]["decided_at"]
        later = await until(gateway, lambda rollout: rollout["evidence"]["decided_at"] > since + 4.0)
        assert (later["phase"], later["stage"], later["hold"]) == ("paused", 0, None)
        gateway.act("resume")
        await until(gateway, lambda rollout: rollout["stage"] == 1)
        gateway.act("promote")
        watched = await until(gateway, lambda rollout: bool(rollout["watch"]))
        assert live(gateway) == watched["candidate"] != before
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
    assert (ended["phase"], ended["ended_by"]) == ("promoted", IT)
    assert acts(gateway, id) == [
        (ME, "start"),
        (ME, "pause"),
        (ME, "resume"),
        (IT, "advance"),
        (ME, "watch"),
        (IT, "finish"),
    ]
    assert await agrees(gateway, id)


async def test_harm_ends_a_rollout_that_is_paused(gateway: Gateway) -> None:
    before = live(gateway)
    id = start(gateway, "resting", "slow")
    async with load_on(gateway):
        await until(gateway, lambda rollout: bool(rollout["evidence"]))
        gateway.act("pause")
        turn_bad(gateway, "resting")
        ended = await until(gateway, lambda rollout: rollout["phase"] != "paused")
    assert (ended["phase"], ended["ended_by"], live(gateway)) == ("rolled_back", IT, before)
    assert acts(gateway, id) == [(ME, "start"), (ME, "pause"), (IT, "roll_back")]
    assert await agrees(gateway, id)


async def test_what_turns_bad_in_the_watch_is_rolled_back_and_live_goes_back(gateway: Gateway) -> None:
    before = live(gateway)
    id = start(gateway, "turncoat", "watched")
    async with load_on(gateway) as load:
        watched = await until(gateway, lambda rollout: bool(rollout["watch"]))
        assert live(gateway) == watched["candidate"]
        turn_bad(gateway, "turncoat")
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
        await asyncio.sleep(2.0)
        seen = len(load.answers)
        await asyncio.sleep(1.0)
    assert (ended["phase"], ended["ended_by"], live(gateway)) == ("rolled_back", IT, before)
    after = load.answers[seen:]
    assert len(after) > 20
    assert {(answer.version, answer.status) for answer in after} == {(before, 200)}
    assert acts(gateway, id) == [
        (ME, "start"),
        (IT, "advance"),
        (IT, "watch"),
        (IT, "roll_back"),
    ]
    assert await agrees(gateway, id)


async def test_after_an_abort_nothing_more_is_done_and_the_next_one_is_followed(gateway: Gateway) -> None:
    before = live(gateway)
    id = start(gateway, "unwanted", "quick")
    async with load_on(gateway):
        await until(gateway, lambda rollout: bool(rollout["evidence"]))
        gateway.act("abort")
        other = start(gateway, "wanted", "quick")
        await until(gateway, lambda rollout: rollout["id"] == other and rollout["stage"] == 1)
        gateway.act("abort")
    assert live(gateway) == before
    assert acts(gateway, id) == [(ME, "start"), (ME, "abort")]
    assert acts(gateway, other) == [(ME, "start"), (IT, "advance"), (ME, "abort")]
