"""Incident, hard stop, completeness."""

from __future__ import annotations

from random import Random

import msgspec

from gateway.analysis.monitor import Completeness, HardStop, Incident, Shortage
from gateway.analysis.rules import Rules

RULES = Rules()


def incident(requests: list[tuple[float, bool]], now: float, before: float = 0.0) -> bool:
    watched = Incident(before=before)
    for at, failed in requests:
        watched.add(at, 1, int(failed))
        watched.update(at, RULES)
    return watched.update(now, RULES)


def test_a_provider_that_fails_is_an_incident_and_ends() -> None:
    good = [(float(second), False) for second in range(100)]
    bad = [(100.0 + second, second % 2 == 0) for second in range(30)]
    assert not incident(good, 100.0)
    assert incident(good + bad, 130.0)
    assert not incident(good + bad + [(130.0 + second, False) for second in range(60)], 190.0)


def test_the_window_reaches_back_until_it_holds_twenty_requests() -> None:
    """One request in 20 s: the last minute holds three of them."""
    calm = [(20.0 * n, False) for n in range(40)]
    assert not incident([*calm, (800.0, True), (820.0, True)], 830.0)  # 2 of 20 is not above 10 %
    assert incident([*calm, (800.0, True), (820.0, True), (840.0, True)], 850.0)


def test_ten_minutes_are_the_most() -> None:
    assert incident([(0.0, True), (1.0, True)], 500.0)
    assert not incident([(0.0, True), (1.0, True)], 700.0)


def test_an_incident_goes_on_after_it_was_stored() -> None:
    watched = Incident()
    for second in range(30):
        watched.add(float(second), 1, second % 2)
        watched.update(float(second), RULES)
    again = msgspec.convert(msgspec.to_builtins(watched) | {"held": 0}, Incident)  # as before it was there
    assert again.held == watched.held == 15
    assert again.update(30.0, RULES)
    assert not again.update(1000.0, RULES)
    assert again.held == 0


def test_one_failure_is_no_incident() -> None:
    assert not incident([(0.0, True)], 1.0)


def test_a_provider_that_always_fails_a_little_is_no_incident() -> None:
    often = [(float(second), second % 5 == 0) for second in range(300)]
    assert incident(often, 300.0)
    assert not incident(often, 300.0, before=0.2)


def stopped(canary: list[bool], stable: list[bool]) -> bool:
    stop = HardStop()
    for failed in stable:
        stop.add(False, failed, 1.0, RULES)
    for failed in canary:
        stop.add(True, failed, 2.0, RULES)
    return stop.at is not None


def test_twenty_first_failures_stop_unless_stable_fails_too() -> None:
    assert stopped([True] * 20, [False] * 20)
    assert not stopped([True] * 19, [False] * 20)
    assert not stopped([False] + [True] * 40, [False] * 20)
    assert not stopped([True] * 40, [True] * 20)
    assert not stopped([True] * 40, [False] * 19)


def complete(
    sampled: tuple[int, int], scored: tuple[int, int], *, age: float = 0.0, missed: int = 1
) -> Shortage | None:
    found = Completeness()
    for arm in (0, 1):
        for number in range(sampled[arm]):
            found.add(bool(arm), 100.0, number < scored[arm])
    if age:
        for number in range(missed):
            found.add(False, 100.0 + age * (number + 1) / missed, False)
    return found.missing(0.05, RULES)


def test_scores_must_be_there_in_both_arms_alike_and_fresh() -> None:
    assert complete((100, 100), (98, 97)) is None
    assert complete((100, 0), (50, 0)) is None  # nothing to compare yet
    for found, words in (
        (complete((200, 200), (196, 140)), "needed are 90%"),
        (complete((1000, 1000), (995, 910)), "may differ by 2.5%"),
        (complete((100, 100), (100, 100), age=1000.0, missed=2), "older than the newest judged"),
    ):
        assert found is not None
        assert words in found.words
        assert found.sure


def test_what_may_be_missing_by_chance_is_not_sure() -> None:
    for found in (
        complete((100, 50), (98, 44)),  # 88 %, of few
        complete((100, 100), (99, 95)),
        complete((100, 100), (100, 100), age=1000.0),  # one without a score, and then no session for long
    ):
        assert found is not None
        assert not found.sure


def test_a_share_that_is_only_just_enough_is_seldom_called_too_low() -> None:
    """Looked at after every session; the error rate is .01."""
    rng = Random(5)
    held = 0
    for _ in range(200):
        found = Completeness()
        for number in range(400):
            found.add(number % 2 == 0, float(number), rng.random() < 0.9)
            short = found.missing(0.5, RULES) if number % 10 == 9 else None
            if short is not None and short.sure:
                held += 1
                break
    assert held <= 6  # 2 are expected at most; more than 6 with probability .005
