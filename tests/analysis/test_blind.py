"""Gates that no session brings anything for."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.analysis.blind import ENOUGH, without_data
from gateway.analysis.evidence import Evidence
from gateway.domain.observation import Evidence as Record
from gateway.domain.policy import Policy
from tests.support.fold import KNOWN, STANDARD, Log, ended, evidence, pin, score


def folded(*, judged: bool, priced: tuple[bool, bool], known: bool, sessions: int = 3 * ENOUGH) -> Evidence:
    """Final sessions of both arms; `priced`: stable, canary."""
    state = evidence(thresholds=KNOWN if known else None)
    log = Log(state)
    for number in range(sessions):
        unit = pin(number, float(number), canary=number % 2 == 1, judged=judged)
        first = ended(unit)
        records: list[Record] = [first if priced[unit.canary] else replace(first, cost=None)]
        log.write(number + 5.0, *records, *([score(unit, 0.8)] if judged else []))
    log.write(sessions + 1000.0)
    return state


def warned(state: Evidence, policy: Policy = STANDARD) -> list[str]:
    return [each.split(":")[0] for each in without_data(policy, state.state)]


def test_a_gate_with_data_is_not_warned_of() -> None:
    for known in (False, True):
        assert warned(folded(judged=True, priced=(True, True), known=known)) == []


def test_without_a_judge_and_without_prices_both_are_named_with_what_to_do() -> None:
    state = folded(judged=False, priced=(False, False), known=False)
    judge, cost = without_data(STANDARD, state.state)
    assert judge.startswith("judge: none of the canary's 45 sessions was judged; configure `judge`")
    assert cost.startswith(
        "cost: none of stable's 45 sessions has a known price; name the model's under `prices`"
    )
    assert warned(state, replace(STANDARD, gates=("errors",))) == []


def test_a_candidate_on_a_model_without_a_price_is_named() -> None:
    (cost,) = without_data(STANDARD, folded(judged=True, priced=(True, False), known=True).state)
    assert cost.startswith("cost: none of the canary's 45 sessions")


def test_it_waits_until_there_are_enough_sessions() -> None:
    assert warned(folded(judged=False, priced=(False, False), known=True, sessions=2 * ENOUGH - 2)) == []
