"""A score as its expectation, Σ p(s)·s, where the API tells how probable other tokens were in its place.

It is finer than a whole number, so fewer sessions are needed for the same certainty. Source: Liu et al. 2023,
G-Eval, arXiv:2303.16634.
"""

from __future__ import annotations

import re
from math import exp
from typing import Any

from gateway.evals.rubric import Criterion

MOST_SCORES = 9  # a scale of one digit, so that a score is one token
LEAST_MASS = 0.5  # probability that must lie on the scale
_SCORE = re.compile(r'"score"\s*:\s*"?')
_DIGIT = re.compile(r"([0-9])(?![0-9])")


def candidates(criterion: Criterion) -> int:
    """How many tokens to ask the API for; 0: its answer could not be weighed."""
    return max(5, criterion.best) if criterion.best <= MOST_SCORES else 0


def expected_score(tokens: Any, criterion: Criterion) -> float | None:
    """The expected score in [0, 1] from `choices[0].logprobs.content` of a chat completion; None where it
    cannot be told: then the stated score counts.

    >>> five = Criterion("a", "?", ("1", "2", "3", "4", "5"))
    >>> top = [{"token": "4", "logprob": -0.6931}, {"token": "5", "logprob": -0.6931}]
    >>> said = [{"token": '{"score": '}, {"token": "4", "top_logprobs": top}, {"token": "}"}]
    >>> expected_score(said, five)
    0.875
    """
    if criterion.best > MOST_SCORES or not isinstance(tokens, list):
        return None
    if not all(isinstance(token, dict) and isinstance(token.get("token"), str) for token in tokens):
        return None
    found = list(_SCORE.finditer("".join(token["token"] for token in tokens)))
    if not found:
        return None
    at = found[-1].end()
    for token in tokens:
        if at < len(token["token"]):
            return _expected(token, token["token"][:at], criterion)
        at -= len(token["token"])
    return None


def _expected(token: dict[str, Any], before: str, criterion: Criterion) -> float | None:
    """`before`: what of the token stands before the score; an alternative must stand in the same place."""
    top = token.get("top_logprobs")
    mass = total = 0.0
    for each in top if isinstance(top, list) else ():
        text, logprob = (each.get("token"), each.get("logprob")) if isinstance(each, dict) else (None, None)
        if not isinstance(text, str) or not isinstance(logprob, int | float) or not text.startswith(before):
            continue
        score = _DIGIT.match(text[len(before) :].lstrip())
        if score is None or not 1 <= int(score[1]) <= criterion.best or not -100.0 < logprob <= 1e-6:
            continue
        mass += exp(logprob)
        total += exp(logprob) * (int(score[1]) - 1) / (criterion.best - 1)
    return min(total / mass, 1.0) if mass >= LEAST_MASS else None
