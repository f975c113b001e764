"""A worker's pins: two boards on one real store, and one on a store that fails as it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from gateway.domain.assignment import bucket
from gateway.domain.pins import (
    NO_NEW_AFTER,
    Ask,
    Assignment,
    Pin,
    PinRules,
    View,
    decode_pin,
    encode_pin,
)
from gateway.domain.rollout import Rollout, Weight
from gateway.errors import StoreUnavailable
from gateway.proxy.pins import PinBoard, Pinning
from gateway.storage import keys
from gateway.storage.base import Keys, Store
from tests.support.stores import Fleet, NeverAtOnce, never_at_once

NOW = 1_000_000.0
RULES = PinRules()
ROLLOUT = Rollout("0a0a0a0a0a0a", "p", 2, 1, "salt", "progressing", (Weight(0.5, NOW - 99),), NOW - 100, "me")
SESSIONS = [b"session-%08d" % number for number in range(400)]
CANARY, OTHER_CANARY = [s for s in SESSIONS if bucket("salt", s) < 0.1][:2]
STABLE = next(s for s in SESSIONS if bucket("salt", s) > 0.9)
MIDDLE = next(s for s in SESSIONS if 0.55 < bucket("salt", s) < 0.7)


class Views:
    """What a worker knows, as the test says."""

    def __init__(self) -> None:
        self.rollout: Rollout | None = ROLLOUT
        self.live = 1
        self.now = NOW
        self.staleness = 0.1

    def view(self, prompt: str) -> View:
        return View(self.live, self.rollout, self.now, self.staleness)

    def store_now(self) -> float:
        return self.now


class ScriptedKeys(NeverAtOnce):
    """Pins in a dict; calls wait while `gate` is closed and fail while `down`."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.touched: list[tuple[str, float]] = []
        self.reads = 0
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def _call(self) -> None:
        await self.gate.wait()
        if self.down:
            raise StoreUnavailable("down")

    async def get_key(self, key: str) -> bytes | None:
        self.reads += 1
        await self._call()
        return self.values.get(key)

    async def set_if_absent(self, key: str, value: bytes, ttl: float) -> bytes:
        await self._call()
        return self.values.setdefault(key, value)

    async def set_all_if_absent(self, items: Sequence[tuple[str, bytes, float]]) -> tuple[bytes, ...]:
        await self._call()
        return tuple(self.values.setdefault(key, value) for key, value, _ in items)

    async def touch(self, keys: Sequence[tuple[str, float]]) -> None:
        await self._call()
        self.touched += keys

    async def delete_key(self, key: str) -> None:
        self.values.pop(key, None)


class Driver:
    """A worker as an exchange sees it."""

    def __init__(
        self, store: Keys, views: Views | None = None, size: int = 100, patience: float = 5.0
    ) -> None:
        self.views = views or Views()
        self.board = PinBoard(store, self.views, RULES, size=size, patience=patience)

    async def assign(self, session: bytes | None, *, turn: bool = False) -> tuple[Assignment, Pinning | None]:
        chosen: asyncio.Future[tuple[Assignment, Pinning | None]] = asyncio.Future()
        ask = Ask(session, turn)
        recent = None if session is None else self.board.sessions.of(session)
        self.board.assign("p", ask, recent, lambda *result: chosen.set_result(result))
        return await chosen

    async def answer(self, session: bytes | None, *, turn: bool = False) -> Assignment:
        """A whole request: the assignment as it stands when the response ends."""
        assignment, pinning = await self.assign(session, turn=turn)
        return assignment if pinning is None else await settled(pinning)


async def settled(pinning: Pinning) -> Assignment:
    done = asyncio.Event()
    pinning.start(done.set)
    await done.wait()
    return pinning.assignment


def at_weight(value: float) -> Rollout:
    return msgspec.structs.replace(ROLLOUT, weights=(*ROLLOUT.weights, Weight(value, NOW - 1)))


@pytest.fixture(params=["at once", "later"])
async def store(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    fleet = Fleet("sqlite", str(tmp_path), "pc", None)
    store = await fleet.store()
    yield store if request.param == "at once" else never_at_once(store)
    await fleet.close()


@pytest.fixture
def scripted() -> ScriptedKeys:
    return ScriptedKeys()


async def test_a_session_keeps_its_version_on_every_worker_and_step(store: Store) -> None:
    one, two = Driver(store), Driver(store)
    first = {session: await one.answer(session) for session in SESSIONS[:100]}
    two.views.rollout = one.views.rollout = at_weight(1.0)
    for session, before in first.items():
        after = await two.answer(session, turn=True)
        assert (after.arm, after.version, after.pin) == (before.arm, before.version, before.pin)
        assert (before.reason, after.reason) == ("weight", "pin")
    assert two.board.counts.lookups == 100


async def test_a_cached_pin_costs_no_call_and_an_evicted_one_changes_nothing(store: Store) -> None:
    small, large = Driver(store, size=1), Driver(store, size=100)
    for _ in range(3):
        for session in SESSIONS[:20]:
            assert (await small.answer(session)).version == (await large.answer(session)).version
    assert large.board.counts.lookups <= 20
    assert len(small.board.sessions) <= 2 and small.board.sessions.evicted > 20


async def test_two_workers_that_race_agree_afterwards(store: Store) -> None:
    """The one that lost keeps the winner, and its own answer is no evidence."""
    one, two = Driver(store), Driver(store)
    two.views.rollout = at_weight(1.0)
    (mine, pinning), (other, late) = await one.assign(MIDDLE), await two.assign(MIDDLE)
    assert pinning is not None and late is not None
    assert (mine.arm, other.arm) == ("stable", "canary")
    won, lost = await settled(pinning), await settled(late)
    assert (won.reason, won.evidence) == ("weight", True)
    assert (lost.reason, lost.evidence, lost.version) == ("unpinned", False, 2)
    assert two.board.counts.lost == 1
    again, _ = await two.assign(MIDDLE)
    assert (again.version, again.reason, again.pin) == (1, "pin", won.pin)


async def test_a_running_conversation_stays_stable_and_is_no_evidence(store: Store) -> None:
    driver = Driver(store)
    first = await driver.answer(CANARY, turn=True)
    assert (first.arm, first.reason, first.evidence) == ("stable", "running", False)
    later = await Driver(store).answer(CANARY)
    assert (later.arm, later.reason, later.evidence) == ("stable", "pin", False)


async def test_at_rollback_every_pin_is_void_and_a_look_up_under_way_too(scripted: ScriptedKeys) -> None:
    driver = Driver(scripted)
    assert (await driver.answer(CANARY)).arm == "canary"
    scripted.gate.clear()
    under_way = asyncio.create_task(driver.assign(OTHER_CANARY))
    await asyncio.sleep(0)
    driver.views.rollout = None
    scripted.gate.set()
    assignment, _ = await under_way
    assert (assignment.version, assignment.reason) == (1, "live")
    assert (await driver.answer(CANARY)).reason == "live"


async def test_a_new_rollout_does_not_see_pins_of_the_last(store: Store) -> None:
    driver = Driver(store)
    assert (await driver.answer(CANARY)).arm == "canary"
    weights = (Weight(0.0, NOW - 5),)
    driver.views.rollout = msgspec.structs.replace(ROLLOUT, id="0b0b0b0b0b0b", weights=weights)
    assert (await driver.answer(CANARY)).arm == "stable"


async def test_a_failed_look_up_is_served_by_the_hash(scripted: ScriptedKeys) -> None:
    scripted.down = True
    driver = Driver(scripted)
    assignment, pinning = await driver.assign(CANARY)
    assert (assignment.arm, assignment.reason, assignment.evidence) == ("canary", "unpinned", False)
    assert pinning is not None
    scripted.down = False  # the write proves that the session was new
    assert (await settled(pinning)).evidence
    assert driver.board.counts.failed_lookups == 1


async def test_a_write_that_fails_leaves_the_answer_unpinned(scripted: ScriptedKeys) -> None:
    driver = Driver(scripted)
    assignment, pinning = await driver.assign(STABLE)
    assert assignment.reason == "weight" and pinning is not None
    scripted.down = True
    final = await settled(pinning)
    assert (final.arm, final.reason, final.evidence) == ("stable", "unpinned", False)
    assert driver.board.counts.failed_writes == 1


async def test_an_answer_does_not_wait_for_a_slow_write_but_learns_from_it(scripted: ScriptedKeys) -> None:
    driver = Driver(scripted, patience=0.01)
    _, pinning = await driver.assign(STABLE)
    assert pinning is not None
    scripted.gate.clear()
    assert (await settled(pinning)).reason == "unpinned"
    scripted.gate.set()
    await driver.board.close()
    assert (pinning.assignment.reason, pinning.assignment.evidence) == ("weight", True)
    assert (await driver.answer(STABLE)).reason == "pin"


async def test_requests_of_one_session_share_a_look_up(scripted: ScriptedKeys) -> None:
    driver = Driver(scripted)
    answers = await asyncio.gather(*(driver.answer(CANARY) for _ in range(10)))
    assert {answer.version for answer in answers} == {2}
    assert scripted.reads == 1


async def test_a_pin_is_refreshed_while_it_is_used(scripted: ScriptedKeys) -> None:
    driver = Driver(scripted)
    await driver.answer(CANARY)
    await driver.answer(CANARY)
    await driver.board.refresh()
    assert scripted.touched == []  # less than a tenth of its life has passed
    for use in range(1, 50):
        driver.views.now = NOW + 1500.0 * use
        assert (await driver.answer(CANARY)).reason == "pin"
        await driver.board.refresh()
    assert scripted.touched == [(keys.pin(ROLLOUT.id, CANARY.hex()), RULES.ttl)] * 49
    assert scripted.reads == 1


async def test_an_old_pin_that_is_met_for_the_first_time_is_refreshed_too(scripted: ScriptedKeys) -> None:
    """Nobody knows how long it still lives: it is looked up until a refresh is proven to have met it."""
    old = Pin("canary", 2, 0.5, 1.0, 1.0, True, True, NOW - 2 * RULES.ttl)
    scripted.values[keys.pin(ROLLOUT.id, CANARY.hex())] = encode_pin(old)
    driver = Driver(scripted)
    driver.views.rollout = msgspec.structs.replace(ROLLOUT, started_at=NOW - 50_000)
    assert (await driver.answer(CANARY)).pin == old
    await driver.board.refresh()
    assert len(scripted.touched) == 1
    for _ in range(5):
        assert (await driver.answer(CANARY)).pin == old
    assert scripted.reads == 2


async def test_a_refresh_that_came_too_late_proves_nothing(scripted: ScriptedKeys) -> None:
    driver = Driver(scripted)
    await driver.answer(CANARY)
    driver.views.now = NOW + RULES.ttl - 11
    await driver.answer(CANARY)
    scripted.gate.clear()
    refresh = asyncio.create_task(driver.board.refresh())
    await asyncio.sleep(0)
    driver.views.now = NOW + RULES.ttl + 1
    scripted.gate.set()
    await refresh
    reads = scripted.reads
    scripted.values.clear()
    assert (await driver.answer(CANARY)).reason == "weight"
    assert scripted.reads == reads + 1


async def test_a_stale_view_sends_no_new_session_to_the_canary(scripted: ScriptedKeys) -> None:
    driver = Driver(scripted)
    await driver.answer(CANARY)
    driver.views.staleness = NO_NEW_AFTER + 1
    assert (await driver.answer(OTHER_CANARY)).reason == "stale"
    assert (await driver.answer(CANARY)).reason == "pin"


async def test_bytes_that_are_no_pin_leave_the_session_unpinned(store: Store) -> None:
    await store.set_if_absent(keys.pin(ROLLOUT.id, CANARY.hex()), b"junk", 60.0)
    final = await Driver(store).answer(CANARY)
    assert (final.arm, final.reason, final.evidence) == ("canary", "unpinned", False)


async def test_what_is_stored_is_what_was_drawn(store: Store) -> None:
    await Driver(store).answer(STABLE)
    value = await store.get_key(keys.pin(ROLLOUT.id, STABLE.hex()))
    assert value is not None
    assert decode_pin(value) == Pin("stable", 1, 0.5, 1.0, 1.0, True, True, NOW)
