"""Spans of work that is no request: children, links, failures; without a collector there is none."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from gateway.settings import Settings
from gateway.telemetry.spans import CLIENT, INTERNAL, Link, SpanQueue
from gateway.telemetry.tracer import RESULT, Tracer, current, exporting
from tests.support.collector import Collector, attributes, running_collector

ABOUT = b"t" * 16 + b"s" * 8
UPSTREAM = {"upstream": {"base_url": "http://127.0.0.1:1/v1"}}


def test_a_child_is_in_its_parent_s_trace_and_the_parent_links_to_what_it_is_about() -> None:
    queue = SpanQueue(10)
    tracer = Tracer(queue, Random(1))
    with tracer.work("evaluate helpful", about=[ABOUT, b"odd"]) as whole:
        assert current() is whole
        with tracer.work("chat judge", kind=CLIENT) as call:
            call.attributes["gen_ai.request.model"] = "judge"
        whole.result("helpful", 0.75, label="good")
        whole.result("polite", None, error="timeout")
    child, parent = queue.take(10)
    assert (child.trace, child.parent, child.kind) == (parent.trace, parent.span, CLIENT)
    assert (parent.parent, parent.kind, parent.links) == (b"", INTERNAL, (Link(b"t" * 16, b"s" * 8),))
    assert parent.start <= child.start <= child.end <= parent.end
    assert [(event.name, event.attributes) for event in parent.events] == [
        (
            RESULT,
            {
                "gen_ai.evaluation.name": "helpful",
                "gen_ai.evaluation.score.value": 0.75,
                "gen_ai.evaluation.score.label": "good",
            },
        ),
        (RESULT, {"gen_ai.evaluation.name": "polite", "error.type": "timeout"}),
    ]


def test_what_fails_says_so() -> None:
    queue = SpanQueue(10)
    with pytest.raises(KeyError), Tracer(queue).work("w"):
        raise KeyError("x")
    assert queue.take(1)[0].error == "KeyError"


def test_nothing_is_left_of_what_is_not_kept() -> None:
    queue = SpanQueue(10)
    tracer = Tracer(queue)
    with tracer.work("w", kept=False), tracer.work("below"):
        assert not current().kept
    with Tracer().work("nobody collects") as work:
        assert not work.kept
    assert len(queue) == 0


async def test_tasks_are_of_the_work_that_started_them() -> None:
    queue = SpanQueue(10)
    tracer = Tracer(queue)

    async def one(name: str) -> None:
        with tracer.work(name):
            await asyncio.sleep(0)

    with tracer.work("whole") as whole:
        await asyncio.gather(one("a"), one("b"))
    assert {(span.name, span.parent) for span in queue.take(10)} == {
        ("a", whole.span),
        ("b", whole.span),
        ("whole", b""),
    }
    assert not current().kept


async def test_the_last_spans_go_out_at_the_end() -> None:
    async with running_collector(Collector("http")) as collector:
        settings = Settings.model_validate({**UPSTREAM, "traces": {"endpoint": collector.endpoint}})
        async with exporting(settings, Random(1)) as tracer:
            with tracer.work("w", about=[ABOUT]) as work:
                work.attributes["a"] = 1
        (span,) = collector.spans
    assert (span.name, span.kind, attributes(span)) == ("w", span.SPAN_KIND_INTERNAL, {"a": 1})
    assert [(link.trace_id, link.span_id) for link in span.links] == [(b"t" * 16, b"s" * 8)]


async def test_without_a_collector_there_is_no_queue() -> None:
    async with exporting(Settings.model_validate(UPSTREAM), Random(1)) as tracer:
        assert tracer.queue is None
