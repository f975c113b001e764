"""Deliveries to a real HTTP server: once, again after a failure, given up, asked for again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from gateway.control.alerts.delivery import Deliverer
from gateway.control.alerts.log import DeliveryLog
from gateway.control.alerts.outbox import Outbox
from gateway.control.plan import By
from gateway.errors import NotFound, TransitionRefused
from gateway.settings.alerts import Alerts
from gateway.storage import keys
from gateway.storage.sqlite import SqliteStore
from tests.support.receiver import Receiver

ANN = By("ann")
SECRET = "0123456789abcdef"


class Death(Exception):
    """Of the process."""


class World:
    """One target, whose alerts are tests: they go the way of all."""

    def __init__(self, store: SqliteStore, receiver: Receiver, http: aiohttp.ClientSession) -> None:
        self.store = store
        self.receiver = receiver
        self.http = http
        self.log = DeliveryLog(store, ("hook",))

    def make(self, **settings: Any) -> tuple[Outbox, Deliverer]:
        target = {"name": "hook", "url": self.receiver.url, "secrets": [SECRET]}
        given = {"targets": [target], "timeout": 5.0, "retry_first": 0.01} | settings
        alerts = Alerts.model_validate(given)
        return Outbox(self.store, alerts.targets), Deliverer(self.store, alerts, self.http)

    async def alert(self, outbox: Outbox) -> str:
        await outbox.turn()
        entry = await self.log.test("hook", ANN)
        await outbox.turn()
        return f"{entry}-hook"

    async def until(self, deliverer: Deliverer, check: Callable[[], bool]) -> None:
        """Claims run out by the store's clock."""
        async with asyncio.timeout(20):
            while not check():
                await deliverer.turn()
                await asyncio.sleep(0.01)


@pytest.fixture
async def world(store: SqliteStore, receiver: Receiver) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as http:
        yield World(store, receiver, http)


async def test_it_arrives_once(world: World) -> None:
    outbox, deliverer = world.make()
    id = await world.alert(outbox)
    for _ in range(3):
        await deliverer.turn()
    (got,) = world.receiver.got
    assert got.body["event"] == "test"
    assert got.headers["x-prompt-canary-id"] == got.body["id"]
    delivery = await world.log.get(id)
    assert (delivery.state, delivery.tried, delivery.attempts[0].outcome) == ("delivered", 1, "204")
    assert await world.store.depth(keys.ALERTS) == (0, 0, 0)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (500, "500"),
        (302, "302"),
        (404, "404"),
        (-1, "ServerDisconnectedError"),
        (0, "no answer within 0.1 s"),
    ],
)
async def test_what_fails_is_tried_again_under_the_same_id(world: World, answer: int, outcome: str) -> None:
    outbox, deliverer = world.make(timeout=0.1 if answer == 0 else 1.0)
    id = await world.alert(outbox)
    world.receiver.answers = [answer]
    await world.until(deliverer, lambda: len(world.receiver.got) == 2)
    delivery = await world.log.get(id)
    assert (delivery.state, delivery.tried) == ("delivered", 2)
    assert [attempt.outcome for attempt in delivery.attempts] == [outcome, "204"]
    assert len({got.headers["x-prompt-canary-id"] for got in world.receiver.got}) == 1


async def test_it_waits_longer_each_time_and_as_long_as_it_is_told(world: World) -> None:
    outbox, deliverer = world.make(timeout=0.05)
    id = await world.alert(outbox)
    world.receiver.answers = [503, 503, 503]
    waits = []
    for count in (1, 2):
        await world.until(deliverer, lambda count=count: len(world.receiver.got) == count)  # type: ignore[misc]
        delivery = await world.log.get(id)
        waits.append(delivery.next_at - delivery.attempts[-1].at)
    assert waits == pytest.approx([0.01, 0.02], abs=1e-4)
    world.receiver.headers["retry-after"] = "60"
    await world.until(deliverer, lambda: len(world.receiver.got) == 3)
    delivery = await world.log.get(id)
    assert delivery.next_at - delivery.attempts[-1].at == pytest.approx(60.0)


async def test_a_dead_letter_can_be_asked_for_again(world: World) -> None:
    outbox, deliverer = world.make(attempts=1)
    id = await world.alert(outbox)
    with pytest.raises(TransitionRefused):
        await world.log.retry(id, ANN)
    world.receiver.answers = [500]
    await deliverer.turn()
    assert (await world.log.get(id)).state == "dead"
    assert await world.store.depth(keys.ALERTS) == (0, 0, 1)
    await world.log.retry(id, ANN)
    await deliverer.turn()
    delivery = await world.log.get(id)
    assert (delivery.state, delivery.round, len(delivery.attempts)) == ("delivered", 2, 2)
    first, second = world.receiver.got
    assert first.body == second.body


async def test_a_claim_of_one_that_died_is_taken_over(world: World) -> None:
    outbox, deliverer = world.make(timeout=0.05)
    await world.alert(outbox)
    assert await world.store.claim(keys.ALERTS, "one that dies", limit=9, lease=0.05)
    await world.until(deliverer, lambda: len(world.receiver.got) == 1)


async def test_one_that_was_sent_and_not_noted_is_sent_again(world: World) -> None:
    """At least once: the process dies between the answer and the note of it."""
    outbox, deliverer = world.make(timeout=0.05)
    id = await world.alert(outbox)
    told = world.store.commit

    async def dies(*_: object, **__: object) -> int:
        raise Death

    world.store.commit = dies  # type: ignore[method-assign]
    with pytest.raises(ExceptionGroup):
        await deliverer.turn()
    world.store.commit = told  # type: ignore[method-assign]
    assert len(world.receiver.got) == 1
    await world.until(deliverer, lambda: len(world.receiver.got) == 2)
    assert (await world.log.get(id)).state == "delivered"


async def test_of_two_deliverers_one_sends(world: World) -> None:
    outbox, first = world.make()
    _, second = world.make()
    for _ in range(5):
        await world.alert(outbox)
    await asyncio.gather(first.turn(), second.turn())
    assert len(world.receiver.got) == 5
    assert len({got.headers["x-prompt-canary-id"] for got in world.receiver.got}) == 5


async def test_a_target_that_is_gone_is_given_up_in_the_end(world: World) -> None:
    outbox, _ = world.make()
    id = await world.alert(outbox)
    _, deliverer = world.make(targets=[], attempts=1)
    await deliverer.turn()
    delivery = await world.log.get(id)
    assert (delivery.state, delivery.attempts[0].outcome) == (
        *("dead", "the configuration has no such target"),
    )


async def test_the_log_is_paged_and_knows_what_there_is(world: World) -> None:
    outbox, _ = world.make()
    ids = [await world.alert(outbox) for _ in range(3)]
    page = await world.log.page("", 2)
    assert [each.id for each in page] == [ids[2], ids[1]]
    assert [each.id for each in await world.log.page(page[-1].id, 2)] == [ids[0]]
    for id in ("1-nobody", "x", "", "9" * 13 + "-hook"):
        with pytest.raises(NotFound):
            await world.log.get(id)
    with pytest.raises(NotFound, match="there is hook"):
        await world.log.test("nobody", ANN)
