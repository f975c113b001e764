from math import exp, inf, isclose, isfinite, log, log1p

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidValue
from gateway.stats.wealth import Wealth, evidence_for, log_mean

STAKES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9)
outcomes = st.lists(st.floats(-1.0, 1.0), max_size=40)


def played(bets: list[float], *, later: int = 0, starts: tuple[int, ...] = (), bettors: int = 8) -> Wealth:
    wealth = Wealth.of(bettors, later=later)
    for index, outcome in enumerate(bets):
        if index in starts:
            wealth.start()
        wealth.bet(outcome, STAKES[:bettors])
    return wealth


@given(outcomes)
def test_e_is_the_mean_of_the_bettors_capitals(bets: list[float]) -> None:
    for bettors in (1, 3, 8):
        capitals = [1.0] * bettors
        for outcome in bets:
            capitals = [
                capital * (1.0 + stake * outcome)
                for capital, stake in zip(capitals, STAKES[:bettors], strict=True)
            ]
        assert isclose(exp(played(bets, bettors=bettors).get()), sum(capitals) / bettors, rel_tol=1e-9)


@given(outcomes, st.integers(0, 40), st.integers(0, 40), st.integers(2, 4))
def test_later_starts_are_processes_of_their_own_at_fixed_weights(
    bets: list[float], one: int, two: int, later: int
) -> None:
    moments = sorted({one, two} & set(range(len(bets))))
    wealth = played(bets, later=later, starts=tuple(moments))
    parts = [exp(played(bets[moment:]).get()) for moment in moments] + [1.0] * (later - len(moments))
    expected = 0.5 * exp(played(bets).get()) + 0.5 * sum(parts) / later
    assert isclose(exp(wealth.get()), expected, rel_tol=1e-9)


def test_no_more_starts_than_planned() -> None:
    wealth = Wealth.of(8, later=1)
    wealth.start()
    with pytest.raises(InvalidValue, match="all 1 planned"):
        wealth.start()


@given(outcomes, outcomes)
def test_merged_capitals_multiply_bettor_by_bettor(first: list[float], second: list[float]) -> None:
    mine, theirs, whole = played(first), played(second), played(first + second)
    mine.merge(theirs)
    assert mine.sums == pytest.approx(whole.sums)
    assert isclose(mine.get(), whole.get(), abs_tol=1e-9)


def test_only_the_same_grid_and_starts_merge() -> None:
    for other in (Wealth.of(3), Wealth.of(8, later=1)):
        with pytest.raises(InvalidValue, match="same"):
            Wealth.of(8).merge(other)


@given(outcomes)
def test_the_state_survives_being_stored(bets: list[float]) -> None:
    wealth = played(bets, later=1, starts=(3,))
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(wealth), type=Wealth)
    assert restored == wealth
    assert restored.get() == wealth.get()


def test_log_e_stays_finite_where_e_does_not() -> None:
    up, down = Wealth.of(8), Wealth.of(8)
    for _ in range(10_000):
        up.bet(1.0, STAKES)
        down.bet(-1.0, STAKES)
    assert isclose(up.get(), 10_000 * log1p(0.9) - log(8.0))
    assert isfinite(down.get())
    assert down.get() < -1000


def test_a_family_is_the_mean_of_its_tests() -> None:
    assert isclose(exp(log_mean([log(3.0), log(1.0), log(5.0)])), 3.0)
    assert isclose(exp(log_mean([log(3.0), log(5.0)], [0.25, 0.75])), 4.5)
    with pytest.raises(InvalidValue):
        log_mean([])


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, inf, float("nan")])
def test_an_alpha_is_an_error_rate(alpha: float) -> None:
    assert isclose(exp(evidence_for(0.05)), 20.0)
    with pytest.raises(InvalidValue):
        evidence_for(alpha)


def test_a_grid_has_bettors() -> None:
    with pytest.raises(InvalidValue):
        Wealth.of(0)
