"""Two control processes on one store, as on two machines: one acts, whatever happens to it, and acts once."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.control.controller import LEASE
from tests.support.deciding import EXTRA, SCENARIO, acts, live, load_on, start, turn_bad, until
from tests.support.gateway import Gateway, make_gateway, running
from tests.support.redis_server import RedisServer, need_redis_server

ME, IT = "anonymous", "controller"
SLACK = 2.0  # s beyond the lease, for a turn and a busy machine
PROMPTLY = 3.0  # s in which a successor finds harm that is in the log already
TAKES = re.compile(r"^(\S+ \S+) INFO controller-0 .*this controller acts \(token (\d+)\)", re.MULTILINE)


class Took(NamedTuple):
    """A controller of `gateway` has taken the lease at `at` (time.time())."""

    token: int
    at: float
    gateway: Gateway


class Pair(NamedTuple):
    """`one` has the workers. `pauses`: a process may be stopped, for it holds no lock of the store then."""

    one: Gateway
    two: Gateway
    pauses: bool

    def holder(self) -> Took:
        found = []
        for gateway in (self.one, self.two):
            for moment, token in TAKES.findall((gateway.folder / "log.txt").read_text()):
                at = datetime.strptime(moment, "%Y-%m-%d %H:%M:%S,%f").timestamp()
                found.append(Took(int(token), at, gateway))
        return max(found, key=lambda took: took.token)

    async def after(self, before: Took) -> Took:
        """Who holds the lease next."""
        limit = time.monotonic() + 4 * LEASE
        while (took := self.holder()).token == before.token:
            assert time.monotonic() < limit, "nobody took over"
            await asyncio.sleep(0.05)
        return took


def controller_of(gateway: Gateway) -> int:
    pid: int = gateway.ready()["children"]["controller"]["pid"]
    return pid


@pytest.fixture(scope="module", params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp(f"two-{request.param}")
    server = None
    store = f"{{kind: sqlite, directory: {folder / 'shared'}}}"
    if request.param == "redis":
        need_redis_server()
        server = RedisServer(folder / "redis")
        server.start()
        store = f"{{kind: redis, url: '{server.url}', prefix: two}}"
    try:
        one = make_gateway(folder / "one", store=store, scenario=SCENARIO, extra=EXTRA)
        two = make_gateway(folder / "two", store=store, extra=EXTRA, simulator=one.simulator)
        two.role = "control"
        with running(one), running(two):
            yield Pair(one, two, server is not None)
    finally:
        if server is not None:
            server.kill()


async def test_a_holder_that_is_gone_or_paused_is_succeeded_and_every_act_is_done_once(pair: Pair) -> None:
    gateway = pair.one
    before = live(gateway)
    id = start(gateway, "shared", "quick")
    async with load_on(gateway):
        await until(gateway, lambda rollout: rollout["stage"] == 1)
        first = pair.holder()
        pid = controller_of(first.gateway)
        os.kill(pid, signal.SIGSTOP if pair.pauses else signal.SIGKILL)
        gone = time.time()
        second = await pair.after(first)
        watched = await until(gateway, lambda rollout: bool(rollout["watch"]))
        if pair.pauses:
            os.kill(pid, signal.SIGCONT)  # it still believes that it acts
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
    assert second.at - gone < LEASE + SLACK
    assert (ended["phase"], ended["ended_by"]) == ("promoted", IT)
    assert live(gateway) == watched["candidate"] != before
    assert acts(gateway, id) == [
        (ME, "start"),
        (IT, "advance"),
        (IT, "watch"),
        (IT, "finish"),
    ]
    replayed = await asyncio.to_thread(gateway.call, f"/v1/rollouts/{id}/replay")
    assert (replayed["agree"], replayed["partial"]) == (True, False), replayed
    assert gateway.call("/v1/audit/verify")["ok"]


async def test_harm_is_found_by_the_successor_of_one_that_was_killed(pair: Pair) -> None:
    gateway = pair.one
    before = live(gateway)
    id = start(gateway, "spoilt", "slow")
    async with load_on(gateway):
        await until(gateway, lambda rollout: bool(rollout["evidence"]))
        first = pair.holder()
        os.kill(controller_of(first.gateway), signal.SIGKILL)
        turn_bad(gateway, "spoilt")
        second = await pair.after(first)
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
    assert (ended["phase"], ended["ended_by"], live(gateway)) == ("rolled_back", IT, before)
    assert ended["ended_at"] - second.at < PROMPTLY
    assert acts(gateway, id) == [(ME, "start"), (IT, "roll_back")]
    replayed = await asyncio.to_thread(gateway.call, f"/v1/rollouts/{id}/replay")
    assert (replayed["agree"], replayed["partial"]) == (True, False), replayed
