"""A running gateway exports what /metrics shows, by HTTP and gRPC; no count goes back, whoever is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.telemetry.semantic import Conventions
from tests.support.collector import Collector, Protocol, attributes, running_collector
from tests.support.gateway import Gateway, ask_once, make_gateway, running
from tests.support.metrics import read, scraped
from tests.support.worker import chat_body

ASKED = 20


def series(metric: Any) -> dict[tuple[str, ...], Any]:
    points = getattr(metric, metric.WhichOneof("data")).data_points
    return {tuple(map(str, sorted(attributes(point).items()))): point for point in points}


def total(collector: Collector, name: str) -> float:
    metrics = collector.metrics if collector.measured else {}
    return sum(point.as_double for point in series(metrics[name]).values()) if name in metrics else 0.0


async def until(check: Callable[[], bool], limit: float = 60.0) -> None:
    async with asyncio.timeout(limit):
        while not check():  # noqa: ASYNC110  (processes signal nothing)
            await asyncio.sleep(0.05)


async def ask(gateway: Gateway) -> None:
    for _ in range(ASKED):
        assert (await ask_once(gateway.port, chat_body(model="gpt-4o-mini", stream=True))).status == 200


@pytest.mark.parametrize(("protocol", "conventions"), [("http", "v1.41"), ("grpc", "latest")])
async def test_what_is_exported_is_what_metrics_shows(
    tmp_path: Path, protocol: Protocol, conventions: Conventions
) -> None:
    async with running_collector(Collector(protocol)) as collector:
        gateway = make_gateway(tmp_path)
        metrics = {
            "endpoint": collector.endpoint,
            "protocol": protocol,
            "interval": 0.2,
            "conventions": conventions,
        }
        gateway.config.write_text(f"{gateway.config.read_text()}metrics: {json.dumps(metrics)}\n")
        with running(gateway):
            await ask(gateway)
            await until(lambda: total(collector, "promptcanary.requests") == ASKED)
            shown = read(await asyncio.to_thread(scraped, gateway))
            since = check(collector, conventions, shown)
            before = await kill(gateway)
            await ask(gateway)
            await until(lambda: total(collector, "promptcanary.requests") == 2 * ASKED)
            assert {point.start_time_unix_nano for point in counters(collector).values()} == {since}
            assert gateway.worker_pids() != before
    never_back(collector)


def check(collector: Collector, conventions: Conventions, shown: dict[tuple[str, ...], float]) -> int:
    """Returns when the counts began."""
    found = collector.metrics
    prefix = "gen_ai.client.operation" if conventions == "v1.41" else "gen_ai.client.inference"
    (duration,) = series(found[f"{prefix}.duration"]).values()
    assert attributes(duration) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "default",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.prompt.name": "greeter",
        "gen_ai.prompt.version": "1",
    }
    labels = ("greeter", "1", "default", "gpt-4o-mini")
    assert duration.count == shown["total_seconds_count", *labels] == ASKED
    assert duration.sum == pytest.approx(shown["total_seconds_sum", *labels])
    (first,) = series(found[f"{prefix}.time_to_first_chunk"]).values()
    assert first.count == ASKED
    (overhead,) = series(found["promptcanary.overhead"]).values()
    assert 0 < overhead.sum / overhead.count < 0.1
    wanted = {"tokens", "cost_usd", "pin_writes", "store_up", "upstream_workers", "queue_items", "processes"}
    assert {f"promptcanary.{name}" for name in wanted} <= set(found)
    (since,) = {point.start_time_unix_nano for point in counters(collector).values()}
    return int(since)


async def kill(gateway: Gateway) -> list[int]:
    """kill -9 of one worker and of the process that exports."""
    workers = gateway.worker_pids()
    os.kill(workers[0], signal.SIGKILL)
    os.kill(services_of(gateway), signal.SIGKILL)
    await until(lambda: ready(gateway) and gateway.worker_pids() != workers)
    return workers


def services_of(gateway: Gateway) -> int:
    assert gateway.process is not None
    children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text().split()
    (found,) = [pid for pid in map(int, children) if b"services" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found


def ready(gateway: Gateway) -> bool:
    try:
        return bool(gateway.ready()["ready"])
    except OSError:
        return False


def counters(collector: Collector) -> dict[tuple[str, ...], Any]:
    return {
        (name, *labels): point
        for name, metric in collector.metrics.items()
        if metric.WhichOneof("data") != "gauge"
        for labels, point in series(metric).items()
    }


def never_back(collector: Collector) -> None:
    before: dict[tuple[str, ...], float] = {}
    exports, collector.measured = collector.measured, []
    for export in exports:
        collector.measured = [export]
        now = {
            key: point.as_double if hasattr(point, "as_double") else point.count
            for key, point in counters(collector).items()
        }
        assert set(before) <= set(now)
        assert [key for key, value in before.items() if now[key] < value] == []
        before = now
    assert len(exports) > 3 and before
