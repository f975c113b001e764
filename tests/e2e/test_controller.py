"""Rollouts that decide themselves, on real processes: harm, an outage, a promotion, and a controller that is
killed in the middle. Each on SQLite and on Redis."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.control.baseline import read_beginning
from gateway.control.case import begin
from gateway.control.replay import read_all
from gateway.control.rollouts import Rollouts
from gateway.domain.observation import Observed, decode_batch
from gateway.storage import keys
from gateway.storage.base import Store
from gateway.storage.create import create_store
from tests.support.deciding import EXTRA, SCENARIO, live, load_on, start, until
from tests.support.gateway import Gateway, make_gateway, running
from tests.support.redis_server import RedisServer, need_redis_server

PROMISE = 2.0  # s from the evidence that crosses the line
PREFIX = "decide"


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


async def crossing(store: Store, id: str) -> float:
    """When the first answer of the batch that crossed the line had ended; the answer that did it is one of
    them."""
    await store.open()
    try:
        evidence = begin(await Rollouts(store).get("greeter", id), await read_beginning(store, id))
        async for record in read_all(store, keys.evidence(id)):
            batch = decode_batch(record.value)
            evidence.fold(batch)
            if evidence.alarm:
                ends = [each.started_at + each.total for each in batch.records if isinstance(each, Observed)]
                return min(ends)
    finally:
        await store.close()
    raise AssertionError("the evidence does not cross the line")


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
