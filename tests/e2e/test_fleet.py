"""Two supervisors on one Redis, as on two machines, are one gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, ask_once, make_gateway, running
from tests.support.redis_server import RedisServer

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
PATIENT = "sessions: {lookup_timeout: 2}"  # beside other tests the machine itself may stand still for long
pytestmark = pytest.mark.redis


async def arm(gateway: Gateway, number: int) -> str:
    return (await ask_once(gateway.port, BODY, {"x-session-id": f"s-{number}"})).arm


async def at_once(work: Callable[[int], Awaitable[None]], numbers: Iterable[int], *, most: int = 20) -> None:
    """For each number, at most `most` at the same time."""
    room = asyncio.Semaphore(most)

    async def one(number: int) -> None:
        async with room:
            await work(number)

    await asyncio.gather(*map(one, numbers))


async def test_the_same_pins_and_a_change_reaches_both_within_a_second(
    folder: Path, redis_server: RedisServer
) -> None:
    store = f"{{kind: redis, url: '{redis_server.url}', prefix: fleet}}"
    first = make_gateway(folder / "one", store=store, extra=PATIENT)
    second = make_gateway(folder / "two", store=store, simulator=first.simulator, extra=PATIENT)
    with running(first), running(second):
        first.start_rollout(first.push("second"), 0.5)
        await asyncio.sleep(1.6)
        arms: dict[int, str] = {}

        async def asked_at_both(number: int) -> None:
            here, there = (first, second) if number % 2 else (second, first)
            arms[number] = await arm(here, number)
            assert await arm(there, number) == arms[number]

        await at_once(asked_at_both, range(200))
        assert set(arms.values()) == {"canary", "stable"}
        first.act("weight", weight=1.0)
        await asyncio.sleep(1.6)

        async def asked_again(number: int) -> None:
            assert await arm(second, number) == arms[number]

        await at_once(asked_again, arms)
        second.act("roll_back")
        committed = time.monotonic()
        canaries = [number for number, arm in arms.items() if arm == "canary"]
        await asyncio.sleep(max(0.0, committed + 1.0 - time.monotonic()))
        for gateway in (first, second):
            for number in canaries[:20]:
                answer = await ask_once(gateway.port, BODY, {"x-session-id": f"s-{number}"})
                assert answer.version == 1
