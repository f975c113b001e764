"""What a judge's process tells its supervisor about once a second."""

from __future__ import annotations

from gateway.control.judging.loop import Judge
from gateway.telemetry.metrics import Sample

SCORED = "none"  # label of answers that got a score: there is no cause why not


def judged(judge: Judge) -> list[Sample]:
    """What was done since the last time; it is forgotten here."""
    new = judge.news()
    answers: list[Sample] = [
        ("judge_answers_total", (cause,), (count,)) for cause, count in new.unscored.items()
    ]
    if new.scored:
        answers.append(("judge_answers_total", (SCORED,), (new.scored,)))
    if new.calls:
        answers.append(("judge_calls_total", (), (new.calls,)))
    if new.usd:
        answers.append(("judge_cost_usd_total", (), (new.usd,)))
    return answers


def at_work(judge: Judge) -> list[Sample]:
    """How it stands."""
    limits = judge.settings
    return [
        ("judge_under_way", (), (judge.under_way,)),
        ("judge_concurrency", (), (limits.concurrency,)),
        ("judge_limit_usd", ("day",), (limits.usd_per_day,)),
        ("judge_limit_usd", ("rollout",), (limits.usd_per_rollout,)),
    ]
