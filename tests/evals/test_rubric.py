"""Rubrics from YAML, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import InvalidValue
from gateway.evals.rubric import Bench, Criterion, Rubric, mean_score, read_rubric, rubric_digest

SHIPPED = Path(__file__).parents[2] / "config" / "evals" / "rubrics"
ONE = "{name: a, question: 'Good?', anchors: [bad, good]}"


def rubric(criteria: str = ONE, more: str = "") -> str:
    return f"name: test\n{more}criteria:\n  - {criteria}\n"


def test_a_rubric_is_read() -> None:
    read = read_rubric(rubric(more="context: Letters.\n"), "test.yaml")
    assert read == Rubric("test", (Criterion("a", "Good?", ("bad", "good")),), "Letters.")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("criteria: [", "test.yaml: not YAML"),
        ("- 1", "test.yaml: Expected `object`"),
        ("name: test\ncriteria: []", "1 to 10 criteria"),
        (rubric("{name: a, question: 'Good?', anchors: [bad]}"), "2 to 10 anchors, worst first; here are 1"),
        (rubric("{name: a, question: ' ', anchors: [b, g]}"), "a criterion asks a question"),
        (rubric("{name: a, question: Q, anchors: [b, g], weight: 0}"), "a weight is above 0"),
        (rubric("{name: a, question: Q, anchors: [b, g], scale: 5}"), "unknown field `scale`"),
        (rubric(f"{ONE}\n  - {ONE}"), "each with a name of its own"),
        (rubric(more=f"context: {'x' * 20_001}\n"), "more than 20000 characters"),
    ],
)
def test_what_is_no_rubric_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        read_rubric(text, "test.yaml")


def test_the_mean_goes_by_weight() -> None:
    two = Rubric("r", (Criterion("a", "?", ("n", "y"), 3.0), Criterion("b", "?", ("n", "y"), 1.0)))
    assert mean_score(two, {"a": 1.0, "b": 0.5}) == 0.875


def test_a_digest_changes_with_every_part() -> None:
    one = Rubric("r", (Criterion("a", "?", ("n", "y")),))
    other = Rubric("r", (Criterion("a", "?", ("n", "yes")),))
    assert rubric_digest(one) != rubric_digest(other)
    benches = [Bench("m", one, "p"), Bench("n", one, "p"), Bench("m", other, "p"), Bench("m", one, "q")]
    assert len({bench.digest for bench in benches}) == 4
    assert all(len(bench.digest) == 16 for bench in benches)


def test_the_shipped_rubrics_are_valid() -> None:
    paths = sorted(SHIPPED.glob("*.yaml"))
    assert paths
    for path in paths:
        assert read_rubric(path.read_text(), path.name).name == path.stem
