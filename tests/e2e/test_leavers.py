"""A thousand clients leave at random moments: each leaving cancels its upstream request within a second, and
the worker's memory is back to where it was."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import psutil

from gateway.simulator import Simulator, load_scenario, start_simulator
from tests.support.gateway import Gateway, make_gateway
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import chat_body, request_bytes, until

LEAVERS = 1000
SOON = 1.0  # s from a client's leaving to the cancelled upstream request
SLOW = "default: {first_token_ms: 600, gap_ms: 300, jitter: 0.3, tokens: 100, tokens_spread: 0}"
WINDOW = 1.5  # s in which they leave; no answer is complete by then
GROWTH = 3 * 2**20  # bytes that the allocator may keep


class Crowd:
    """The clients of one round: all connect and ask, then each leaves at a moment of its own."""

    def __init__(self, port: int, simulator: Simulator, seed: int) -> None:
        self.port = port
        self.journal = simulator.provider.journal
        self.chance = random.Random(seed)
        self.left: list[float] = []
        self.late: list[int] = []  # who were not cancelled a second after they had left
        self.everyone_asked = asyncio.Event()

    async def client(self, number: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        path = "/v1/audio/speech" if number % 10 == 0 else "/v1/chat/completions"
        headers = {"x-session-id": f"s-{number}"}
        if path != "/v1/chat/completions":
            headers["x-sim-fault"] = "stall_before_head"
        body = chat_body(f"question {number}", stream=number % 4 != 0)
        writer.write(request_bytes(body, headers, path=path))
        await self.everyone_asked.wait()
        moment, abruptly = self.chance.uniform(0, WINDOW), self.chance.random() < 0.5
        await asyncio.sleep(moment)
        if abruptly:
            writer.transport.abort()
        writer.close()
        self.left.append(time.monotonic())

    async def watch(self, before: int) -> None:
        """At any time those who left more than a second ago are cancelled."""
        while len(self.left) < LEAVERS or time.monotonic() < self.left[-1] + SOON + 0.1:
            due = sum(left < time.monotonic() - SOON for left in self.left)
            missing = due - (self.journal.cancelled - before)
            if missing > 0:
                self.late.append(missing)
            await asyncio.sleep(0.05)

    async def come_and_go(self) -> None:
        before = self.journal.cancelled
        clients = [asyncio.create_task(self.client(number)) for number in range(LEAVERS)]
        await until(lambda: self.journal.open == LEAVERS, 30.0)
        self.everyone_asked.set()
        await asyncio.gather(*clients, self.watch(before))
        assert not self.late
        assert (self.journal.cancelled - before, self.journal.open) == (LEAVERS, 0)


def memory(gateway: Gateway) -> int:
    (worker,) = gateway.worker_pids()
    held: int = psutil.Process(worker).memory_info().rss
    return held


@on_uvloop
async def test_a_thousand_leave(tmp_path: Path) -> None:
    simulator = await start_simulator(load_scenario(SLOW), keep=0)
    made = make_gateway(tmp_path, workers=1, simulator=simulator.port)
    try:
        await asyncio.to_thread(made.start)
        await Crowd(made.port, simulator, 1).come_and_go()
        before = await asyncio.to_thread(memory, made)
        await Crowd(made.port, simulator, 2).come_and_go()
        await until(lambda: simulator.stats["connections_open"] == 0, 2.0)
        assert await asyncio.to_thread(memory, made) < before + GROWTH
        log = made.log()
        assert "ERROR" not in log and "Traceback" not in log, log
    finally:
        await asyncio.to_thread(made.stop)
        await simulator.close()
