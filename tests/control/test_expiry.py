"""Emergency deploys that expire: rules on values, then in a store, by any number of processes."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway.control import plan
from gateway.control.expiry import Expiries
from gateway.control.operations import StoreOperations
from gateway.control.plan import By, Planned
from gateway.control.rollouts import Start
from gateway.domain.policy import POLICIES
from gateway.domain.prompt import Gate
from gateway.domain.rollout import Deployment, Expiry
from gateway.errors import InvalidValue, TransitionRefused
from gateway.storage.sqlite import SqliteStore
from tests.support.prompts import prompt_text

ANN = By("ann", "because")
LIVE = Deployment("support", live=1, gates={1: Gate("passed"), 2: Gate("passed"), 3: Gate("pending")})


def deployed(
    before: Deployment, version: int, now: float = 0.0, expires_in: float | None = 60.0
) -> Deployment:
    emergency = expires_in is not None
    return plan.deploy(
        before, version, emergency=emergency, expires_in=expires_in, now=now, by=ANN
    ).deployment


def reverted(deployment: Deployment, now: float) -> Planned:
    return plan.revert(deployment, now=now, by=By("services"))


EMERGENCY = deployed(LIVE, 3)


def test_it_is_taken_back_once_in_its_time() -> None:
    assert EMERGENCY.expiry == Expiry(60.0, 1)
    assert reverted(EMERGENCY, 59.9).deployment == EMERGENCY
    back = reverted(EMERGENCY, 60.0).deployment
    assert (back.live, back.expiry) == (1, None)
    assert reverted(back, 1000.0).deployment == back


def test_whatever_is_deployed_since_stays() -> None:
    assert deployed(EMERGENCY, 2, expires_in=None).expiry is None
    for_good = plan.deploy(EMERGENCY, 3, emergency=True, now=5.0, by=ANN).deployment
    assert (for_good.live, for_good.expiry) == (3, None)


def test_whatever_is_promoted_since_stays() -> None:
    by_hand = plan.start(EMERGENCY, 2, 0.1, id="r", salt="s", now=1.0, by=ANN).deployment
    assert plan.change(by_hand, "promote", now=2.0, by=ANN).deployment.expiry is None
    assert plan.change(by_hand, "abort", now=2.0, by=ANN).deployment.expiry == EMERGENCY.expiry
    under = plan.Under("standard", POLICIES["standard"])
    watched = plan.change(
        plan.start(EMERGENCY, 2, under, id="r", salt="s", now=1.0, by=ANN).deployment,
        "promote",
        now=2.0,
        by=ANN,
    )
    assert watched.deployment.expiry is None
    back = plan.change(watched.deployment, "roll_back", now=3.0, by=ANN).deployment
    assert (back.live, back.expiry) == (3, None)


def test_a_rollout_against_it_is_aborted_in_the_same_write() -> None:
    started = plan.start(EMERGENCY, 2, 0.1, id="r", salt="s", now=1.0, by=ANN).deployment
    planned = reverted(started, 60.0)
    assert (planned.deployment.live, planned.deployment.rollout) == (1, None)
    assert planned.ended is not None
    assert planned.ended.phase == "aborted"


def test_a_later_expiry_keeps_the_way_back() -> None:
    longer = deployed(EMERGENCY, 3, now=30.0, expires_in=600.0)
    assert longer.expiry == Expiry(630.0, 1)
    other = deployed(EMERGENCY, 2, now=30.0)
    assert other.expiry == Expiry(90.0, 3)


def test_an_emergency_in_the_watch_goes_back_to_the_baseline() -> None:
    under = plan.Under("standard", POLICIES["standard"])
    started = plan.start(LIVE, 2, under, id="r", salt="s", now=0.0, by=ANN).deployment
    watched = plan.change(started, "promote", now=1.0, by=ANN).deployment
    assert watched.live == 2
    assert deployed(watched, 3).expiry == Expiry(60.0, 1)


@pytest.mark.parametrize("expires_in", [0.0, -1.0, float("nan"), 31 * 86_400.0])
def test_what_is_no_expiry(expires_in: float) -> None:
    with pytest.raises(InvalidValue):
        deployed(LIVE, 3, expires_in=expires_in)


def test_what_cannot_be_taken_back_is_refused() -> None:
    with pytest.raises(InvalidValue):
        plan.deploy(LIVE, 2, emergency=False, expires_in=5.0, now=0.0, by=ANN)
    for before, version in ((replace(LIVE, live=None), 1), (LIVE, 1)):
        with pytest.raises(TransitionRefused):
            deployed(before, version)


async def test_in_a_store_it_happens_once(store: SqliteStore, operations: StoreOperations) -> None:
    for body in ("one", "two", "three"):
        await operations.push(prompt_text(body), "file", ANN)
    await operations.deploy("support-agent", 1, ANN)
    await operations.deploy("support-agent", 2, ANN, emergency=True, expires_in=0.2)
    rollout = await operations.start("support-agent", Start(3, 0.1), ANN)
    assert rollout.rollout is not None
    loops = [Expiries(store) for _ in range(3)]
    async with asyncio.timeout(20):
        while (await operations.deployment("support-agent")).expiry is not None:
            await asyncio.gather(*(each.turn() for each in loops))
            await asyncio.sleep(0.01)
    view = await operations.deployment("support-agent")
    assert (view.live, view.rollout) == (1, None)
    await asyncio.gather(*(each.turn() for each in loops))
    entries = (await operations.audit(prompt="support-agent")).entries
    assert [entry.action for entry in entries].count("revert") == 1
    assert (entries[0].action, entries[0].actor) == ("revert", "services")
    assert entries[0].after["ended"]["phase"] == "aborted"
    assert entries[2].after["expiry"]["back_to"] == 1


async def test_one_that_was_replaced_does_not_come_back(
    store: SqliteStore, operations: StoreOperations
) -> None:
    for body in ("one", "two"):
        await operations.push(prompt_text(body), "file", ANN)
    await operations.deploy("support-agent", 1, ANN)
    await operations.deploy("support-agent", 2, ANN, emergency=True, expires_in=60.0)
    loop = Expiries(store)
    await loop.turn()
    await operations.deploy("support-agent", 2, ANN)
    loop._due["support-agent"] = 0.0  # as if its time had come before this was known
    await loop.turn()
    assert (await operations.deployment("support-agent")).live == 2
    assert loop._due == {}
