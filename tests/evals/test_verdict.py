"""A judge's answers, as models write them."""

from __future__ import annotations

import time

import pytest

from gateway.evals.rubric import Criterion
from gateway.evals.verdict import MOST_CHARACTERS, score_of

FIVE = Criterion("a", "?", ("1", "2", "3", "4", "5"))


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"reason": "good", "score": 5}', 1.0),
        ('{"reason": "good", "score": 1}', 0.0),
        ('Here it is:\n```json\n{"reason": "so {so}", "score": 3}\n```\nDone.', 0.5),
        ('{"score": 2} or rather {"reason": "a \\" b }", "score": 4}', 0.75),
        ('{"judgment": {"score": 4}} {"score": "4/5"}', 0.75),
        ('{"score": "5"}', 1.0),
        ('{"score": 3.4}', 0.6),
        ('{"outer": 1} {"reason": "broken off', None),
        ('{"reason": "no score"}', None),
        ('{"score": 0}', None),
        ('{"score": 6}', None),
        ('{"score": true}', None),
        ('{"score": NaN}', None),
        ('{"score": "4/10"}', None),
        ('{"score": null}', None),
        ("I would say 4 out of 5.", None),
        ("", None),
    ],
)
def test_a_score_is_read_or_there_is_none(text: str, score: float | None) -> None:
    found = score_of(text, FIVE)
    assert found == pytest.approx(score) if score is not None else found is None


@pytest.mark.parametrize("piece", ["{", '{"a":', "[{", '{"a":1,', "{}"])
def test_what_is_made_to_be_slow_is_not(piece: str) -> None:
    started = time.perf_counter()
    assert score_of(piece * (MOST_CHARACTERS // len(piece)), FIVE) is None
    assert time.perf_counter() - started < 1.0
