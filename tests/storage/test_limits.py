"""The breaker on a clock of its own, the guard on real time-outs, and revisions that go back."""

import asyncio

import pytest

from gateway.errors import ConfigError, StoreRevised, StoreUnavailable
from gateway.storage.limits import Breaker, Guard, Limits, Watermark


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(failures=2, cool_down=1.0, clock=clock)
    for _ in range(2):
        breaker.admit()
        breaker.failed()
    return breaker


def test_the_breaker_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(failures=2, cool_down=1.0, clock=Clock())
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    breaker.admit()
    breaker.failed()
    with pytest.raises(StoreUnavailable) as refusal:
        breaker.admit()
    assert refusal.value.retry_after == 1.0


def test_one_probe_after_the_cool_down_decides() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 1.0
    breaker.admit()
    with pytest.raises(StoreUnavailable):
        breaker.admit()
    breaker.failed()
    with pytest.raises(StoreUnavailable):
        breaker.admit()
    clock.now += 1.0
    breaker.admit()
    breaker.succeeded()
    breaker.admit()
    breaker.admit()


def test_an_abandoned_probe_lets_another_through() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 1.0
    breaker.admit()
    breaker.abandoned()
    breaker.admit()


async def test_the_guard_translates_faults_and_time_outs() -> None:
    guard = Guard(0.01, Breaker(failures=100, clock=Clock()), (ZeroDivisionError,))
    with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.01 s"):
        async with guard():
            await asyncio.Event().wait()
    with pytest.raises(StoreUnavailable, match="the store failed: ZeroDivisionError"):
        async with guard():
            raise ZeroDivisionError


async def test_a_refusal_is_an_answer_and_closes_the_breaker() -> None:
    breaker = Breaker(failures=2, clock=Clock())
    guard = Guard(1.0, breaker, (ZeroDivisionError,))
    breaker.failed()
    with pytest.raises(StoreRevised):
        async with guard():
            raise StoreRevised("moved")
    breaker.failed()
    breaker.admit()


@pytest.mark.parametrize("slip", [{"call": 0}, {"lookup": -1}, {"failures": 0}, {"cool_down": 0}])
def test_limits_are_above_zero(slip: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(slip))} must be above 0"):
        Limits(**slip)


@pytest.mark.parametrize(
    ("seen", "regressed"),
    [
        ([(1, 0, 0), (1, 0, 0), (2, 0, 0)], False),
        ([(5, 0, 0), (4, 0, 0)], True),
        ([(5, 0, 0), (1006, 5, 1005)], False),  # leapt, and nothing was lost
        ([(5, 0, 0), (1005, 4, 1004)], True),  # leapt from 4, and 5 had been seen
        ([(1006, 5, 1005), (1007, 5, 1005)], False),
        ([(5, 0, 0), (4, 0, 0), (9, 0, 0)], True),  # stays
    ],
)
def test_the_watermark_notices_lost_commits(seen: list[tuple[int, int, int]], regressed: bool) -> None:
    watermark = Watermark()
    for revision, before, after in seen:
        watermark.observe(revision, (before, after))
    assert watermark.regressed is regressed
