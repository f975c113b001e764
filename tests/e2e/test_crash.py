"""kill -9 of everything, then a start: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, ask_once, make_gateway, running
from tests.support.redis_server import RedisServer

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'

PATIENT = "sessions: {lookup_timeout: 2}"  # beside other tests the machine itself may stand still for long


async def arms(gateway: Gateway) -> list[str]:
    """Of 100 sessions."""
    headers = [{"x-session-id": f"s-{number}"} for number in range(100)]
    return [
        answer.arm for answer in await asyncio.gather(*(ask_once(gateway.port, BODY, h) for h in headers))
    ]


async def live_through_it(gateway: Gateway, redis: RedisServer | None) -> None:
    with running(gateway):
        gateway.start_rollout(gateway.push("second"), 0.5)
        await asyncio.sleep(1.6)
        before = await arms(gateway)
        gateway.act("weight", weight=1.0)
        audit = gateway.call("/v1/audit")
        versions = gateway.call("/v1/prompts/greeter/versions")
        gateway.kill_everything()
        if redis is not None:
            redis.kill()
            redis.start()
        gateway.start()
        assert gateway.call("/v1/prompts/greeter/versions") == versions
        after = gateway.call("/v1/audit")
        assert after["entries"][: len(audit["entries"])] == audit["entries"]
        assert gateway.call("/v1/audit/verify")["ok"]
        assert gateway.call("/v1/prompts/greeter")["rollout"]["weights"][-1]["value"] == 1.0
        await asyncio.sleep(1.0)
        assert await arms(gateway) == before
        assert set(before) == {"canary", "stable"}


async def test_on_sqlite(folder: Path) -> None:
    await live_through_it(make_gateway(folder, extra=PATIENT), None)


@pytest.mark.redis
async def test_on_redis_that_dies_too(folder: Path, redis_server: RedisServer) -> None:
    store = f"{{kind: redis, url: '{redis_server.url}', prefix: crash}}"
    await live_through_it(make_gateway(folder, store=store, extra=PATIENT), redis_server)


async def test_a_killed_worker_is_replaced_and_nobody_is_refused(folder: Path) -> None:
    """The new worker inherits the listening socket, so connections that wait in its queue are served."""
    with running(make_gateway(folder)) as gateway:
        victim = gateway.worker_pids()[0]
        os.kill(victim, signal.SIGKILL)
        answers = await asyncio.gather(*(ask_once(gateway.port, BODY) for _ in range(60)))
        assert {answer.status for answer in answers} == {200}
        assert victim not in gateway.worker_pids()
