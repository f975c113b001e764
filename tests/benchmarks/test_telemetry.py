"""The benchmark of a collector that is slow, hangs or is down: it runs, and its results keep the promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.overhead.plan import Plan
from benchmarks.telemetry.__main__ import RESULTS
from benchmarks.telemetry.measure import QUEUE, STATES, markdown, run, sentence

ROOT = Path(__file__).resolve().parent.parent.parent
UNDELIVERED = ("slow", "hangs", "down")


def rows(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["collector"]: row for row in data["rows"]}


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / "telemetry.json").read_text())
    return found


@pytest.mark.parametrize("state", UNDELIVERED)
def test_latency_and_memory_are_those_of_a_collector_that_answers(
    results: dict[str, Any], state: str
) -> None:
    found, base = rows(results)[state], rows(results)["answers"]
    assert found["failed"] == base["failed"] == 0
    assert found["p50_ratio"] <= 1.1
    assert found["p99_ratio"] <= 1.25
    assert found["grown_mb"] <= 1.0
    assert found["memory_mb"] - base["memory_mb"] <= 8.0  # the full queue
    assert found["dropped"] > QUEUE or state == "slow"


def test_the_page_shows_the_results(results: dict[str, Any]) -> None:
    assert markdown(results) in (RESULTS / "telemetry.md").read_text()
    assert set(rows(results)) == set(STATES)
    assert sentence(results) in (ROOT / "docs" / "traces.md").read_text().replace("\n", " ")


@pytest.mark.timeout(400)
def test_the_benchmark_runs(tmp_path: Path) -> None:
    plan = Plan(tmp_path, rounds=1, seconds=0.2)
    found = rows(run(plan, ("answers", "down"), queue=64))
    assert found["answers"]["sent"] > 0
    assert found["down"]["sent"] == 0
    assert found["answers"]["failed"] == found["down"]["failed"] == 0
    assert found["answers"]["p50_ratio"] == 1.0
