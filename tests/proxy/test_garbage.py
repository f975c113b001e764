"""Requests leave no cycles: what they held is free at once, and the collector has nothing to look for."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import pytest

from tests.support.scripted_provider import on_uvloop
from tests.support.worker import chat_body, until, worker_stage

PROMPTED = {"x-prompt": "greeter"}
OURS = ("Managed", "Exchange", "OpenCall", "ClientLink", "Pinning", "Choice", "Head", "Seen", "Question")


def alive() -> Counter[str]:
    return Counter(name for each in gc.get_objects() if (name := type(each).__name__) in OURS)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("policy", [None, "fast"])
@on_uvloop
async def test_requests_leave_nothing_to_the_collector(
    tmp_path: Path, policy: str | None, stream: bool
) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out(policy=policy)
        gc.collect()
        gc.disable()
        try:
            before = alive()
            for number in range(24):
                reply = await stage.ask(
                    chat_body(stream=stream), {**PROMPTED, "x-session-id": f"s-{number // 2}"}
                )
                assert reply.status == 200
            await until(lambda: not alive() - before, 3.0)  # a pin's patience, and a batch of evidence
        finally:
            gc.enable()
