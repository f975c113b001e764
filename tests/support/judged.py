"""Gateways with a judge, as processes: the simulated provider is the model and its judge."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gateway.control.replay import read_all
from gateway.domain.observation import Assigned, Evidence, Observed, Scored, decode_batch
from gateway.storage import keys
from gateway.storage.base import Store
from gateway.storage.create import create_store
from tests.support import deciding
from tests.support.gateway import Gateway, make_gateway, running
from tests.support.redis_server import RedisServer, need_redis_server

PATIENCE = 90.0  # s
PREFIX = "judge"
Place = tuple[Gateway, Callable[[], Store]]

SCENARIO = """\
default: {first_token_ms: 2, gap_ms: 0, tokens: 10, quality: 0.85, quality_spread: 0.1}
rules:
  - {name: careless, contains: careless greeter, behaviour: {quality: 0.35}}
judge:
  noise: 0.05
  behaviour: {first_token_ms: 2, gap_ms: 0}
"""
FAULTY = """\
default: {first_token_ms: 2, gap_ms: 0, tokens: 10, quality: 0.85, quality_spread: 0.1}
judge:
  noise: 0.05
  behaviour: {first_token_ms: 2, gap_ms: 0, error_rate: 0.2, broken_json_rate: 0.2}
  timeout_rate: 0.2
"""
FINAL_SOON = """\
evidence:
  watermark: 1
  judge_limit: 5
  event_window: 4
  upstream_limit: 1
  latency_warmup: 0
"""  # sessions are, seconds after they began
EXTRA = (
    """\
policies:
  judged:
    stages: [40%, 50%]
    min_bake: [2s, 2s]
    max_bake: 1h
    min_units: 10
    tolerance: {{judge: 40%}}
    gates: [judge]
    judged_first: 1
    holdback: {{share: .1, watch: 2s}}
"""
    + FINAL_SOON
    + """\
judge:
  base_url: "http://127.0.0.1:{judge}/v1"
  model: sim-judge
  timeout: {timeout}
  attempts: {attempts}
  patience: 2
  concurrency: 16
"""
)


def build(folder: Path, *, store: str | None = None, scenario: str = SCENARIO, **judge: object) -> Gateway:
    gateway = make_gateway(folder, store=store, scenario=scenario)
    given = {"judge": gateway.simulator, "timeout": 1, "attempts": 3, **judge}
    gateway.config.write_text(gateway.config.read_text() + EXTRA.format(**given))
    return gateway


@contextmanager
def placed(kind: str, folder: Path, make: Callable[[str | None], Gateway]) -> Iterator[Place]:
    """A gateway that runs on a store of this `kind`; `make` is given the store's configuration."""
    if kind == "sqlite":
        with running(make(None)) as gateway:
            yield gateway, lambda: create_store("sqlite", str(folder / "data"))
        return
    need_redis_server()
    server = RedisServer(folder / "redis")
    server.start()
    try:
        with running(make(f"{{kind: redis, url: '{server.url}', prefix: {PREFIX}}}")) as gateway:
            yield gateway, lambda: create_store("redis", server.url, prefix=PREFIX)
    finally:
        server.kill()


until = partial(deciding.until, patience=PATIENCE)
start = partial(deciding.start, policy="judged")
load_on = partial(deciding.load_on, clients=2, pause=0.04)


async def kill_the_judge(gateway: Gateway) -> int:
    """Again and again, with -9; how often."""
    killed = 0
    for _ in range(3):
        await asyncio.sleep(1.5)
        pid = gateway.ready()["children"]["judge"]["pid"]
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    assert killed >= 2
    return killed


async def records(store: Store, id: str) -> list[Evidence]:
    """Of a rollout, in the order of its log."""
    await store.open()
    try:
        batches = [decode_batch(entry.value) async for entry in read_all(store, keys.evidence(id))]
    finally:
        await store.close()
    return [record for batch in batches for record in batch.records]


class Log:
    """What an evidence log holds."""

    def __init__(self, found: list[Evidence]) -> None:
        self.scored = [record for record in found if isinstance(record, Scored)]
        assigned = [record.unit for record in found if isinstance(record, Assigned)]
        self.judged = {unit.session for unit in assigned if unit.judged}
        self.answered = {
            record.unit.session
            for record in found
            if isinstance(record, Observed) and record.first and record.outcome == "ok"
        }

    @classmethod
    async def read(cls, store: Store, id: str) -> Log:
        return cls(await records(store, id))


async def quiet(store: Store, queue: str = keys.JUDGING) -> None:
    """Nothing waits in `queue` any more, and what workers had to say is in the log."""
    await asyncio.sleep(1.0)
    await store.open()
    try:
        async with asyncio.timeout(PATIENCE):
            while (await store.depth(queue))[:2] != (0, 0):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        await store.close()
