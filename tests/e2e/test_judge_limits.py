"""A judge that gets dear: with real processes the rate falls before the money is gone, and everybody can see
why."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

from gateway.storage.create import create_store
from tests.support.gateway import running
from tests.support.judged import Log, build, load_on, quiet, start, until
from tests.support.metrics import read, scraped

PRICES = "prices: {sim-judge: {input: 1000, output: 1000}}\n"  # some 40 cents for an answer


async def test_the_rate_falls_as_the_limit_gets_near_and_the_ratio_stays(tmp_path: Path) -> None:
    gateway = build(tmp_path)
    text = gateway.config.read_text().replace(
        "  concurrency: 16\n", "  concurrency: 16\n  usd_per_rollout: 60\n  usd_per_day: 0\n"
    )
    gateway.config.write_text(text + PRICES)
    with running(gateway):
        id = start(gateway, "good")
        async with load_on(gateway, clients=4):
            slowed = await until(
                gateway, lambda rollout: (rollout["evidence"] or {}).get("judge", {}).get("share", 1.0) < 1.0
            )
            assert "judge.usd_per_rollout" in slowed["evidence"]["judge"]["why"]
            slowed = await until(gateway, lambda rollout: rollout["weights"][-1]["j1"] < 1.0)
            ratios: dict[float, set[float]] = {}
            for weight in slowed["weights"]:
                ratios.setdefault(weight["value"], set()).add(weight["j1"] / weight["j0"])
            assert all(max(found) - min(found) < 1e-9 for found in ratios.values())
            await asyncio.sleep(3.0)
            metrics = read(await asyncio.to_thread(scraped, gateway))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "judge", "status", id, "--config", str(gateway.config)),
            stdout=asyncio.subprocess.PIPE,
        )
        said = (await process.communicate())[0].decode()
        status = await asyncio.to_thread(gateway.call, "/v1/prompts/greeter/rollouts")
        assert status["rollouts"][0]["phase"] in ("progressing", "promoted")
        await quiet(create_store("sqlite", str(tmp_path / "data")))
        log = await Log.read(create_store("sqlite", str(tmp_path / "data")), id)
    assert "of its sessions: " in said
    assert "USD in " in said
    assert 0.0 < metrics[("rollout_judge_share", "greeter")] < 1.0
    assert metrics[("judge_cost_usd_total",)] > 30.0
    assert metrics[("judge_answers_total", "none")] > 20.0
    assert metrics[("judge_limit_usd", "rollout")] == 60.0
    causes = Counter(record.cause for record in log.scored)
    assert causes[""] > 20
    assert set(Counter(record.unit.session for record in log.scored).values()) == {1}
    assert len({(record.unit.j1, record.unit.j0) for record in log.scored}) > 1
