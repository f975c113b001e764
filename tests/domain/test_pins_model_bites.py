"""The model refutes protocols that look right: otherwise it would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from gateway.domain import pins
from gateway.domain.assignment import bucket
from gateway.domain.pins import LOOK_UP, Ask, Assignment, Kept, LookUp, Pin, PinRules, View
from tests.domain import pins_model, pins_world

Spare = Callable[[View, Ask], bool]


def without_look_up(spare: Spare) -> Callable[..., Assignment | LookUp]:
    """`decide`, but where `spare` says so the session is taken for new."""

    def decide(view: View, ask: Ask, cached: Pin | None, rules: PinRules) -> Assignment | LookUp:
        answer = pins.decide(view, ask, cached, rules)
        if answer is LOOK_UP and spare(view, ask):
            return pins.resolve(view, ask, view.rollout.id if view.rollout else "", None, rules)
        return answer

    return decide


def below_the_lowest_weight(view: View, ask: Ask) -> bool:
    assert view.rollout is not None and ask.session is not None
    lowest = min(weight.value for weight in view.rollout.weights)
    return not ask.assistant_turn and bucket(view.rollout.salt, ask.session) < lowest


def above_the_weight_in_force(view: View, ask: Ask) -> bool:
    assert view.rollout is not None and ask.session is not None
    return bucket(view.rollout.salt, ask.session) >= view.rollout.weight_at(view.now).value


def never_settled(assignment: Assignment, winner: object) -> Assignment:
    return Assignment(
        assignment.arm,
        assignment.version,
        assignment.reason,
        assignment.rollout,
        assignment.evidence,
        assignment.pin,
    )


def settled_without_the_store(assignment: Assignment, winner: Pin | Literal["failed"]) -> Assignment:
    return never_settled(assignment, winner) if winner == "failed" else pins.settle(assignment, winner)


def trusted_for_a_whole_life(before: Kept | None, pin: Pin, asked_at: float, rules: PinRules) -> Kept:
    return Kept(pin, asked_at + rules.ttl)


@pytest.mark.parametrize(("where", "name", "wrong"), [
    (pins_world, "decide", without_look_up(lambda view, ask: True)),
    (pins_world, "decide", without_look_up(below_the_lowest_weight)),
    (pins_world, "decide", without_look_up(above_the_weight_in_force)),
    (pins_world, "settle", never_settled),
    (pins_world, "settle", settled_without_the_store),
    (pins_world, "learn", trusted_for_a_whole_life),
    (pins_world, "RULES", PinRules(protect_running=False)),
    (pins_model, "RAISE_LEAD", 0.0),
    (pins, "VIEW_FRESH", float("inf")),
], ids=[
    "no look-ups", "none below the lowest weight", "none above the weight in force", "no settling",
    "settled without an answer", "a found pin lives for an hour", "running conversations are drawn",
    "raises act at once", "old views are trusted",
])  # fmt: skip
def test_a_wrong_protocol_is_refuted(
    where: object, name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            pins_model.PinsModel,
            settings=settings(
                max_examples=30_000,  # the first that refutes ends it
                stateful_step_count=50,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                report_multiple_bugs=False,
                print_blob=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
