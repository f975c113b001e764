"""What single rules of the pin protocol say; that they hold together is `test_pins_model`."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.assignment import bucket, sampled
from gateway.domain.pins import (
    LOOK_UP,
    NO_NEW_AFTER,
    NOBODY_AFTER,
    PIN_MARGIN,
    VIEW_FRESH,
    Ask,
    Assignment,
    Kept,
    LookUp,
    Pin,
    PinRules,
    View,
    decide,
    decode_pin,
    encode_pin,
    refresh_ttl,
    resolve,
    settle,
    usable,
)
from gateway.domain.rollout import Rollout, Weight
from gateway.errors import InvalidValue

NOW = 1_000_000.0
RULES = PinRules()
WEIGHTS = (Weight(0.2, NOW - 50), Weight(0.1, NOW - 10), Weight(0.5, NOW + 1.0))
ROLLOUT = Rollout("r", "p", 2, 1, "salt", "progressing", WEIGHTS, NOW - 60, "me")
SESSIONS = [b"session-%08d" % number for number in range(400)]


def session_between(low: float, high: float) -> bytes:
    return next(s for s in SESSIONS if low <= bucket("salt", s) < high)


CANARY, LOWERED, ANNOUNCED, STABLE = (
    session_between(*bounds) for bounds in ((0, 0.1), (0.1, 0.2), (0.2, 0.5), (0.5, 1))
)


def view(staleness: float = 0.1, rollout: Rollout | None = ROLLOUT, now: float = NOW) -> View:
    return View(1, rollout, now, staleness)


def pin(arm: str = "canary", version: int = 2, at: float = NOW - 5) -> Pin:
    return Pin("canary" if arm == "canary" else "stable", version, 0.1, 1.0, 1.0, True, True, at)


def final(answer: Assignment | LookUp) -> Assignment:
    assert isinstance(answer, Assignment)
    return answer


def test_without_a_rollout_everyone_gets_what_is_live() -> None:
    answer = final(decide(view(rollout=None), Ask(CANARY, False), pin(), RULES))
    assert (answer.arm, answer.version, answer.reason, answer.rollout) == ("stable", 1, "live", "")
    assert (answer.pin, answer.evidence, answer.write) == (None, False, False)


@pytest.mark.parametrize("session", [CANARY, LOWERED, ANNOUNCED])
@pytest.mark.parametrize("turn", [False, True])
def test_below_the_highest_weight_so_far_a_session_is_looked_up(session: bytes, turn: bool) -> None:
    assert decide(view(), Ask(session, turn), None, RULES) is LOOK_UP


def test_above_it_a_look_up_is_spared_unless_the_view_is_old() -> None:
    answer = final(decide(view(), Ask(STABLE, False), None, RULES))
    assert (answer.arm, answer.version, answer.reason, answer.write) == ("stable", 1, "weight", True)
    assert decide(view(VIEW_FRESH + 0.01), Ask(STABLE, False), None, RULES) is LOOK_UP


def test_only_the_weight_in_force_draws() -> None:
    arms = [final(resolve(view(), Ask(s, False), "r", None, RULES)).arm for s in (CANARY, LOWERED, ANNOUNCED)]
    assert arms == ["canary", "stable", "stable"]


@pytest.mark.parametrize(("turn", "protect", "since", "arm", "reason", "evidence"), [
    (False, True, 60.0, "canary", "weight", True),
    (True, True, 60.0, "stable", "running", False),
    (True, False, 60.0, "canary", "weight", True),
    (True, True, 3601.0, "canary", "weight", True),
])  # fmt: skip
def test_a_conversation_that_began_before_the_rollout_stays_stable(
    turn: bool, protect: bool, since: float, arm: str, reason: str, evidence: bool
) -> None:
    rollout = msgspec.structs.replace(ROLLOUT, started_at=NOW - since)
    rules = PinRules(protect_running=protect)
    answer = final(resolve(view(rollout=rollout), Ask(CANARY, turn), "r", None, rules))
    assert (answer.arm, answer.reason, answer.evidence, answer.write) == (arm, reason, evidence, True)


def test_a_pin_wins_over_any_weight_and_a_void_one_over_none() -> None:
    assert final(decide(view(), Ask(STABLE, True), pin(), RULES)).arm == "canary"
    void = pin(version=3)
    assert decide(view(), Ask(CANARY, False), void, RULES) is LOOK_UP
    answer = final(resolve(view(), Ask(CANARY, False), "r", void, RULES))
    assert (answer.arm, answer.reason, answer.evidence, answer.write) == ("canary", "unpinned", False, False)


def test_a_failed_look_up_is_served_by_the_hash_and_made_good_by_a_write_that_wins() -> None:
    answer = final(resolve(view(), Ask(CANARY, False), "r", "failed", RULES))
    assert (answer.arm, answer.reason, answer.evidence, answer.write) == ("canary", "unpinned", False, True)
    assert answer.pin is not None
    assert settle(answer, answer.pin).evidence
    assert not settle(answer, pin("stable", 1)).evidence
    assert not settle(answer, "failed").evidence


def test_a_failed_look_up_of_a_conversation_writes_nothing() -> None:
    """It may be older than the rollout: a canary pin would keep it there."""
    answer = final(resolve(view(), Ask(CANARY, True), "r", "failed", RULES))
    assert (answer.arm, answer.reason, answer.write) == ("canary", "unpinned", False)


@pytest.mark.parametrize(("staleness", "pinned", "arm", "reason"), [
    (NO_NEW_AFTER, None, "canary", "weight"),
    (NO_NEW_AFTER + 0.1, None, "stable", "stale"),
    (NO_NEW_AFTER + 0.1, "failed", "stable", "stale"),
    (NOBODY_AFTER, pin(), "canary", "pin"),
    (NOBODY_AFTER + 0.1, pin(), "stable", "stale"),
    (float("inf"), None, "stable", "stale"),
])  # fmt: skip
def test_staleness(staleness: float, pinned: Pin | None, arm: str, reason: str) -> None:
    answer = final(resolve(view(staleness), Ask(CANARY, False), "r", pinned, RULES))
    assert (answer.arm, answer.reason) == (arm, reason)


def test_a_rollback_during_a_look_up_counts() -> None:
    assert final(resolve(view(rollout=None), Ask(CANARY, False), "r", pin(), RULES)).reason == "live"
    after = msgspec.structs.replace(ROLLOUT, id="next")
    assert resolve(view(rollout=after), Ask(CANARY, False), "r", pin(), RULES) is LOOK_UP


@pytest.mark.parametrize(("draw", "arm"), [(0.05, "canary"), (0.15, "stable")])
def test_without_a_session_each_request_is_drawn_and_is_no_evidence(draw: float, arm: str) -> None:
    answer = final(decide(view(), Ask(None, False, draw), None, RULES))
    assert (answer.arm, answer.reason, answer.evidence, answer.write) == (arm, "request", False, False)
    assert final(decide(view(NO_NEW_AFTER + 1), Ask(None, False, 0.0), None, RULES)).reason == "stale"


def test_rates_decide_what_is_measured() -> None:
    rollout = msgspec.structs.replace(ROLLOUT, weights=(Weight(0.5, NOW - 50, q1=0.7, q0=0.3),))
    for session in SESSIONS:
        answer = final(resolve(view(rollout=rollout), Ask(session, False), "r", None, RULES))
        assert answer.pin is not None
        assert answer.evidence == (sampled("salt", session) < (0.7 if answer.arm == "canary" else 0.3))
        assert (answer.pin.weight, answer.pin.q1, answer.pin.q0) == (0.5, 0.7, 0.3)


def test_a_cached_pin_is_not_used_in_its_last_moments() -> None:
    kept = Kept(pin(), until=NOW)
    assert usable(kept, NOW - PIN_MARGIN - 0.1) and not usable(kept, NOW - PIN_MARGIN + 0.1)


def test_refreshes_are_rare_and_end_with_the_maximum_age() -> None:
    kept = Kept(pin(at=NOW), until=NOW + RULES.ttl)
    assert refresh_ttl(kept, NOW + 359, RULES) is None
    assert refresh_ttl(kept, NOW + 361, RULES) == RULES.ttl
    old = Kept(pin(at=NOW), until=NOW + RULES.max_age - 1800)
    assert refresh_ttl(old, NOW + RULES.max_age - 2000, RULES) == 2000
    assert refresh_ttl(Kept(old.pin, NOW + RULES.max_age), NOW + RULES.max_age - 2000, RULES) is None


@given(
    st.builds(
        Pin,
        arm=st.sampled_from(["stable", "canary"]),
        version=st.integers(1, 2**32 - 1),
        weight=st.floats(0, 1),
        q1=st.floats(0, 1),
        q0=st.floats(0, 1),
        measured=st.booleans(),
        evidence=st.booleans(),
        pinned_at=st.floats(0, 1e11),
    )
)
def test_a_pin_survives_its_bytes(original: Pin) -> None:
    assert decode_pin(encode_pin(original)) == original


@given(st.binary(max_size=80).filter(lambda value: len(value) != 38 or value[0] != 1))
def test_other_bytes_are_no_pin(value: bytes) -> None:
    with pytest.raises(InvalidValue, match="not a pin"):
        decode_pin(value)
