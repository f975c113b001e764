"""A judge against itself: what is a shift, and what is noise, silence or another set of anchors."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from gateway.evals.calibration import Labelled
from gateway.evals.drift import FEWEST, Anchors, anchor_of, begun, scored_again

FIRST = {f"item-{number}": 0.2 + 0.05 * (number % 13) for number in range(30)}


def first() -> Anchors:
    made = begun("bench", "helpful", FIRST, 100.0)
    assert made is not None
    return made


def again(scores: Mapping[str, float | None], before: Anchors | None = None) -> Anchors:
    return scored_again(before or first(), scores, 200.0, 0.1)


def test_a_shift_of_all_is_seen_and_goes_when_it_goes() -> None:
    moved = again({item: score - 0.12 for item, score in FIRST.items()})
    assert moved.drifting
    assert moved.shift is not None
    assert round(moved.shift.estimate, 6) == -0.12
    assert not again(FIRST, moved).drifting


def test_what_is_small_or_may_be_chance_is_no_drift() -> None:
    assert not again({item: score - 0.08 for item, score in FIRST.items()}).drifting
    random = Random(5)
    wild = {item: score + random.gauss(0.0, 0.4) for item, score in FIRST.items()}
    assert not again(wild).drifting
    for seed in range(200):
        random = Random(seed)
        assert not again({item: score + random.gauss(0.0, 0.05) for item, score in FIRST.items()}).drifting


def test_too_few_scores_change_nothing() -> None:
    assert begun("bench", "helpful", dict.fromkeys(list(FIRST)[: FEWEST - 1], 0.5), 1.0) is None
    moved = again({item: score - 0.2 for item, score in FIRST.items()})
    silent = again(dict.fromkeys(FIRST), moved)
    assert silent.drifting
    assert (silent.shift, silent.at) == (moved.shift, 200.0)


def test_anchors_that_are_new_begin_with_the_scores_of_now() -> None:
    others = {f"other-{number}": 0.9 for number in range(30)}
    changed = again(others)
    assert changed.shift is None
    assert changed.first == others
    assert again(dict.fromkeys(others, 0.7), changed).drifting


def test_an_anchor_is_its_words() -> None:
    one = Labelled("Hello.", True, "Hi?")
    assert anchor_of(one) == anchor_of(Labelled("Hello.", 0.0, "Hi?"))
    assert anchor_of(one) != anchor_of(Labelled("Hello!", True, "Hi?"))
