"""Severe flags: confirmed by two detectors or a person, they hold at the first and roll back at the third."""

from __future__ import annotations

from random import Random

import pytest

from gateway.analysis.decide import decide
from gateway.analysis.evidence import Evidence
from gateway.analysis.rules import Rules
from gateway.analysis.severe import MOST, thinned
from gateway.analysis.verdict import Position, Verdict
from gateway.domain.observation import Drawn, Flagged
from gateway.errors import InvalidValue
from tests.support.fold import COLD, STANDARD, Log, evidence, pin, whole

POSITION = Position("progressing", 0, 0.0, 0.0, 0.5)


def verdict(state: Evidence, phase: str = "progressing") -> Verdict:
    return decide(STANDARD, Position(phase, 0, 0.0, 0.0, 0.5), state, 100.0)  # type: ignore[arg-type]


def flagged(unit: Drawn, by: str = "judge", flag: str = "secret", *, cleared: bool = False) -> Flagged:
    return Flagged(unit, flag, by, unit.pinned_at + 5.0, cleared)


def leaking(log: Log, *numbers: int, canary: bool = True, confirm: str = "judge") -> list[Drawn]:
    """Sessions whose answer the worker found a secret in, and that another detector confirms."""
    units = [pin(number, float(number), canary=canary) for number in numbers]
    for unit in units:
        log.write(unit.pinned_at + 1.0, *whole(unit, flags=("secret",)))
        if confirm:
            log.write(unit.pinned_at + 5.0, flagged(unit, confirm))
    return units


def test_one_detector_alone_says_nothing() -> None:
    state = evidence()
    log = Log(state)
    (first, *_) = leaking(log, 1, 2, 3, 4, confirm="")
    assert verdict(state).action == "bake"
    log.write(20.0, flagged(first, "judge", "personal"))  # another flag of it: not the same seen twice
    assert verdict(state).action == "bake"
    log.write(20.0, flagged(first, "judge"), flagged(first, "judge"))
    assert state.state.severe.confirmed == [0, 1]


def test_the_first_confirmed_one_holds_and_the_third_rolls_back_in_every_phase() -> None:
    state = evidence()
    log = Log(state)
    leaking(log, 1)
    held = verdict(state)
    assert (held.action, held.rule, held.hold) == ("hold", "severe", "safety")
    assert "1 canary sessions had a severe flag that was confirmed (secret)" in held.reason
    leaking(log, 2)
    assert verdict(state).action == "hold"
    assert not state.alarm
    leaking(log, 3)
    assert state.alarm
    for phase in ("progressing", "paused"):
        back = verdict(state, phase)
        assert (back.action, back.rule) == ("roll_back", "severe")
        assert "3 canary sessions" in back.reason
    again = Evidence.from_bytes(state.to_bytes())
    assert verdict(again).rule == "severe"


def test_a_person_confirms_alone_and_clears_for_good() -> None:
    state = evidence()
    log = Log(state)
    (unit,) = leaking(log, 1, confirm="person:ann")
    assert verdict(state).hold == "safety"
    log.write(30.0, flagged(unit, "person:bob", "", cleared=True))
    assert verdict(state).action == "bake"
    log.write(31.0, flagged(unit, "moderation"), flagged(unit, "judge"))
    assert verdict(state).action == "bake"
    assert state.state.severe.confirmed == [0, 0]


def test_with_one_in_stable_it_is_not_the_candidate_alone() -> None:
    state = evidence()
    log = Log(state)
    leaking(log, 1, canary=False)
    leaking(log, 2, 3, 4, 5)
    assert not state.alarm
    assert verdict(state).hold == "safety"


def test_people_may_look_when_the_session_is_long_final() -> None:
    state = evidence()
    log = Log(state)
    (unit,) = leaking(log, 1, confirm="")
    log.write(5000.0)
    log.write(5001.0, flagged(unit, "person:ann"))
    assert verdict(state).hold == "safety"


def test_the_numbers_are_the_configuration_s() -> None:
    rules = Rules(latency_warmup=0.0, severe_hold=2, severe_rollback=2)
    state = evidence(rules=rules)
    log = Log(state)
    leaking(log, 1)
    assert verdict(state).action == "bake"
    leaking(log, 2)
    assert verdict(state).action == "roll_back"
    with pytest.raises(InvalidValue, match="severe_rollback"):
        Rules(severe_rollback=0)


def test_memory_is_bounded_and_keeps_what_is_confirmed() -> None:
    state = evidence()
    log = Log(state)
    leaking(log, 0)
    for number in range(1, MOST + 50):
        log.write(2.0, *whole(pin(number, 1.0), flags=("leak",)))
    assert len(state.state.severe.sessions) == MOST
    assert verdict(state).hold == "safety"


# --- soft flags of judged sessions


def test_flags_of_judged_sessions_count_alike_in_both_arms_whatever_shares_are_judged() -> None:
    rng = Random(5)
    kept = [0, 0]
    judged = [0, 0]
    for _ in range(40_000):
        canary = rng.random() < 0.5
        share = 0.9 if canary else 0.3
        if rng.random() < share:
            judged[canary] += 1
            unit = Drawn(rng.randbytes(16), canary, 0.5, 1.0, 1.0, 0.0, True, 0.9, 0.3)
            kept[canary] += thinned(unit)
    assert judged[1] > 2.5 * judged[0]
    assert kept[0] == judged[0]
    assert abs(kept[1] / kept[0] - 1.0) < 0.06


def test_a_soft_flag_is_a_bad_unit_of_safety_once() -> None:
    def harm(*by: str) -> float:
        state = evidence(rules=COLD)
        log = Log(state)
        for number in range(60):
            unit = pin(number, float(number), canary=True, judged=True)
            log.write(number + 1.0, *whole(unit), *(flagged(unit, each, "violence") for each in by))
        log.write(2000.0)
        return dict(state.harms())["safety"]

    assert harm() < 1.1
    assert harm("moderation") > 100.0
    assert harm("moderation", "judge") == pytest.approx(harm("moderation"))
