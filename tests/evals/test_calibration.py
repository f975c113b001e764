"""A judge against people's labels: files, counts, and what is enough."""

from __future__ import annotations

import json

import pytest

from gateway.errors import InvalidValue
from gateway.evals.calibration import Labelled, Needs, Range, Told, calibrate, read_labelled
from gateway.evals.rubric import Bench, Criterion, Rubric

BENCH = Bench("judge-model", Rubric("helpful", (Criterion("a", "?", ("no", "yes")),)), "prompt")


def told(*groups: tuple[int, bool | float, float | None]) -> list[Told]:
    return [
        Told(label, score, "" if score is not None else "timeout")
        for n, label, score in groups
        for _ in range(n)
    ]


def test_a_file_is_read_line_by_line() -> None:
    text = '{"question": "Hi?", "answer": "Hello.", "label": true}\n\n{"answer": "No.", "label": 0.25}\n'
    assert read_labelled(text, "l.jsonl") == (Labelled("Hello.", True, "Hi?"), Labelled("No.", 0.25))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", r"l.jsonl:2: a line is"),
        ('{"answer": "a"}', "l.jsonl:2: a line is"),
        ('{"answer": "a", "label": "good"}', "l.jsonl:2: a line is"),
        ('{"answer": "a", "label": 2}', "l.jsonl:2: a label is true, false or a number from 0 to 1"),
        ('{"answer": " ", "label": true}', "l.jsonl:2: an answer has words"),
        ('{"answer": "a", "label": true, "score": 1}', "unknown field `score`"),
        (json.dumps({"answer": "a" * 70_000, "label": True}), "at most 65536"),
    ],
)
def test_what_is_no_label_is_refused_with_its_line(line: str, complaint: str) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        read_labelled(f'{{"answer": "a", "label": true}}\n{line}', "l.jsonl")


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(InvalidValue, match="1 to 5000 labelled answers"):
        read_labelled("\n", "l.jsonl")


def test_counts_and_rates_and_whose_they_are() -> None:
    answers = told((40, True, 0.9), (5, True, 0.2), (10, False, 0.7), (45, 0.2, 0.1), (3, True, None))
    found = calibrate(BENCH, answers, threshold=0.5, needs=Needs())
    counts = found.counts
    assert (counts.both, counts.missed, counts.false, counts.neither) == (40, 5, 10, 45)
    assert (found.labels, found.unscored, found.weighted) == (103, {"timeout": 3}, 0)
    assert found.true_positives is not None and found.false_positives is not None and found.kappa is not None
    assert found.true_positives.estimate == pytest.approx(40 / 45)
    assert found.false_positives.estimate == pytest.approx(10 / 55)
    assert found.kappa.estimate == pytest.approx(0.7)
    assert found.kappa.low < found.kappa.estimate < found.kappa.high
    assert found.calibrated
    assert (found.rubric, found.model, found.bench) == ("helpful", "judge-model", BENCH.digest)


@pytest.mark.parametrize(
    ("groups", "short"),
    [
        (((20, True, 1.0), (20, False, 0.0)), "40 labelled answers with a score; needed are 50"),
        (((57, True, 1.0), (3, False, 0.0)), "57 answers good and 3 bad; of each kind 5"),
        (((30, True, 1.0), (30, False, 1.0)), "kappa cannot be told; needed is 0.6"),
        (((20, True, 1.0), (10, True, 0.0), (10, False, 1.0), (20, False, 0.0)), "kappa is 0.33; needed"),
    ],
)
def test_what_is_not_enough_is_said(groups: tuple[tuple[int, bool, float], ...], short: str) -> None:
    found = calibrate(BENCH, told(*groups), threshold=0.5, needs=Needs())
    assert short in found.short
    assert not found.calibrated


def test_needs_are_configurable_and_a_threshold_is_checked() -> None:
    few = told((5, True, 0.8), (5, False, 0.6))
    assert calibrate(BENCH, few, threshold=0.7, needs=Needs(10, 0.9)).calibrated
    assert calibrate(BENCH, few, threshold=0.7, needs=Needs(10, 0.9)).kappa == Range(1.0, 1.0, 1.0)
    with pytest.raises(InvalidValue, match="threshold is above 0"):
        calibrate(BENCH, few, threshold=0.0, needs=Needs())
