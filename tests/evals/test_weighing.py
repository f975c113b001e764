"""Scores as expectations over the probabilities of tokens, from what APIs send and what they should not."""

from __future__ import annotations

from math import log
from typing import Any

import pytest

from gateway.evals.rubric import Criterion
from gateway.evals.weighing import candidates, expected_score

FIVE = Criterion("a", "?", ("1", "2", "3", "4", "5"))
TEN = Criterion("a", "?", tuple("abcdefghij"))


def token(text: str, **chances: float) -> dict[str, Any]:
    top = [{"token": name.strip("_"), "logprob": log(chance)} for name, chance in chances.items()]
    return {"token": text, "logprob": 0.0, "top_logprobs": top}


def test_the_expectation_is_over_the_scale_and_nothing_else() -> None:
    said = [token('{"reason": "so", "score": '), token("4", _4=0.6, _5=0.3, x=0.1), token("}")]
    assert expected_score(said, FIVE) == pytest.approx((0.6 * 0.75 + 0.3) / 0.9)


def test_the_score_may_share_its_token_with_what_stands_around_it() -> None:
    top = [{"token": ": 4}", "logprob": log(0.5)}, {"token": ": 5}", "logprob": log(0.5)}]
    said = [token('{"score"'), {"token": ": 4}", "top_logprobs": top}]
    assert expected_score(said, FIVE) == pytest.approx(0.875)


def test_the_last_score_counts_as_it_does_where_answers_are_read() -> None:
    said = [token('{"score": '), token("1", _1=1.0), token('} {"score": '), token("5", _5=1.0), token("}")]
    assert expected_score(said, FIVE) == 1.0


@pytest.mark.parametrize(
    "tokens",
    [
        None,
        [],
        "text",
        [{"token": 1}],
        [token('{"score": '), {"token": "4"}],
        [token('{"score": '), {"token": "4", "top_logprobs": [None, {"token": "4"}, {"token": "9"}]}],
        [token('{"score": '), token("4", _4=0.2, x=0.8)],  # most of it lies elsewhere
        [token('{"score": '), token("10", _10=1.0)],
        [token('{"score": ')],
        [token('{"sc": '), token("4", _4=1.0)],
        [token('{"score": '), {"token": "4", "top_logprobs": [{"token": "4", "logprob": float("nan")}]}],
    ],
)
def test_where_it_cannot_be_told_there_is_none(tokens: Any) -> None:
    assert expected_score(tokens, FIVE) is None


def test_a_scale_of_two_digits_is_not_weighed() -> None:
    assert candidates(TEN) == 0 < candidates(FIVE)
    assert expected_score([token('{"score": '), token("1", _1=1.0)], TEN) is None
