"""The judge on real processes, with the simulated provider as its model: a good version is promoted, a worse
one rolled back, and with a judge that is down nothing is promoted."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.control.replay import read_all
from gateway.domain.observation import Assigned, Evidence, Observed, Scored, decode_batch
from gateway.storage import keys
from gateway.storage.base import Store
from gateway.storage.create import create_store
from tests.support.gateway import Gateway, RawClient, free_ports, make_gateway, running
from tests.support.judging import labels
from tests.support.redis_server import RedisServer, need_redis_server

PATIENCE = 90.0  # s
PREFIX = "judge"

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
EXTRA = """\
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
evidence:
  watermark: 1
  judge_limit: 5
  event_window: 4
  upstream_limit: 1
  latency_warmup: 0
judge:
  base_url: "http://127.0.0.1:{judge}/v1"
  model: sim-judge
  timeout: {timeout}
  attempts: {attempts}
  patience: 2
  concurrency: 16
"""


def build(folder: Path, *, store: str | None = None, scenario: str = SCENARIO, **judge: object) -> Gateway:
    gateway = make_gateway(folder, store=store, scenario=scenario)
    given = {"judge": gateway.simulator, "timeout": 1, "attempts": 3, **judge}
    gateway.config.write_text(gateway.config.read_text() + EXTRA.format(**given))
    return gateway


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Gateway, Callable[[], Store]]]:
    if request.param == "sqlite":
        with running(build(tmp_path)) as gateway:
            yield gateway, lambda: create_store("sqlite", str(tmp_path / "data"))
        return
    need_redis_server()
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        with running(
            build(tmp_path, store=f"{{kind: redis, url: '{server.url}', prefix: {PREFIX}}}")
        ) as gateway:
            yield gateway, lambda: create_store("redis", server.url, prefix=PREFIX)
    finally:
        server.kill()


@asynccontextmanager
async def load_on(gateway: Gateway, clients: int = 2) -> AsyncIterator[None]:
    """New sessions all the time."""
    stop = asyncio.Event()
    start = time.time()

    async def ask(number: int) -> None:
        turn = 0
        while not stop.is_set():
            client = await RawClient.connect(gateway.port)
            for _ in range(10):
                turn += 1
                body = b'{"model":"m","messages":[{"role":"user","content":"hi %d-%d"}]}' % (number, turn)
                await client.post(body, {"x-session-id": f"{start}-{number}-{turn}"})
                await asyncio.sleep(0.04)
            await client.close()

    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(ask(number))
        try:
            yield
        finally:
            stop.set()


def start(gateway: Gateway, edition: str) -> str:
    version = gateway.push(edition)
    body = {"version": version, "policy": "judged", "reason": "a test"}
    id: str = gateway.call("/v1/prompts/greeter/rollouts", body)["rollout"]["id"]
    return id


async def until(gateway: Gateway, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    limit = time.monotonic() + PATIENCE
    while True:
        found = await asyncio.to_thread(gateway.call, "/v1/prompts/greeter/rollouts")
        newest: dict[str, Any] = found["rollouts"][0]
        if check(newest):
            return newest
        assert time.monotonic() < limit, f"{newest}\n{gateway.log()}"
        await asyncio.sleep(0.1)


class Log:
    """What an evidence log holds."""

    def __init__(self) -> None:
        self.judged: set[bytes] = set()
        self.answered: set[bytes] = set()
        self.scored: list[Scored] = []

    @classmethod
    async def read(cls, store: Store, id: str) -> Log:
        log = cls()
        await store.open()
        try:
            async for entry in read_all(store, keys.evidence(id)):
                for record in decode_batch(entry.value).records:
                    log._add(record)
        finally:
            await store.close()
        return log

    def _add(self, record: Evidence) -> None:
        if isinstance(record, Scored):
            self.scored.append(record)
        elif isinstance(record, Assigned) and record.unit.judged:
            self.judged.add(record.unit.session)
        elif isinstance(record, Observed) and record.first and record.outcome == "ok":
            self.answered.add(record.unit.session)


async def quiet(store: Store) -> None:
    """Nothing waits for the judge any more, and what workers had to say is in the log."""
    await asyncio.sleep(1.0)
    await store.open()
    try:
        async with asyncio.timeout(PATIENCE):
            while (await store.depth(keys.JUDGING))[:2] != (0, 0):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        await store.close()


async def calibrate(gateway: Gateway) -> None:
    """The judge is compared with labels that agree with it."""
    file = gateway.folder / "labels.jsonl"
    file.write_text(labels(30, wrong=1))
    command = (sys.executable, "-m", "gateway", "judge", "calibrate", str(file))
    process = await asyncio.create_subprocess_exec(*command, "--config", str(gateway.config))
    assert await process.wait() == 0


async def test_a_good_version_is_promoted_and_a_worse_one_rolled_back_by_their_scores(
    place: tuple[Gateway, Callable[[], Store]],
) -> None:
    gateway, store = place
    async with load_on(gateway):
        good = start(gateway, "good")
        # Its scores are its only ground, so it waits until somebody has shown that the judge may be believed.
        await until(
            gateway, lambda rollout: "agrees with people" in (rollout["hold"] or {}).get("detail", "")
        )
        await calibrate(gateway)
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
        assert (ended["phase"], ended["ended_by"]) == ("promoted", "controller")
        bad = start(gateway, "careless")
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
    assert (ended["phase"], ended["ended_by"]) == ("rolled_back", "controller")
    assert "judge" in ended["end_reason"]
    assert (await asyncio.to_thread(gateway.call, f"/v1/rollouts/{good}/replay"))["agree"]
    await quiet(store())
    for id in (good, bad):
        log = await Log.read(store(), id)
        sessions = [record.unit.session for record in log.scored]
        assert len(sessions) == len(set(sessions))
        assert set(sessions) <= log.judged
        assert len(sessions) > 20
        assert len({record.judge for record in log.scored}) == 1


async def test_kill_9_of_the_judge_loses_no_score_and_counts_none_twice(
    place: tuple[Gateway, Callable[[], Store]],
) -> None:
    gateway, store = place
    id = start(gateway, "good")
    killed = 0
    async with load_on(gateway):
        for _ in range(3):
            await asyncio.sleep(1.5)
            pid = gateway.ready()["children"]["judge"]["pid"]
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                killed += 1
    assert killed >= 2
    await quiet(store())
    log = await Log.read(store(), id)
    sessions = Counter(record.unit.session for record in log.scored)
    assert set(sessions.values()) == {1}
    assert set(sessions) == log.judged & log.answered, gateway.log()
    assert gateway.ready()["children"]["judge"]["restarts"] == killed
    gateway.act("abort")


async def test_a_judge_that_fails_often_is_seen_in_completeness_and_promotion_waits(tmp_path: Path) -> None:
    with running(build(tmp_path, scenario=FAULTY, timeout=0.2, attempts=1)) as gateway:
        id = start(gateway, "good")
        async with load_on(gateway):
            # A busy machine may find the scores stale before it finds them missing: then `judge` comes first.
            await until(gateway, lambda rollout: (rollout["hold"] or {}).get("reason") == "completeness")
            await asyncio.sleep(3.0)
        assert (await until(gateway, lambda rollout: True))["phase"] == "progressing"
        await quiet(create_store("sqlite", str(tmp_path / "data")))
        log = await Log.read(create_store("sqlite", str(tmp_path / "data")), id)
        sessions = Counter(record.unit.session for record in log.scored)
        assert set(sessions.values()) == {1}
        assert set(sessions) == log.judged & log.answered
        causes = Counter(record.cause for record in log.scored)
        assert causes["timeout"] > 0 < causes["unreadable"]
        assert 0.2 < causes[""] / len(log.scored) < 0.85


async def test_with_a_judge_that_is_down_a_rollout_holds_and_is_never_promoted(tmp_path: Path) -> None:
    """For all of its bake, the maximum and its extension included."""
    gateway = build(tmp_path, judge=free_ports(1)[0])
    gateway.config.write_text(gateway.config.read_text().replace("max_bake: 1h", "max_bake: 6s"))
    with running(gateway):
        began = time.monotonic()
        start(gateway, "good")
        async with load_on(gateway):
            held = await until(gateway, lambda rollout: rollout["hold"] is not None)
            assert held["hold"]["reason"] in ("completeness", "judge")
            while time.monotonic() < began + 15.0:
                seen = await until(gateway, lambda rollout: True)
                assert (seen["phase"], seen["watch"]) == ("progressing", False)
                await asyncio.sleep(0.5)
            after = await until(gateway, lambda rollout: True)
        assert (after["phase"], after["watch"]) == ("progressing", False)
        assert after["hold"]["reason"] in ("completeness", "judge", "evidence")
        assert gateway.call("/v1/live")["prompts"][0]["live"] == 1
