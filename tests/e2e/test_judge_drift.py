"""What stands behind the judge's model changes during a rollout: its anchors show it, and it holds."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.simulator import load_scenario, start_simulator
from tests.support.gateway import Gateway, ask_once, running
from tests.support.judged import build, start, until
from tests.support.judging import labels

STRICTER = "judge: {noise: 0.05, bias: -0.3, behaviour: {first_token_ms: 2, gap_ms: 0}}"


@asynccontextmanager
async def sessions_on(gateway: Gateway) -> AsyncIterator[None]:
    """New sessions all the time, also while processes succeed each other and idle connections are closed."""

    async def ask() -> None:
        for number in itertools.count():
            body = b'{"model":"m","messages":[{"role":"user","content":"hi %d"}]}' % number
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await ask_once(gateway.port, body, {"x-session-id": f"s-{number}"})
            await asyncio.sleep(0.04)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.wait([asking])


@pytest.mark.timeout(300)
async def test_a_rollout_holds_while_the_judge_drifts_and_goes_on_when_it_is_itself_again(
    tmp_path: Path,
) -> None:
    gateway = build(tmp_path)
    (tmp_path / "anchors").mkdir()
    (tmp_path / "anchors" / "helpful.jsonl").write_text(labels(10))
    anchored = f"  concurrency: 16\n  anchors: {tmp_path / 'anchors'}\n  anchor_seconds: 1\n"
    text = gateway.config.read_text().replace("  concurrency: 16\n", anchored)
    text = text.replace("gates: [judge]", "gates: [judge, errors]").replace(
        "judge: 40%", "judge: 40%, errors: 40%"
    )
    text = text.replace("min_bake: [2s, 2s]", "min_bake: [10m, 2s]")
    gateway.config.write_text(text)
    other = await start_simulator(load_scenario(STRICTER))
    try:
        with running(gateway):
            id = start(gateway, "good")

            def anchors() -> dict[str, object]:
                judge = gateway.call(f"/v1/rollouts/{id}/quality")["judge"]
                return (judge or {}).get("anchors") or {}

            async with sessions_on(gateway):
                await until(gateway, lambda rollout: anchors().get("shift") is not None)
                assert anchors()["drifting"] is False
                assert gateway.process is not None
                gateway.config.write_text(
                    text.replace(f':{gateway.simulator}/v1"\n  model', f':{other.port}/v1"\n  model')
                )
                os.kill(gateway.process.pid, signal.SIGHUP)
                held = await until(gateway, lambda rollout: rollout["hold"] is not None)
                assert held["hold"]["reason"] == "judge"
                assert "anchors" in held["hold"]["detail"]
                assert anchors()["drifting"] is True
                gateway.config.write_text(text)
                os.kill(gateway.process.pid, signal.SIGHUP)
                after = await until(gateway, lambda rollout: rollout["hold"] is None)
                assert after["phase"] == "progressing"
            gateway.act("abort")
    finally:
        await other.close()
