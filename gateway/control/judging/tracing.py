"""Spans of judgments and of suites; no text is in them.

judgment   one for each item that is judged, linked to the request that it is about, each score an event;
           it follows the request: one that left no span leaves none here
paired     one for each copy of a shadow stage, in the same way
suite      one for each version that is tried, below it each run of a case with its assertions as events
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from gateway.control.judging.asking import Judged
from gateway.domain.judging import Item
from gateway.domain.observation import Pair
from gateway.domain.prompt import Version
from gateway.domain.shadowing import Copy
from gateway.evals.report import RunResult
from gateway.evals.rubric import Bench
from gateway.telemetry.tracer import Tracer


@contextlib.contextmanager
def judgment(tracer: Tracer, item: Item, bench: Bench) -> Iterator[Callable[[Judged], Judged]]:
    """What it yields is told what the rubric came to."""
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

        def done(judged: Judged) -> Judged:
            work.result(bench.rubric.name, judged.score, error=judged.cause)
            if judged.score is None:
                work.failed(judged.cause, f"unscored: {judged.cause}")
            return judged

        yield done


@contextlib.contextmanager
def paired(tracer: Tracer, copy: Copy, bench: Bench) -> Iterator[Callable[[Pair], Pair]]:
    """The candidate asked once more and judged beside stable; what it yields is told the pair."""
    name = f"shadow {bench.rubric.name}"
    with tracer.work(name, about=(copy.trace,), kept=bool(copy.trace)) as work:
        work.attributes |= {
            "gen_ai.prompt.name": copy.prompt,
            "promptcanary.rollout.id": copy.rollout,
            "promptcanary.evaluator.id": bench.rubric.name,
            "promptcanary.evaluator.model": bench.model,
        }

        def done(pair: Pair) -> Pair:
            work.result("difference", pair.difference, error=pair.cause)
            if pair.cause:
                work.failed(pair.cause, f"no pair: {pair.cause}")
            return pair

        yield done


@contextlib.contextmanager
def suite_run(tracer: Tracer, suite: str, version: Version) -> Iterator[None]:
    with tracer.work(f"evaluate {suite}") as work:
        work.attributes |= {
            "gen_ai.prompt.name": version.prompt,
            "gen_ai.prompt.version": str(version.number),
            "promptcanary.prompt.digest": version.digest,
            "promptcanary.evaluator.id": suite,
        }
        yield


@contextlib.contextmanager
def tried(tracer: Tracer, case: str) -> Iterator[Callable[[RunResult], None]]:
    """One run of a case; what it yields is told how it ended."""
    with tracer.work("case") as work:
        work.attributes["promptcanary.case"] = case

        def done(result: RunResult) -> None:
            if result.error:
                work.failed("no_answer", "no answer")

        yield done
