"""How the judge slows down: by what is spent, by what waits, and by one process of a fleet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.control.judging.budget import Budget, Spent, day
from gateway.control.judging.pace import HALVES, SETTLE, SLOW, TURN, Backlog, Pace, Pacer, share_of
from gateway.control.oversight import read_pace, standing
from gateway.domain.judging import Item
from gateway.domain.observation import Drawn
from gateway.domain.policy import POLICIES
from gateway.domain.rollout import Deployment, Rollout, Weight
from gateway.storage import codec, keys
from gateway.storage.base import Put
from gateway.storage.sqlite import SqliteStore
from tests.support.judging import PROMPT, ROLLOUT, enqueue
from tests.support.stores import PATIENT

NOON = 1_800_000_000.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "store", limits=PATIENT)
    await opened.open()
    await opened.commit([Put(keys.deployment(PROMPT), codec.encode(Deployment(PROMPT, 1, rollout())), 0)])
    yield opened
    await opened.close()


def rollout() -> Rollout:
    weight = Weight(0.5, 0.0)
    return Rollout(
        ROLLOUT, PROMPT, 2, 1, "salt", "progressing", (weight,), 0.0, "tester", policy=POLICIES["standard"]
    )


def pacer(store: SqliteStore, owner: str = "one", **limits: float) -> tuple[Pacer, Budget]:
    limits = {"per_day": 0.0, "per_rollout": 0.0, **limits}
    budget = Budget(store, per_day=limits["per_day"], per_rollout=limits["per_rollout"])
    return Pacer(store, budget, owner, **limits), budget


def waited(share: float) -> Item:
    """One that is taken up at 1000 after so much of its time."""
    unit = Drawn(b"s", False, 0.5, 1.0, 1.0, 1000.0 - 100.0 * share, True)
    return Item(PROMPT, ROLLOUT, unit, unit.pinned_at + 100.0, "", "words")


def test_the_rate_never_rises_with_what_is_spent_and_never_reaches_zero() -> None:
    shares = [share_of(spent / 100.0, 1.0) for spent in range(120)]
    assert shares == sorted(shares, reverse=True)
    assert shares[49] == 1.0
    assert shares[-1] == 0.5**HALVES


def test_a_limit_lasts_for_four_times_as_many_sessions() -> None:
    spent, sessions = 0.0, 0
    while spent < 1.0:
        spent += 0.001 * share_of(spent, 1.0)  # at full rate it would last for 1,000
        sessions += 1
    assert 3950 <= sessions <= 4050


def test_answers_that_wait_too_long_halve_the_rate_and_those_that_do_not_give_it_back() -> None:
    backlog = Backlog()
    assert backlog.turn(0.0) == 1.0
    backlog.saw(waited(0.6), 1000.0)
    backlog.saw(waited(0.1), 1000.0)
    assert backlog.turn(10.0) == 0.5
    backlog.saw(waited(0.9), 1000.0)
    assert backlog.turn(10.0 + SETTLE / 2) == 0.5  # what the first change does is not seen yet
    assert backlog.turn(10.0 + SETTLE) == 0.25
    backlog.saw(waited(0.3), 1000.0)
    assert backlog.turn(500.0) == 0.25
    assert backlog.turn(600.0) == 0.25  # nothing seen, nothing known
    for now in (700.0, 800.0, 900.0):
        backlog.saw(waited(0.1), 1000.0)
        rate = backlog.turn(now)
    assert rate == 1.0
    for now in range(1000, 2000, 100):
        backlog.saw(waited(2.0), 1000.0)
        rate = backlog.turn(float(now))
    assert rate == 0.5**HALVES


async def test_what_is_spent_and_what_is_promised_lower_the_rate_of_a_rollout(store: SqliteStore) -> None:
    slow, budget = pacer(store, per_rollout=1.0)
    await slow.turn(NOON)
    assert await read_pace(store, ROLLOUT) == Pace()
    budget.add(ROLLOUT, NOON, Spent(usd=0.6, calls=6, scored=6))
    await slow.turn(NOON + TURN / 2)
    assert (await read_pace(store, ROLLOUT)).share == 1.0
    await slow.turn(NOON + TURN)
    found = await read_pace(store, ROLLOUT)
    assert found.share == 0.5
    assert found.why == "0.60 of the 1 USD for a rollout (judge.usd_per_rollout) are spent"
    await enqueue(store, 2)  # at .10 each
    await slow.turn(NOON + 2 * TURN)
    assert (await read_pace(store, ROLLOUT)).share == 0.25
    known = await standing(store, rollout())
    assert (known.share, known.doubt) == (0.25, "")
    assert "usd_per_rollout" in known.why


async def test_a_day_that_is_dear_slows_every_rollout_until_the_next(store: SqliteStore) -> None:
    slow, budget = pacer(store, per_day=10.0)
    budget.add("another", NOON, Spent(usd=9.0, calls=9, scored=9))
    await budget.flush()
    await slow.turn(NOON)
    found = await read_pace(store, ROLLOUT)
    assert (found.share, found.why) == (0.125, "9.00 of the 10 USD for a day (judge.usd_per_day) are spent")
    tomorrow = NOON + 86_400.0
    assert day(tomorrow) != day(NOON)
    await slow.turn(tomorrow)
    assert await read_pace(store, ROLLOUT) == Pace(1.0, "")


async def test_one_process_sets_the_pace_and_sees_what_others_spend(store: SqliteStore) -> None:
    first, _ = pacer(store, "first", per_rollout=1.0)
    second, spending = pacer(store, "second", per_rollout=1.0)
    await first.turn(NOON)
    second.backlog.saw(waited(0.9), 1000.0)
    await second.turn(NOON)
    assert (await read_pace(store, ROLLOUT)).share == 1.0
    spending.add(ROLLOUT, NOON, Spent(usd=0.8, calls=1, scored=1))
    await spending.flush()
    await first.turn(NOON + TURN)
    assert (await read_pace(store, ROLLOUT)).share == 0.25
    await store.release(keys.PACER, "first")
    second.backlog.saw(waited(0.9), 1000.0)
    second.backlog._changed_at = 0.0
    for _ in range(3):
        second._turned_at = 0.0
        second.backlog.saw(waited(0.9), 1000.0)
        second.backlog._changed_at = 0.0
        await second.turn(NOON + 2 * TURN)
    assert await read_pace(store, ROLLOUT) == Pace(0.0625, SLOW)
