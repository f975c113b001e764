from math import isclose, log, sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidValue
from gateway.stats.intervals import Effect, tuned_rho, watched, wilson
from tests.stats.judged import units


def test_the_interval_covers_the_truth_at_every_look() -> None:
    """Two-sided α .05, a look after every unit from the 50th canary one on, unequal split, effect .05."""
    runs, missed = 150, 0
    for run in range(runs):
        effect = Effect.of(0.0625, 0.05)
        for unit in units(Random(f"cover {run}"), 0.2, 0.25, 0.3, 400):
            effect.update(*unit)
            if effect.units[1] >= 50:
                shown = effect.get(0.05)
                assert shown is not None
                if not shown.low <= 0.05 <= shown.high:
                    missed += 1
                    break
    assert missed <= 13  # 7.5 expected at most; P(> 13) = 1.7 %


def test_the_estimate_is_unbiased() -> None:
    effect = Effect.of(0.0625, 0.05)
    for unit in units(Random("estimate"), 0.2, 0.3, 0.2, 20_000):
        effect.update(*unit)
    shown = effect.get()
    assert shown is not None
    assert isclose(shown.estimate, 0.1, abs_tol=0.008)
    assert isclose(effect.badness[1] / effect.units[1], 0.3, abs_tol=0.006)


def test_rho_makes_the_planned_width_the_least() -> None:
    variance, tolerance, alpha = 0.0625, 0.05, 0.05
    planned = 2 * log(1 / alpha) * (variance / tolerance) ** 2

    def width(rho: float) -> float:
        return sqrt((planned + rho) * (log(1 + planned / rho) + 2 * log(1 / alpha)))

    least = min(width(planned * 1.02**k) for k in range(-400, 200))
    assert width(tuned_rho(variance, tolerance, alpha)) < 1.001 * least


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=30), st.integers(0, 30))
def test_merged_parts_are_the_whole(drawn: list[tuple[bool, float]], cut: int) -> None:
    whole, first, second = (Effect.of(0.0625, 0.05) for _ in range(3))
    for index, (arm, badness) in enumerate(drawn):
        for effect in (whole, first if index < cut else second):
            effect.update(arm, badness, 0.3, 0.2)
    first.merge(second)
    assert first.units == whole.units
    shown, expected = first.get(), whole.get()
    assert (shown is None) == (expected is None)
    if shown and expected:
        assert shown == pytest.approx(expected)


def test_an_interval_of_nothing_is_none_and_unlike_ones_do_not_merge() -> None:
    assert Effect.of(0.1, 0.1).get() is None
    with pytest.raises(InvalidValue):
        Effect.of(0.1, 0.1).merge(Effect.of(0.1, 0.2))
    with pytest.raises(InvalidValue):
        tuned_rho(0.0, 0.1)


def test_wilson_is_the_published_example() -> None:
    """Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, method 3."""
    assert [round(v, 4) for v in wilson(81, 263)[1:]] == [0.2553, 0.3662]
    assert [round(v, 4) for v in wilson(15, 148)[1:]] == [0.0624, 0.1605]
    assert [round(v, 4) for v in wilson(0, 20)[1:]] == [0.0, 0.1611]
    assert [round(v, 4) for v in wilson(1, 29)[1:]] == [0.0061, 0.1718]


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0.001, 0.5))
def test_wilson_holds_the_rate_and_is_symmetric(trials: int, part: float, alpha: float) -> None:
    hits = round(part * trials)
    rate, low, high = wilson(hits, trials, alpha)
    assert 0.0 <= low <= rate + 1e-12
    assert rate - 1e-12 <= high <= 1.0
    mirrored = wilson(trials - hits, trials, alpha)
    assert isclose(low, 1.0 - mirrored.high, abs_tol=1e-12)


@pytest.mark.parametrize(
    ("hits", "trials", "alpha"), [(1, 0, 0.05), (3, 2, 0.05), (-1, 2, 0.05), (1, 2, 1.0)]
)
def test_wilson_refuses_what_is_no_rate(hits: int, trials: int, alpha: float) -> None:
    with pytest.raises(InvalidValue):
        wilson(hits, trials, alpha)


def test_a_rate_may_be_watched() -> None:
    """Looked at after each of 300 trials: it leaves the interval in at most α of the runs."""
    rng = Random("watched")
    left = 0
    for _ in range(150):
        hits = 0
        for trial in range(1, 301):
            hits += rng.random() < 0.9
            _, low, high = watched(hits, trial, 0.1)
            if not low <= 0.9 <= high:
                left += 1
                break
    assert left <= 0.1 * 150 + 9


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_a_watched_rate_needs_trials(hits: int, trials: int) -> None:
    with pytest.raises(InvalidValue, match="trials"):
        watched(hits, trials)


def test_a_watched_rate_closes_in() -> None:
    widths = [high - low for _, low, high in (watched(9 * n, 10 * n) for n in (1, 10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.03
    assert (watched(0, 5).low, watched(5, 5).high) == (0.0, 1.0)
