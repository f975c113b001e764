"""Whether a judge still scores as it did: the same answers, its anchors, scored again now and then.

A provider may change what stands behind a model's name. Scores of two days are then not of one judge, and
a difference between the arms may be one between the days. The first scores of a `Bench` are what later ones
are compared with, item by item.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from math import sqrt
from statistics import fmean, stdev

import msgspec

from gateway.evals.calibration import Labelled, Range

FEWEST = 10  # pairs of scores; fewer show nothing
SURE = 2.576  # standard errors: 99 %, looked at once an hour


class Anchors(msgspec.Struct, frozen=True):
    """`first` and `newest` scores by item, and when (store time, s). `shift`: newest − first with its 99 %
    interval, None while too few items have both. `drifting`: it is large and it is no chance."""

    bench: str
    rubric: str
    first: dict[str, float]
    first_at: float
    newest: dict[str, float] = {}
    at: float = 0.0
    shift: Range | None = None
    drifting: bool = False


def anchor_of(item: Labelled) -> str:
    """12 hex digits over question and answer."""
    return hashlib.sha256(f"{item.question}\0{item.answer}".encode()).hexdigest()[:12]


def begun(bench: str, rubric: str, scores: Mapping[str, float | None], now: float) -> Anchors | None:
    """None if too few have a score: then it begins later."""
    first = {item: score for item, score in scores.items() if score is not None}
    return Anchors(bench, rubric, first, now, at=now) if len(first) >= FEWEST else None


def scored_again(before: Anchors, scores: Mapping[str, float | None], now: float, limit: float) -> Anchors:
    """`limit`: a shift of the mean that is too large. Without enough scores what was known stays, because a
    judge that does not answer has not changed its mind. Items that are new begin with the scores of now.

    >>> scores = {str(i): i / 20 for i in range(20)}
    >>> first = begun("b", "helpful", scores, 0.0)
    >>> scored_again(first, {i: score * 0.7 for i, score in scores.items()}, 1.0, 0.1).drifting
    True
    >>> scored_again(first, {i: score * 0.9 for i, score in scores.items()}, 1.0, 0.1).drifting
    False
    """
    newest = {item: score for item, score in scores.items() if score is not None}
    apart = [score - before.first[item] for item, score in newest.items() if item in before.first]
    first = {**newest, **{item: score for item, score in before.first.items() if item in scores}}
    before = msgspec.structs.replace(before, first=first, at=now)
    if len(apart) < max(FEWEST, len(first) / 2):
        return before
    mean = fmean(apart)
    half = SURE * stdev(apart) / sqrt(len(apart))
    drifting = abs(mean) >= limit and abs(mean) > half
    shift = Range(mean, mean - half, mean + half)
    return msgspec.structs.replace(before, newest=newest, shift=shift, drifting=drifting)
