"""The breaker as a table of states, by hand on a clock."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.breaker import PROBE_EVERY, TRANSITIONS, Breaker, Event, State, Window
from gateway.settings import Breaker as Rules

RULES = Rules(
    window=10, calls=10, failures=0.5, consecutive=5, pause=2, pause_most=8, probes=2, retry_after_most=60
)


def opened(now: float = 100.0) -> Breaker:
    breaker = Breaker(RULES)
    for _ in range(5):
        breaker.failed(now)
    assert breaker.state == "open"
    return breaker


def half_open(now: float = 102.0) -> Breaker:
    breaker = opened(now - 2)
    breaker.looked(True, now)
    assert breaker.state == "half_open"
    return breaker


def test_failures_in_a_row_open_at_once_and_a_success_between_them_counts() -> None:
    breaker = Breaker(RULES)
    for _ in range(4):
        breaker.failed(0.0)
    breaker.succeeded(0.0)
    for _ in range(4):
        breaker.failed(0.0)
    assert breaker.state == "closed"
    breaker.failed(0.0)
    assert breaker.state == "open"
    assert not opened(100.0).admits(100.0)


def test_a_share_of_failures_opens_once_there_are_enough_calls() -> None:
    breaker = Breaker(RULES)
    for _ in range(4):
        breaker.failed(0.0)
        breaker.succeeded(0.0)
    assert breaker.state == "closed"
    breaker.failed(0.0)
    assert (breaker.state, breaker.status(0.0).calls) == ("closed", 9)
    breaker.failed(0.0)
    assert breaker.state == "open"


def test_failures_of_long_ago_are_forgotten() -> None:
    breaker = Breaker(RULES)
    for _ in range(4):
        breaker.failed(0.0)
    breaker.succeeded(0.0)
    assert breaker.status(5.0).failures == 4
    assert breaker.status(11.0).failures == 0
    for _ in range(6):
        breaker.succeeded(11.0)
    breaker.failed(11.0)
    assert breaker.state == "closed"


def test_an_open_one_waits_looks_and_waits_twice_as_long() -> None:
    breaker = opened(100.0)
    assert not breaker.wants_look(101.9)
    assert breaker.wants_look(102.0)
    breaker.looked(False, 102.0)
    assert not breaker.wants_look(105.9)
    assert breaker.wants_look(106.0)
    for now in (106.0, 114.0, 122.0):  # at most 8 s
        breaker.looked(False, now)
    assert breaker.status(122.0).looks_in == 8.0
    assert (breaker.state, breaker.opened) == ("open", 1)


def test_a_half_open_one_lets_one_call_a_second_through_until_it_has_proved_itself() -> None:
    breaker = half_open(102.0)
    assert breaker.admits(102.0)
    breaker.admitted(102.0)
    assert not breaker.admits(102.5)
    breaker.succeeded(102.6)
    assert breaker.admits(102.0 + PROBE_EVERY)
    breaker.admitted(103.0)
    breaker.succeeded(103.1)
    assert breaker.state == "closed"
    assert breaker.admits(103.1)


def test_a_failed_probe_opens_again_for_twice_as_long() -> None:
    breaker = half_open(102.0)
    breaker.failed(102.0)
    assert (breaker.state, breaker.opened) == ("open", 2)
    assert not breaker.wants_look(105.9)
    assert breaker.wants_look(106.0)


def test_after_it_was_proved_the_pause_is_the_first_one_again() -> None:
    breaker = half_open(102.0)
    breaker.succeeded(102.0)
    breaker.succeeded(103.0)
    for _ in range(5):
        breaker.failed(104.0)
    assert breaker.status(104.0).looks_in == 2.0


@pytest.mark.parametrize("make", [lambda: Breaker(RULES), opened, half_open])
def test_retry_after_is_kept_from_every_state_up_to_a_limit(make: object) -> None:
    breaker: Breaker = make()  # type: ignore[operator]
    breaker.told_to_wait(30.0, 102.0)
    assert not breaker.admits(131.9)
    assert not breaker.wants_look(131.9)
    assert breaker.wants_look(132.0)
    breaker.told_to_wait(1e9, 132.0)
    assert breaker.wants_look(192.0)


def test_calls_that_began_before_it_opened_change_nothing() -> None:
    breaker = opened(100.0)
    breaker.succeeded(101.0)
    breaker.failed(101.0)
    assert breaker.wants_look(102.0)


@given(st.lists(st.tuples(st.sampled_from(["ok", "failed", "wait", "yes", "no"]), st.floats(0, 5))))
def test_it_only_moves_along_the_table_and_never_shuts_for_ever(steps: list[tuple[str, float]]) -> None:
    breaker, now = Breaker(RULES), 0.0
    moves = {(before, after) for (before, _), after in TRANSITIONS.items()}
    for what, passed in steps:
        now += passed
        before = breaker.state
        match what:
            case "ok":
                breaker.succeeded(now)
            case "failed":
                breaker.failed(now)
            case "wait":
                breaker.told_to_wait(passed, now)
            case _:
                breaker.looked(what == "yes", now)
        assert breaker.state == before or (before, breaker.state) in moves
    assert breaker.admits(now + 1.0) or breaker.wants_look(now + RULES.retry_after_most)


def test_the_table_names_states_and_events_only() -> None:
    assert {state for state, _ in TRANSITIONS} == set(get_args(State))
    assert {event for _, event in TRANSITIONS} == set(get_args(Event))


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60))
def test_the_window_counts_what_is_young_enough(calls: list[tuple[float, bool]]) -> None:
    window, now, seen = Window(10.0), 0.0, []
    for passed, failed in calls:
        now += passed
        window.add(now, failed=failed)
        seen.append((int(now / 1.0), failed))
        young = [bad for at, bad in seen if at > int(now) - 10]
        assert window.counts(now) == (len(young), sum(young))
