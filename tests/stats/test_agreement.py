"""Agreement of a judge with people, against resampling and what must hold."""

from __future__ import annotations

from random import Random
from statistics import stdev

import pytest

from gateway.errors import InvalidValue
from gateway.stats.agreement import Agreement


def test_the_interval_of_kappa_is_as_wide_as_resampling_says() -> None:
    counted = Agreement(60, 12, 8, 40)
    cells = [(True, True)] * 60 + [(True, False)] * 12 + [(False, True)] * 8 + [(False, False)] * 40
    random = Random(3)
    found = []
    for _ in range(2000):
        drawn = Agreement()
        for person, judge in random.choices(cells, k=len(cells)):
            drawn = drawn.plus(person, judge)
        kappa = drawn.kappa()
        assert kappa is not None
        found.append(kappa.estimate)
    kappa = counted.kappa()
    assert kappa is not None
    assert kappa.high - kappa.estimate == pytest.approx(1.96 * stdev(found), rel=0.06)


def test_one_that_agrees_always_and_one_that_guesses() -> None:
    sure = Agreement(30, 0, 0, 30).kappa()
    assert sure is not None
    assert (sure.estimate, sure.low, sure.high) == (1.0, 1.0, 1.0)
    chance = Agreement(25, 25, 25, 25).kappa()
    assert chance is not None
    assert chance.estimate == pytest.approx(0.0)
    assert chance.low < 0.0 < chance.high


def test_where_there_is_nothing_to_compare_there_is_nothing_to_say() -> None:
    assert Agreement().kappa() is None
    assert Agreement(50, 0, 10, 0).kappa() is None  # the judge says yes to everything
    assert Agreement(0, 0, 1, 1).true_positives() is None
    assert Agreement(1, 1, 0, 0).false_positives() is None


def test_rates_are_of_what_the_person_said() -> None:
    counted = Agreement(45, 15, 25, 15)
    yes, no = counted.true_positives(), counted.false_positives()
    assert yes is not None and no is not None
    assert (yes.estimate, no.estimate) == (0.75, 0.625)
    assert yes.low < 0.75 < yes.high
    with pytest.raises(InvalidValue, match="no error rate"):
        counted.kappa(0.0)
