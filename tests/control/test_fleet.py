"""Two machines on one Redis are one history."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.rollouts import Start
from gateway.errors import Conflict, TransitionRefused
from tests.support.fleets import redis_fleet
from tests.support.prompts import prompt_text
from tests.support.redis_server import RedisServer

PROMPT = "support-agent"
ANN = By("ann", "because")

pytestmark = pytest.mark.redis


@pytest.fixture
async def machines(redis_server: RedisServer) -> AsyncIterator[list[StoreOperations]]:
    fleet = redis_fleet(redis_server)
    yield [StoreOperations(await fleet.store()) for _ in range(2)]
    await fleet.close()


async def test_twenty_operators_on_two_machines(machines: list[StoreOperations]) -> None:
    await asyncio.gather(*(machines[n % 2].push(prompt_text(f"body {n}"), "a", ANN) for n in range(6)))
    await machines[0].deploy(PROMPT, 1, ANN)
    await machines[1].start(PROMPT, Start(2, 0.5), ANN)
    results = await asyncio.gather(
        *(machines[n % 2].change(PROMPT, "set_weight", By(f"op{n}"), weight=n / 100) for n in range(20)),
        return_exceptions=True,
    )
    late = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(error, Conflict) for error in late)
    proof = await machines[0].verify_audit()
    assert (proof.ok, proof.entries) == (True, 28 - len(late))
    assert proof == await machines[1].verify_audit()


async def test_of_two_machines_that_start_one_does(machines: list[StoreOperations]) -> None:
    for body in ("one", "two", "three"):
        await machines[0].push(prompt_text(body), "a", ANN)
    await machines[0].deploy(PROMPT, 1, ANN)
    results = await asyncio.gather(
        *(machine.start(PROMPT, Start(2 + n, 0.1), ANN) for n, machine in enumerate(machines)),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) == 1
    assert isinstance(refused[0], TransitionRefused | Conflict)
    assert (await machines[0].verify_audit()).ok
