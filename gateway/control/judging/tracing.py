"""Spans of judgments and of suites; no text is in them.

judgment   one for each item that is judged, linked to the request that it is about, each score an event;
           it follows the request: one that left no span leaves none here
suite      one for each version that is tried, below it each run of a case with its assertions as events
called     below either, each call of a model
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gateway.control.judging.model import Reply
from gateway.domain.judging import Item
from gateway.domain.prompt import Version
from gateway.evals.rubric import Bench, Criterion
from gateway.telemetry.spans import CLIENT
from gateway.telemetry.tracer import Tracer, Work


@contextlib.contextmanager
def judgment(tracer: Tracer, item: Item, bench: Bench) -> Iterator[Work]:
    name = f"evaluate {bench.rubric.name}"
    with tracer.work(name, about=(item.trace,), kept=bool(item.trace)) as work:
        if work.kept:
            work.attributes |= {
                "gen_ai.prompt.name": item.prompt,
                "promptcanary.rollout.id": item.rollout,
                "promptcanary.arm": "canary" if item.unit.canary else "stable",
                "promptcanary.evaluator.id": bench.rubric.name,
                "promptcanary.evaluator.digest": bench.digest,
                "promptcanary.evaluator.model": bench.model,
            }
        yield work


def settled(work: Work, bench: Bench, score: float | None, cause: str) -> None:
    """The rubric's own score, or why there is none."""
    work.result(bench.rubric.name, score, error=cause)
    if score is None:
        work.attributes["error.type"] = cause
        work.error = f"unscored: {cause}"


class Call:
    """Of the judge's model."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def answered(self, reply: Reply) -> None:
        work = self._work
        if reply.usage is not None:
            work.attributes["gen_ai.usage.input_tokens"] = reply.usage.prompt
            work.attributes["gen_ai.usage.output_tokens"] = reply.usage.completion
        if reply.score is None:
            work.attributes["error.type"] = reply.cause
            work.error = f"no score: {reply.cause}"


@contextlib.contextmanager
def called(tracer: Tracer, parent: Work, model: str, criterion: Criterion | None = None) -> Iterator[Call]:
    with tracer.work(f"chat {model}", parent, kind=CLIENT) as work:
        work.attributes |= {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}
        if criterion is not None:
            work.attributes["gen_ai.evaluation.name"] = criterion.name
        yield Call(work)


@contextlib.contextmanager
def suite_run(tracer: Tracer, suite: str, version: Version) -> Iterator[Work]:
    with tracer.work(f"evaluate {suite}") as work:
        work.attributes |= {
            "gen_ai.prompt.name": version.prompt,
            "gen_ai.prompt.version": str(version.number),
            "promptcanary.prompt.digest": version.digest,
            "promptcanary.evaluator.id": suite,
        }
        yield work


@contextlib.contextmanager
def tried(tracer: Tracer, parent: Work, case: str) -> Iterator[Work]:
    """One run of a case."""
    with tracer.work("case", parent) as work:
        work.attributes["promptcanary.case"] = case
        yield work
