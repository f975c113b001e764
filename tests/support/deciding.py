"""Rollouts that decide themselves on real processes: quick policies, load, and what becomes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.gateway import Answer, Gateway, RawClient

PATIENCE = 60.0  # s

PLAIN = {"first_token_ms": 5, "gap_ms": 0, "tokens": 10}
REFUSES = {"error_rate": 1, "error_status": 422}
SCENARIO = """\
default: {first_token_ms: 5, gap_ms: 0, tokens: 10}
rules:
  - {name: bad, contains: bad greeter, behaviour: {error_rate: 1, error_status: 422}}
"""

EXTRA = """\
policies:
  quick:
    stages: [30%, 50%]
    min_bake: [2s, 2s]
    max_bake: 1h
    min_units: 10
    tolerance: {errors: 30%, p50: 50%, p90: 50%, tokens: 50%, cost: 50%}
    gates: [errors]
    holdback: {share: .1, watch: 3s}
  slow:
    extends: quick
    min_bake: [10m, 10m]
  watched:
    extends: quick
    min_bake: [1s, 1s]
    holdback: {share: .1, watch: 10m}
  starved:
    extends: quick
    stages: [10%, 50%]
    min_bake: [1s, 1s]
    max_bake: 8s
    min_units: 100000
evidence:
  watermark: 1
  judge_limit: 1
  event_window: 1
  upstream_limit: 1
  latency_warmup: 0
  incident_window: 3
  incident_requests: 10
  incident_longest: 10
  extension: .8
"""


class Load:
    """New sessions all the time, on connections that change; each client waits `pause` s between two."""

    def __init__(self, gateway: Gateway, pause: float) -> None:
        self.answers: list[Answer] = []
        self.fault = ""  # what the provider is asked to do
        self._gateway = gateway
        self._pause = pause
        self._stop = asyncio.Event()
        self._start = time.time()

    async def ask(self, number: int) -> None:
        turn = 0
        while not self._stop.is_set():
            client = await RawClient.connect(self._gateway.port)
            for _ in range(10):
                turn += 1
                headers = {"x-session-id": f"{self._start}-{number}-{turn}"}
                if self.fault:
                    headers["x-sim-fault"] = self.fault
                body = b'{"model":"m","messages":[{"role":"user","content":"hi %d-%d"}]}' % (number, turn)
                self.answers.append(await client.post(body, headers))
                await asyncio.sleep(self._pause)
            await client.close()

    def stop(self) -> None:
        self._stop.set()


@asynccontextmanager
async def load_on(gateway: Gateway, clients: int = 4, pause: float = 0.02) -> AsyncIterator[Load]:
    """About 150 sessions a second."""
    load = Load(gateway, pause)
    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(load.ask(number))
        try:
            yield load
        finally:
            load.stop()


async def until(
    gateway: Gateway, check: Callable[[dict[str, Any]], bool], patience: float = PATIENCE
) -> dict[str, Any]:
    """The newest rollout, as soon as it is as `check` wants it."""
    limit = time.monotonic() + patience
    while True:
        found = await asyncio.to_thread(gateway.call, "/v1/prompts/greeter/rollouts")
        newest: dict[str, Any] = found["rollouts"][0]
        if check(newest):
            return newest
        assert time.monotonic() < limit, f"{newest}\n{gateway.log()}"
        await asyncio.sleep(0.1)


def start(gateway: Gateway, edition: str, policy: str) -> str:
    version = gateway.push(edition)
    body = {"version": version, "policy": policy, "reason": "a test"}
    view = gateway.call("/v1/prompts/greeter/rollouts", body)
    id: str = view["rollout"]["id"]
    return id


def live(gateway: Gateway) -> int:
    version: int = gateway.call("/v1/prompts/greeter/rollout")["live"]
    return version


def turn_bad(gateway: Gateway, edition: str) -> None:
    """From now on the provider refuses every request under this edition of the prompt."""
    rule = {"name": edition, "contains": f"{edition} greeter", "behaviour": REFUSES}
    gateway.call("/__sim/scenario", {"default": PLAIN, "rules": [rule]}, port=gateway.simulator)


def acts(gateway: Gateway, rollout: str) -> list[tuple[str, str]]:
    """Who did what to a rollout, oldest first, without what follows the traffic."""
    entries = gateway.call("/v1/audit?prompt=greeter&limit=100")["entries"]
    found = []
    for entry in reversed(entries):
        after = entry["after"] or {}
        ids = {(after.get(name) or {}).get("id") for name in ("rollout", "ended")}
        if rollout in ids and entry["action"] not in ("sample", "size"):
            found.append((entry["actor"], entry["action"]))
    return found
