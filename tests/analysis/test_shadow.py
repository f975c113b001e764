"""A shadow stage: what pairs show, when they enter, and what is decided on them."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from gateway.analysis.decide import decide
from gateway.analysis.evidence import Evidence
from gateway.analysis.rules import Rules
from gateway.analysis.shadow import ShadowView
from gateway.analysis.verdict import Position, Verdict
from gateway.domain.observation import Outcome, Pair
from gateway.domain.policy import Policy, Shadow, read_policy
from tests.support.fold import Log, evidence, pin, whole

RULES = Rules(judge_limit=100.0)
SHADOWED = read_policy({"extends": "standard", "stages": ["shadow", 0.05, 0.5, 1]})
IN_SHADOW = Position("progressing", 0, 0.0, 0.0, 0.0, in_shadow=True)


def pair(
    number: int,
    at: float,
    difference: float | None = 0.0,
    *,
    cause: str = "",
    outcomes: tuple[Outcome, Outcome] = ("ok", "ok"),
    flagged: tuple[bool, bool] = (False, False),
) -> Pair:
    return Pair(pin(number, at, weight=0.0), at + 5.0, difference, cause, outcomes, flagged, "digest")


def folded(pairs: list[Pair], policy: Policy = SHADOWED, until: float | None = None) -> Evidence:
    state = evidence(policy, rules=RULES)
    log = Log(state)
    for each in pairs:
        log.write(each.judged_at, each)
    last = max((each.unit.pinned_at for each in pairs), default=0.0)
    log.write(last + 102.0 if until is None else until)
    return state


def many(count: int, mean: float, sd: float = 0.15, **how: object) -> list[Pair]:
    rng = Random(f"{mean} {sd}")
    return [
        pair(number, float(number), max(-1.0, min(1.0, rng.gauss(mean, sd))), **how)  # type: ignore[arg-type]
        for number in range(count)
    ]


def view(state: Evidence) -> ShadowView:
    assert state.state.shadow is not None
    return state.state.shadow.view()


def verdict(state: Evidence, policy: Policy = SHADOWED, now: float = 1000.0, **position: object) -> Verdict:
    return decide(policy, replace(IN_SHADOW, **position), state, now)


def test_without_such_a_stage_pairs_are_nothing() -> None:
    state = folded(many(50, 0.5), read_policy("standard"))
    assert state.state.shadow is None
    assert not state.alarm


def test_a_pair_enters_once_its_time_has_come_and_in_order_of_pin() -> None:
    late_first = [pair(2, 10.0, 0.2), pair(1, 5.0, -0.2)]
    state = folded(late_first, until=90.0)
    assert (view(state).pairs, view(state).waiting) == (0, 2)
    in_order = folded(list(reversed(late_first)), until=200.0)
    state = folded(late_first, until=200.0)
    assert view(state) == view(in_order)
    assert (view(state).pairs, view(state).complete, view(state).waiting) == (2, 2, 0)


def test_one_that_comes_too_late_is_missing_whatever_it_says() -> None:
    state = folded([pair(1, 5.0)], until=500.0)
    Log(state, "another").write(501.0, pair(2, 6.0, 1.0))
    assert (view(state).pairs, view(state).missing) == (2, {"late": 1})


def test_a_worse_candidate_is_rolled_back_in_every_phase() -> None:
    state = folded(many(150, 0.1))
    found = verdict(state)
    assert (found.action, found.rule) == ("roll_back", "shadow:judge")
    assert "judge is worse by 0.1" in found.reason
    assert "1.00%" in found.reason
    assert state.alarm
    assert verdict(state, phase="paused").action == "roll_back"
    assert verdict(state, in_shadow=False, weight=0.05).action == "roll_back"
    assert found.shadow is not None
    judge = found.shadow.metrics[0]
    assert judge.name == "judge"
    assert judge.harm_needs is not None
    assert judge.harm_e >= judge.harm_needs
    assert judge.low is not None
    assert judge.low > 0.0
    assert judge.crossed_at is not None


def test_an_equal_candidate_goes_on_once_every_gate_has_passed() -> None:
    few = verdict(folded(many(49, -0.01, 0.05)))
    assert (few.action, few.rule) == ("bake", "shadow:pairs")
    some = verdict(folded(many(60, -0.01, 0.05)))
    assert (some.action, some.rule) == ("bake", "shadow:gates")
    assert "safety, errors" in some.reason
    state = folded(many(240, -0.01, 0.05))
    found = verdict(state)
    assert (found.action, found.rule) == ("advance", "shadow")
    assert [gate for gate in SHADOWED.gates if state.passed(gate)] == ["judge", "safety", "errors"]


def test_what_pairs_have_shown_needs_no_showing_by_sessions() -> None:
    policy = replace(SHADOWED, gates=("judge", "safety", "errors"))
    state = folded(many(240, -0.01, 0.05), policy)
    last = Position("progressing", 1, 1.0, 1.0, 0.5)
    found = decide(policy, last, state, 10_000.0)
    assert found.rule == "judge"  # the gates have passed; a judge of sessions must be alive all the same
    assert all(state.passed(gate) for gate in policy.gates)


def test_failures_and_flags_of_the_candidate_alone_are_harm() -> None:
    fails = [pair(number, float(number), None, outcomes=("ok", "prompt")) for number in range(20)]
    state = folded(fails)
    assert verdict(state).rule == "shadow:errors"
    assert view(state).complete == 20  # nothing to be judged is not missing
    flags = [pair(number, float(number), 0.0, flagged=(False, True)) for number in range(20)]
    assert verdict(folded(flags)).rule == "shadow:safety"
    both = [pair(number, float(number), None, outcomes=("prompt", "prompt")) for number in range(20)]
    assert verdict(folded(both)).action == "bake"


@pytest.mark.parametrize("outcomes", [("ok", "provider"), ("ok", "ok")])
def test_pairs_that_are_missing_hold_and_are_neither_good_nor_bad(outcomes: tuple[Outcome, Outcome]) -> None:
    missing = [
        pair(number, float(number), None, cause="timeout", outcomes=outcomes) for number in range(100, 200)
    ]
    state = folded(many(100, 0.0, 0.05) + missing)
    found = verdict(state)
    assert (found.action, found.hold, found.rule) == ("hold", "completeness", "shadow:completeness")
    assert "timeout 100" in found.reason
    judge = next(metric for metric in view(state).metrics if metric.name == "judge")
    assert judge.pairs == 100


def test_a_few_that_are_missing_by_chance_wait_and_do_not_hold() -> None:
    missing = [pair(number, float(number), None, cause="timeout") for number in range(100, 108)]
    found = verdict(folded(many(60, 0.0, 0.05) + missing))
    assert (found.action, found.rule, found.hold) == ("bake", "shadow:completeness", None)
    assert "too few to tell" in found.reason


def test_past_its_time_it_holds_and_never_goes_on() -> None:
    state = folded(many(10, 0.0))
    limit = SHADOWED.shadow
    assert limit is not None
    assert verdict(state, now=limit.max_bake - 1.0).action == "bake"
    found = verdict(state, now=limit.max_bake)
    assert (found.action, found.hold) == ("hold", "evidence")
    assert verdict(state, now=limit.max_bake, idle=10.0).action == "bake"


def test_metrics_are_those_that_the_policy_tolerates_something_of() -> None:
    policy = replace(
        read_policy("standard"),
        tolerance={"errors": 0.3, "tokens": 0.2},
        gates=("errors",),
        shadow=Shadow(min_pairs=5),
    )
    state = folded([pair(number, float(number), None, cause="late") for number in range(30)], policy)
    assert [metric.name for metric in view(state).metrics] == ["errors"]
    assert verdict(state, policy).action == "advance"  # without a judge's gate nobody asks for a score


def test_a_checkpoint_goes_on_exactly_from_there() -> None:
    pairs = many(120, 0.03)
    whole = folded(pairs)
    state = evidence(SHADOWED, rules=RULES)
    log = Log(state)
    for each in pairs[:70]:
        log.write(each.judged_at, each)
    restored = Evidence.from_bytes(state.to_bytes())
    log = Log(restored)
    log.sequence = 70
    for each in pairs[70:]:
        log.write(each.judged_at, each)
    log.write(119.0 + 102.0)
    assert view(restored) == view(whole)


def found_within(pairs: int, sd: float, run: int) -> bool:
    """Through the whole fold and decide."""
    rng = Random(f"fold {sd} {run}")
    policy = replace(SHADOWED, tolerance={"judge": 0.05}, gates=("judge",))
    state = evidence(policy, rules=RULES)
    log = Log(state)
    for number in range(pairs):
        difference = max(-1.0, min(1.0, rng.gauss(0.1, sd)))
        log.write(float(number), pair(number, float(number), difference))
    log.write(pairs + 102.0)
    return verdict(state, policy).action == "roll_back"


@pytest.mark.parametrize("sd", [0.15, 0.2])
def test_a_candidate_worse_by_a_tenth_is_rolled_back_within_130_pairs_in_nine_of_ten_runs(sd: float) -> None:
    assert SHADOWED.shadow is not None
    assert SHADOWED.shadow.alpha["judge"] == 0.01
    assert sum(found_within(129, sd, run) for run in range(200)) / 200 >= 0.9


def test_an_uncalibrated_judge_of_pairs_is_not_the_only_ground_for_a_promotion() -> None:
    last = Position("progressing", 1, 1.0, 1.0, 0.5, doubt="uncalibrated")
    alone = replace(SHADOWED, gates=("judge",), min_bake=(0.0, 0.0))
    state = folded(many(240, -0.01, 0.05), alone)
    state.state.completeness.add(True, 1.0, True)
    state.state.completeness.add(False, 1.0, True)
    found = decide(alone, last, state, 10_000.0)
    assert (found.action, found.rule) == ("hold", "judge_uncalibrated")
    assert decide(alone, replace(last, doubt=""), state, 10_000.0).action == "promote"
    more = replace(alone, gates=("judge", "errors"))
    state = folded(many(240, -0.01, 0.05), more)
    state.state.completeness.add(True, 1.0, True)
    state.state.completeness.add(False, 1.0, True)
    assert decide(more, last, state, 10_000.0).action == "promote"


def test_what_the_first_stage_waits_for_begins_with_its_first_session() -> None:
    rules = Rules(judge_limit=100.0, latency_warmup=50.0)
    state = evidence(SHADOWED, rules=rules)
    log = Log(state)
    log.write(1.0, *whole(pin(1, 0.5, weight=0.0)))
    for number in range(2, 42):  # the provider fails while nobody is served by the candidate
        unit = pin(number, 200.0, weight=0.0)
        log.write(201.0 + number / 10.0, *whole(unit, outcome="provider"))
    log.write(210.0)
    assert state.state.incident.active
    assert sum(state.state.stopped) == 0.0
    log.write(1000.0, *whole(pin(50, 999.0, weight=0.05)))
    assert (state.state.exposed_at, state.state.in_shadow) == (999.0, False)
    assert state.state.warm(1040.0)
    assert not state.state.warm(1060.0)
