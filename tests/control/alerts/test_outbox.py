"""From the audit log to deliveries: each once, whoever dies, and nothing of the time before."""

import asyncio

import pytest

from gateway.control import stages
from gateway.control.alerts.log import DeliveryLog
from gateway.control.alerts.outbox import Cursor, Delivery, Outbox, wants
from gateway.control.changes import Change, Current, commit
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.registry import Registry
from gateway.control.rollouts import Start, change_of
from gateway.domain.alert import Alert
from gateway.domain.prompt import Gate
from gateway.settings.alerts import AlertTarget
from gateway.storage import codec, keys
from gateway.storage.base import Put
from gateway.storage.sqlite import SqliteStore
from tests.support.prompts import prompt_text

ANN = By("ann", "why")
ALL = AlertTarget(name="all", kind="slack", url="http://127.0.0.1:1/")
BACK = AlertTarget(name="back", kind="slack", url="http://127.0.0.1:1/", events=("rollback",))
OTHERS = AlertTarget(name="others", kind="slack", url="http://127.0.0.1:1/", prompts=("billing-*",))
TARGETS = (ALL, BACK, OTHERS)


@pytest.fixture
async def ready(store: SqliteStore, operations: StoreOperations) -> SqliteStore:
    for body in ("one", "two"):
        await operations.push(prompt_text(body), "file", ANN)
    await operations.deploy("support-agent", 1, ANN, emergency=True)
    return store


async def rolled_back(operations: StoreOperations) -> None:
    await operations.start("support-agent", Start(2, 0.1), ANN)
    await operations.change("support-agent", "roll_back", ANN)


async def deliveries(store: SqliteStore) -> list[Delivery]:
    return [codec.decode_document(each, Delivery) for each in await store.list(keys.DELIVERIES)]


async def test_each_target_gets_what_it_wants(ready: SqliteStore, operations: StoreOperations) -> None:
    outbox = Outbox(ready, TARGETS)
    await outbox.turn()
    assert await deliveries(ready) == []  # the emergency was before
    await rolled_back(operations)
    await outbox.turn()
    found = await deliveries(ready)
    assert [(each.target, each.alert.event, each.state) for each in found] == [
        *(("all", "rollback", "waiting"), ("back", "rollback", "waiting")),
    ]
    assert await ready.depth(keys.ALERTS) == (2, 0, 0)
    await operations.deploy("support-agent", 2, ANN, emergency=True)
    await outbox.turn()
    assert [each.alert.event for each in await deliveries(ready)] == ["emergency", "rollback", "rollback"]


async def test_many_processes_make_each_once(ready: SqliteStore, operations: StoreOperations) -> None:
    await Outbox(ready, TARGETS).turn()
    for _ in range(3):
        await rolled_back(operations)
    outboxes = [Outbox(ready, TARGETS) for _ in range(4)]
    for _ in range(3):
        await asyncio.gather(*(outbox.turn() for outbox in outboxes))
    assert len(await deliveries(ready)) == 6
    assert await ready.depth(keys.ALERTS) == (6, 0, 0)


async def test_one_that_died_half_way_is_followed(ready: SqliteStore, operations: StoreOperations) -> None:
    await Outbox(ready, TARGETS).turn()
    cursor = await ready.get(keys.ALERT_CURSOR)
    assert cursor is not None
    await rolled_back(operations)
    await Outbox(ready, TARGETS).turn()
    await ready.commit([Put(keys.ALERT_CURSOR, cursor.value, None)])
    await Outbox(ready, TARGETS).turn()
    assert len(await deliveries(ready)) == 2
    assert await ready.depth(keys.ALERTS) == (2, 0, 0)


async def test_what_the_queue_lost_is_found_again(ready: SqliteStore, operations: StoreOperations) -> None:
    await Outbox(ready, (ALL,)).turn()
    await rolled_back(operations)
    await Outbox(ready, (ALL,)).turn()
    (claim,) = await ready.claim(keys.ALERTS, "x", limit=9, lease=60.0)
    (document,) = await ready.list(keys.DELIVERIES)
    waiting = codec.decode_document(document, Delivery)
    await ready.acknowledge(keys.ALERTS, "x", claim.id)
    again = Delivery(waiting.id, waiting.target, waiting.alert, round=2)  # never came to the queue
    await ready.commit([Put(document.key, codec.encode(again), document.revision)])
    await Outbox(ready, (ALL,)).turn()
    assert [claim.id for claim in await ready.claim(keys.ALERTS, "x", limit=9, lease=60.0)] == [again.item]


async def test_a_log_that_went_back_is_read_from_its_end(
    ready: SqliteStore, operations: StoreOperations, caplog: pytest.LogCaptureFixture
) -> None:
    await ready.commit([Put(keys.ALERT_CURSOR, codec.encode(Cursor(10**6)), 0)])
    outbox = Outbox(ready, TARGETS)
    await rolled_back(operations)
    await outbox.turn()
    assert "entries are lost" in caplog.text


def test_who_heard_of_a_hold_hears_of_its_end() -> None:
    release = Alert("1.a", "release", "p", "", 0.0, "ann", "", 1, "0a", 2, None, 1)
    pager = AlertTarget(name="pager", kind="pagerduty", routing_key="k", events=("incident",))
    assert wants(pager, release)
    assert not wants(
        AlertTarget(name="pager", kind="pagerduty", routing_key="k", events=("rollback",)), release
    )
    assert not wants(BACK, release)
    assert not wants(OTHERS, release)


async def test_a_hold_that_ends_with_its_rollout_is_released(
    ready: SqliteStore, operations: StoreOperations
) -> None:
    pager = AlertTarget(name="pager", kind="pagerduty", routing_key="k")
    outbox, log = Outbox(ready, (pager,)), DeliveryLog(ready, ("pager",))
    await outbox.turn()
    await operations.start("support-agent", Start(2, policy="standard"), ANN)
    await held(ready)
    await operations.change("support-agent", "roll_back", ANN)
    await outbox.turn()
    found = await log.page("", 10)
    assert [each.alert.event for each in found] == ["release", "rollback", "hold"]
    assert await ready.depth(keys.ALERTS) == (3, 0, 0)
    for each in found:
        assert await log.get(each.id) == each
        assert await log.page(each.id, 10) == found[found.index(each) + 1 :]


async def test_a_gate_that_fails_ends_a_hold_too(ready: SqliteStore, operations: StoreOperations) -> None:
    outbox = Outbox(ready, (ALL,))
    await outbox.turn()
    await operations.start("support-agent", Start(2, policy="standard"), ANN)
    await held(ready)
    await Registry(ready).record_gate("support-agent", 2, Gate("failed", suite="s"), ANN)
    await outbox.turn()
    assert [each.alert.event for each in await deliveries(ready)] == ["release", "rollback", "hold"]


async def held(store: SqliteStore) -> None:
    async def planned(current: Current) -> Change | None:
        return change_of(current, stages.hold(current.deployment, "gate", "pending", now=current.now), "hold")

    await commit(store, "support-agent", ANN, planned)
