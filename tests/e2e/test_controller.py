"""Rollouts that decide themselves, on real processes: harm, an outage, a promotion, and a controller that is
killed in the middle. Each on SQLite and on Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.control.case import begin
from gateway.control.replay import read_all
from gateway.control.rollouts import Rollouts
from gateway.domain.observation import Observed, decode_batch
from gateway.storage import keys
from gateway.storage.base import Store
from gateway.storage.create import create_store
from tests.support.gateway import Answer, Gateway, RawClient, make_gateway, running
from tests.support.redis_server import RedisServer, need_redis_server

PROMISE = 2.0  # s from the evidence that crosses the line
PATIENCE = 60.0  # s
PREFIX = "decide"

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
    tolerance: {errors: 30%}
    gates: [errors]
    holdback: {share: .1, watch: 3s}
  slow:
    extends: quick
    min_bake: [10m, 10m]
evidence:
  watermark: 1
  judge_limit: 1
  event_window: 1
  upstream_limit: 1
  latency_warmup: 0
  incident_window: 3
  incident_requests: 10
  incident_longest: 10
"""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, Callable[[], Store]]]:
    """A gateway, and how the test opens its store."""
    folder: Path = tmp_path_factory.mktemp(f"decide-{request.param}")
    if request.param == "sqlite":
        with running(make_gateway(folder, scenario=SCENARIO, extra=EXTRA)) as gateway:
            yield gateway, lambda: create_store("sqlite", str(folder / "data"))
        return
    need_redis_server()
    server = RedisServer(folder / "redis")
    server.start()
    store = f"{{kind: redis, url: '{server.url}', prefix: {PREFIX}}}"
    try:
        with running(make_gateway(folder, store=store, scenario=SCENARIO, extra=EXTRA)) as gateway:
            yield gateway, lambda: create_store("redis", server.url, prefix=PREFIX)
    finally:
        server.kill()


class Load:
    """New sessions all the time, about 150 a second, on connections that change."""

    def __init__(self, gateway: Gateway) -> None:
        self.answers: list[Answer] = []
        self.fault = ""  # what the provider is asked to do
        self._gateway = gateway
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
                await asyncio.sleep(0.02)
            await client.close()

    def stop(self) -> None:
        self._stop.set()


@asynccontextmanager
async def load_on(gateway: Gateway) -> AsyncIterator[Load]:
    load = Load(gateway)
    async with asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(load.ask(number))
        try:
            yield load
        finally:
            load.stop()


async def until(gateway: Gateway, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The newest rollout, as soon as it is as `check` wants it."""
    limit = time.monotonic() + PATIENCE
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


async def crossing(store: Store, id: str) -> float:
    """When the first answer of the batch that crossed the line had ended; the answer that did it is one of
    them."""
    await store.open()
    try:
        evidence = begin(await Rollouts(store).get("greeter", id))
        async for record in read_all(store, keys.evidence(id)):
            batch = decode_batch(record.value)
            evidence.fold(batch)
            if evidence.alarm:
                ends = [each.started_at + each.total for each in batch.records if isinstance(each, Observed)]
                return min(ends)
    finally:
        await store.close()
    raise AssertionError("the evidence does not cross the line")


def live(gateway: Gateway) -> int:
    version: int = gateway.call("/v1/prompts/greeter/rollout")["live"]
    return version


async def test_a_bad_version_is_rolled_back_by_itself_within_two_seconds(
    place: tuple[Gateway, Callable[[], Store]],
) -> None:
    gateway, store = place
    before = live(gateway)
    id = start(gateway, "bad", "quick")
    async with load_on(gateway) as load:
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
        await asyncio.sleep(3.0)
    assert (ended["phase"], ended["ended_by"]) == ("rolled_back", "controller")
    assert live(gateway) == before
    line = await crossing(store(), id)
    late = [answer for answer in load.answers if answer.sent > line + PROMISE]
    assert len(late) > 50
    assert not [answer for answer in late if answer.arm == "canary"]
    assert any(answer.arm == "canary" for answer in load.answers)
    assert (await asyncio.to_thread(gateway.call, f"/v1/rollouts/{id}/replay"))["agree"]


async def test_an_outage_in_both_arms_holds_and_then_resumes(
    place: tuple[Gateway, Callable[[], Store]],
) -> None:
    gateway, _ = place
    start(gateway, "patient", "slow")
    async with load_on(gateway) as load:
        await until(gateway, lambda rollout: bool(rollout["evidence"]))
        load.fault = "status_503"
        held = await until(gateway, lambda rollout: rollout["hold"] is not None)
        assert (held["phase"], held["hold"]["reason"]) == ("progressing", "incident")
        load.fault = ""
        resumed = await until(gateway, lambda rollout: rollout["hold"] is None)
        assert resumed["phase"] == "progressing"
    gateway.act("abort")


async def test_a_good_version_goes_to_everyone_by_itself_though_the_controller_is_killed(
    place: tuple[Gateway, Callable[[], Store]],
) -> None:
    gateway, _ = place
    before = live(gateway)
    id = start(gateway, "good", "quick")
    async with load_on(gateway):
        advanced = await until(gateway, lambda rollout: rollout["stage"] == 1)
        pid = gateway.ready()["children"]["controller"]["pid"]
        os.kill(pid, signal.SIGKILL)
        watched = await until(gateway, lambda rollout: rollout["watch"])
        assert (advanced["weights"][-1]["value"], watched["weights"][-1]["value"]) == (0.5, 0.9)
        assert live(gateway) == watched["candidate"] != before
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
    assert (ended["phase"], ended["ended_by"]) == ("promoted", "controller")
    assert live(gateway) == ended["candidate"]
    assert gateway.ready()["children"]["controller"]["pid"] != pid
    replayed = await asyncio.to_thread(gateway.call, f"/v1/rollouts/{id}/replay")
    assert (replayed["agree"], replayed["partial"]) == (True, False), replayed
    assert replayed["decisions"] >= 4
    entries = gateway.call("/v1/audit?prompt=greeter&limit=100")["entries"]
    acts = [entry["action"] for entry in entries if entry["actor"] == "controller"]
    mine = acts[: acts.index("release") if "release" in acts else len(acts)]
    assert sorted(act for act in mine if act != "sample") == ["advance", "finish", "watch"]
