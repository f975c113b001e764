"""Two supervisors on one Redis, as on two machines, are one gateway."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.gateway import ask_once, make_gateway, running
from tests.support.redis_server import RedisServer

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
pytestmark = pytest.mark.redis


async def test_the_same_pins_and_a_change_reaches_both_within_a_second(
    folder: Path, redis_server: RedisServer
) -> None:
    store = f"{{kind: redis, url: '{redis_server.url}', prefix: fleet}}"
    first = make_gateway(folder / "one", store=store)
    second = make_gateway(folder / "two", store=store, simulator=first.simulator)
    with running(first), running(second):
        first.start_rollout(first.push("second"), 0.5)
        await asyncio.sleep(1.6)
        arms = {}
        for number in range(200):
            here, there = (first, second) if number % 2 else (second, first)
            headers = {"x-session-id": f"s-{number}"}
            arms[number] = (await ask_once(here.port, BODY, headers)).arm
            assert (await ask_once(there.port, BODY, headers)).arm == arms[number]
        assert set(arms.values()) == {"canary", "stable"}
        first.act("weight", weight=1.0)
        await asyncio.sleep(1.6)
        for number, arm in arms.items():
            assert (await ask_once(second.port, BODY, {"x-session-id": f"s-{number}"})).arm == arm
        second.act("roll_back")
        committed = time.monotonic()
        canaries = [number for number, arm in arms.items() if arm == "canary"]
        await asyncio.sleep(max(0.0, committed + 1.0 - time.monotonic()))
        for gateway in (first, second):
            for number in canaries[:20]:
                answer = await ask_once(gateway.port, BODY, {"x-session-id": f"s-{number}"})
                assert answer.version == 1
