"""What a worker tells: every sample fits the table, counts are told once, and refusals have their code."""

from __future__ import annotations

from pathlib import Path

from gateway.proxy.gauges import counted, standing
from gateway.telemetry.metrics import BY_NAME
from tests.support.metrics import by_key
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import chat_body, worker_stage

PROMPTED = {"x-prompt": "greeter"}


@on_uvloop
async def test_every_sample_fits_the_table_and_is_told_once(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out()
        for number in range(5):
            await stage.ask(headers={**PROMPTED, "x-session-id": str(number)})
        told = counted(stage.worker) + standing(stage.worker)
        for name, labels, values in told:
            metric = BY_NAME[name]
            assert len(labels) == len(metric.labels), name
            assert len(values) == (len(metric.bounds) + 2 if metric.kind == "histogram" else 1), name
        found = by_key(told)
        assert found[("pin_writes_total",)] == found[("pins_cached",)] == 5
        assert found[("upstream_workers", "default", "closed")] == 1
        assert 0 <= found[("snapshot_age_seconds",)] < 5
        overhead = next(values for name, _, values in told if name == "overhead_seconds")
        assert 0 < overhead[-1] < 5 * 0.1
        assert counted(stage.worker) == []


@on_uvloop
async def test_what_no_version_answered_is_counted_by_why(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        for status, ask in (
            (404, stage.ask(headers={"x-prompt": "nobody"})),
            (400, stage.ask(b"{", PROMPTED)),
            (404, stage.ask(path="/nothing")),
            (200, stage.ask(path="/v1/embeddings", body=b'{"model": "m", "input": "x"}')),
            (200, stage.ask(chat_body())),
        ):
            reply = await ask
            assert reply.status == status
        found = by_key(counted(stage.worker))
        assert found[("refused_requests_total", "prompt_not_found")] == 1
        assert found[("refused_requests_total", "invalid_json")] == 1
        assert found[("refused_requests_total", "not_found")] == 1
        assert found[("unmanaged_requests_total",)] == 2
        assert not [key for key in found if key[0] == "requests_total"]
