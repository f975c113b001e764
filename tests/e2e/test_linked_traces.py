"""What a whole gateway tells a collector of a rollout that the judge's scores end: requests, judgments of
them, and the verdict, each linked to what it is about."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.collector import Collector, Protocol, attributes, running_collector
from tests.support.gateway import running
from tests.support.judged import build, load_on, start, until

PROTOCOLS: list[Protocol] = ["http", "grpc"]


def links(span: Any) -> set[tuple[bytes, bytes]]:
    return {(link.trace_id, link.span_id) for link in span.links}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_requests_judgments_and_verdicts_arrive_linked(tmp_path: Path, protocol: Protocol) -> None:
    async with running_collector(Collector(protocol)) as collector:
        gateway = build(tmp_path)
        traces = {"endpoint": collector.endpoint, "protocol": protocol, "sample": 1.0, "interval": 0.2}
        gateway.config.write_text(f"{gateway.config.read_text()}traces: {json.dumps(traces)}\n")
        before = time.time_ns()
        with running(gateway):
            async with load_on(gateway):
                id = await asyncio.to_thread(start, gateway, "careless")
                ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
            assert ended["phase"] == "rolled_back"
            await asyncio.to_thread(gateway.stop)
    by_name: dict[str, list[Any]] = {}
    for span in collector.spans:
        assert before < span.start_time_unix_nano <= span.end_time_unix_nano < time.time_ns()
        by_name.setdefault(span.name, []).append(span)
    requests = {(span.trace_id, span.span_id): span for span in by_name["chat gpt-4o-mini"]}
    judgments = by_name["evaluate helpful"]
    assert len(judgments) > 10
    for judgment in judgments:
        (about,) = links(judgment)
        request = requests[about]
        assert attributes(judgment)["promptcanary.rollout.id"] == id
        assert attributes(judgment)["promptcanary.arm"] == attributes(request)["promptcanary.arm"]
        assert judgment.start_time_unix_nano > request.start_time_unix_nano
    calls = {(call.trace_id, call.parent_span_id) for call in by_name["chat sim-judge"]}
    assert calls == {(judgment.trace_id, judgment.span_id) for judgment in judgments}
    (verdict,) = [
        span
        for span in by_name["decide greeter"]
        if attributes(span)["promptcanary.verdict.acted"] == "roll_back"
    ]
    assert verdict.kind == verdict.SPAN_KIND_INTERNAL
    assert links(verdict) and links(verdict) <= set(requests)
    found = attributes(verdict)
    assert (found["promptcanary.rollout.id"], found["gen_ai.prompt.name"]) == (id, "greeter")
    assert found["promptcanary.harm.judge.e"] >= found["promptcanary.harm.judge.needs"]
