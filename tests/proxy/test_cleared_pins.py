"""Pins that an operator has cleared: forgotten by a worker that keeps them, void where it asked before."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.control.explain import Explainer, Place
from gateway.control.sessions import Sessions
from gateway.domain.assignment import bucket
from gateway.domain.forgetting import LISTED, with_cleared
from gateway.domain.pins import Pin, PinRules, encode_pin
from gateway.domain.rollout import Rollout, Weight
from gateway.storage import keys
from tests.proxy.test_pins import NOW, Driver, ScriptedKeys, Views
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import BY, worker_stage

ROLLOUT = Rollout("0a0a0a0a0a0a", "p", 2, 1, "salt", "progressing", (Weight(0.5, NOW - 99),), NOW - 100, "me")
SESSION = next(s for s in (b"session-%08d" % n for n in range(400)) if bucket("salt", s) < 0.1)
KEY = keys.pin(ROLLOUT.id, SESSION.hex())
STABLE = encode_pin(Pin("stable", 1, 0.01, 1.0, 1.0, True, True, NOW - 10))


async def test_a_cached_pin_is_forgotten_and_the_session_drawn_again() -> None:
    store = ScriptedKeys()
    store.values[KEY] = STABLE
    driver = Driver(store)
    assert (await driver.answer(SESSION)).arm == "stable"
    store.values.clear()
    assert (await driver.answer(SESSION)).arm == "stable"
    driver.board.forget(with_cleared(None, "p", ROLLOUT.id, SESSION.hex(), NOW))
    driver.views.now += 1.0
    assert (await driver.answer(SESSION)).arm == "canary"


class Slow(ScriptedKeys):
    """What is read is on its way while `gate` is closed."""

    async def get_key(self, key: str) -> bytes | None:
        self.reads += 1
        found = self.values.get(key)
        await self.gate.wait()
        return found


async def test_a_look_up_that_was_asked_before_is_asked_again() -> None:
    store = Slow()
    store.values[KEY] = STABLE
    driver = Driver(store)
    store.gate.clear()
    asked = asyncio.create_task(driver.answer(SESSION))
    while not store.reads:  # noqa: ASYNC110
        await asyncio.sleep(0)
    del store.values[KEY]
    driver.board.forget(with_cleared(None, "p", ROLLOUT.id, SESSION.hex(), NOW))
    store.gate.set()
    assert (await asked).arm == "canary"
    assert store.reads == 2


async def test_who_was_away_for_too_long_forgets_the_whole_rollout() -> None:
    store = ScriptedKeys()
    store.values[KEY] = STABLE
    driver = Driver(store, Views())
    assert (await driver.answer(SESSION)).arm == "stable"
    told = None
    for number in range(LISTED + 1):
        told = with_cleared(told, "p", ROLLOUT.id, f"{number:016x}", NOW)
    assert told is not None
    assert kept(driver) == [SESSION]
    driver.board.forget(told)
    assert kept(driver) == []


def kept(driver: Driver) -> list[bytes]:
    return [session for session, recent in driver.board.sessions.all() if recent.kept is not None]


@on_uvloop
async def test_a_cleared_session_leaves_the_canary(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out(weight=1.0)
        headers = {"x-prompt": "greeter", "x-session-id": "ann"}
        assert (await stage.ask(headers=headers)).headers["x-prompt-version"] == "2"
        await stage.rollouts.change("greeter", "set_weight", BY, weight=0.0)
        await stage.worker.snapshots.poll()
        kept = await stage.ask(headers=headers)
        assert (kept.headers["x-prompt-version"], kept.headers["x-prompt-reason"]) == ("2", "pin")
        signing = tuple(key.decode() for key in stage.worker.keys)
        sessions = Sessions(stage.worker.store, Explainer(stage.worker.store, signing, PinRules()))
        place = Place("greeter", "ann")
        shown = await sessions.pin(place)
        assert shown.pin is not None
        assert (shown.pin.version, shown.cleared) == (2, False)
        assert (await sessions.clear(place, BY)).cleared
        await stage.worker.snapshots.poll()
        assert (await stage.ask(headers=headers)).headers["x-prompt-version"] == "1"
        again = await sessions.clear(place, BY)
        assert again.pin is None or again.pin.version == 1
