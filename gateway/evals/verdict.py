"""A judge's answer → a score. Models wrap JSON in prose and fences, break it off, or write "4/5"."""

from __future__ import annotations

import json
import re
from typing import Any

from gateway.evals.rubric import Criterion

MOST_CHARACTERS = 10_000
_JSON = json.JSONDecoder()
_START = re.compile(r"\{")
_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(?:/\s*([0-9]+))?\s*\Z")


def score_of(text: str, criterion: Criterion) -> float | None:
    """The score in [0, 1] of an answer in JSON, however it is wrapped; None where there is none, or one that
    is not on the criterion's scale: no score is better than a guessed one.

    >>> yes_no = Criterion("a", "?", ("no", "half", "yes"))
    >>> score_of('Sure! {"reason": "mostly", "score": 2}', yes_no), score_of('{"score": 9}', yes_no)
    (0.5, None)
    """
    found = last_object(text)
    return None if found is None else on_scale(found.get("score"), criterion)


def on_scale(value: Any, criterion: Criterion) -> float | None:
    """A number from 1 to the best score, or a string of one ("4", "4/5")."""
    best = criterion.best
    if isinstance(value, str) and (match := _NUMBER.match(value)):
        if match[2] is not None and int(match[2]) != best:
            return None
        value = float(match[1])
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= best:
        return None
    return (value - 1) / (best - 1)


def last_object(text: str) -> dict[str, Any] | None:
    """The last JSON object in a text that has a `score`, at its outermost. Prose, fences and earlier drafts
    before it are passed over."""
    text = text[-MOST_CHARACTERS:]
    found: dict[str, Any] | None = None
    at = 0
    while match := _START.search(text, at):
        try:
            value, at = _JSON.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            at = match.end()
            continue
        if isinstance(value, dict) and "score" in value:
            found = value
    return found
