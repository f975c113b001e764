"""Every verdict, from evidence made for it."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from gateway.analysis.decide import decide
from gateway.analysis.evidence import Evidence
from gateway.analysis.verdict import Position, Verdict
from gateway.domain.policy import Policy
from gateway.domain.rollout import Phase
from tests.support.fold import COLD, STANDARD, Log, evidence, pin, score, whole

HOUR = 3600.0


def filled(
    *,
    policy: Policy = STANDARD,
    seconds: float = HOUR,
    gap: float = 5.0,
    errors: tuple[float, float] = (0.0, 0.0),
    scores: tuple[float, float] = (0.8, 0.8),
    unscored: tuple[float, float] = (0.0, 0.0),
    share: float = 0.5,
    failing: float = 0.0,
    judged: bool = True,
) -> Evidence:
    """Sessions every `gap` s at weight .5, all judged unless not. Pairs are (stable, canary)."""
    rng = Random(7)
    state = evidence(policy)
    log = Log(state)
    at, number = 0.0, 0
    while at < seconds:
        at, number = at + gap, number + 1
        canary = rng.random() < share
        unit = pin(number, at, canary=canary, judged=judged)
        fails = at > seconds - 60.0 and rng.random() < failing
        outcome = "provider" if fails else "prompt" if rng.random() < errors[canary] else "ok"
        value = min(max(rng.gauss(scores[canary], 0.1), 0.0), 1.0)
        missing = rng.random() < unscored[canary]
        judgment = () if not judged or outcome != "ok" else (score(unit, None if missing else value),)
        log.write(at + 1.0, *whole(unit, total=8.0 * rng.random(), outcome=outcome), *judgment)
    return state


def position(stage: int = 0, *, since: float = 0.0, phase: Phase = "progressing", **more: object) -> Position:
    return Position(phase, stage, since, 0.0, 0.5, **more)  # type: ignore[arg-type]


def answered(state: Evidence, where: Position, now: float = HOUR, policy: Policy = STANDARD) -> Verdict:
    verdict = decide(policy, where, state, now)
    assert verdict.reason
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict
    return verdict


def test_a_stage_bakes_until_its_time_and_sessions_are_in() -> None:
    state = filled(seconds=300.0)
    verdict = answered(state, position(), 300.0)
    assert (verdict.action, verdict.rule, verdict.reason) == ("bake", "bake", "baking: 5 min of 15 min")
    few = answered(state, position(), 2000.0)
    assert (few.action, few.rule) == ("bake", "units")
    assert few.canary_units < STANDARD.min_units == few.units_need


def test_a_stage_that_shows_nothing_bad_advances_and_the_last_one_promotes() -> None:
    state = filled(seconds=2.5 * HOUR)
    assert answered(state, position()).action == "advance"
    verdict = answered(state, position(1), 2.5 * HOUR)
    assert (verdict.action, verdict.rule) == ("promote", "gates")
    passed = {metric.name: metric.gate_passed_at for metric in verdict.metrics if metric.gate_e is not None}
    assert set(passed) == set(STANDARD.gates)
    assert all(at is not None for at in passed.values())


def test_gates_that_have_not_passed_are_named() -> None:
    verdict = answered(filled(), position(1))
    assert (verdict.action, verdict.rule) == ("bake", "gates")
    assert verdict.reason == "not shown yet: no worse than tolerated in latency_p50"


@pytest.mark.parametrize("phase", ["progressing", "paused"])
@pytest.mark.parametrize("in_watch", [False, True])
def test_harm_rolls_back_in_every_phase(phase: Phase, in_watch: bool) -> None:
    state = filled(errors=(0.0, 0.2))
    assert state.alarm
    where = position(1, phase=phase, in_watch=in_watch)
    verdict = answered(state, where)
    assert (verdict.action, verdict.rule) == ("roll_back", "harm:errors")
    family = next(family for family in verdict.families if family.name == "errors")
    assert family.e >= family.needs == pytest.approx(100.0)
    assert family.crossed_at is not None
    assert "E = 100" in verdict.reason


def test_what_was_found_once_counts_for_ever() -> None:
    state = filled(errors=(0.0, 0.2))
    state.state.comparisons["errors"].harm.wealth.sums = [-50.0] * 8
    assert answered(state, position()).action == "roll_back"


def test_a_canary_that_fails_at_once_is_stopped_by_count() -> None:
    state = evidence()
    log = Log(state)
    for number in range(60):
        unit = pin(number, number / 10.0, canary=number % 2 == 0)
        log.write(number / 10.0, *whole(unit, outcome="provider" if unit.canary else "ok"))
        if state.alarm:
            break
    verdict = answered(state, position(), 10.0)
    assert (verdict.action, verdict.rule) == ("roll_back", "hard_stop")
    assert "first 20 requests all failed, 0 of stable's 20 did" in verdict.reason


def test_a_pause_waits() -> None:
    verdict = answered(filled(), position(phase="paused"))
    assert (verdict.action, verdict.rule) == ("bake", "paused")


def test_a_rollout_that_has_ended_is_left_alone() -> None:
    assert answered(filled(), position(phase="aborted")).rule == "ended"


def test_an_incident_holds_and_stops_the_bake_clock() -> None:
    state = filled(seconds=1800.0, failing=0.8, gap=1.0)
    verdict = answered(state, position(), 1800.0)
    assert (verdict.action, verdict.hold) == ("hold", "incident")
    assert verdict.incident
    log = Log(state, "later")
    log.write(1830.0)
    log.write(1802.0 + 600.0)  # the log stood still meanwhile; the window has passed
    after = answered(state, position(), 2402.0)
    assert after.hold is None
    assert after.bake < 2402.0 - 25.0


def test_an_outage_is_no_evidence_once_it_is_over() -> None:
    """Sessions that met only a failing provider neither fill a stage nor pass a gate."""
    without = msgspec.structs.replace(STANDARD, gates=("errors", "safety"))
    state = evidence(without)
    log = Log(state)
    for number in range(1200):
        unit = pin(number, 3.0 * number, canary=number % 2 == 0)
        log.write(3.0 * number + 1.0, *whole(unit, outcome="provider"))
    assert answered(state, position(1), HOUR, without).hold == "incident"
    for second in range(3600, 3600 + 1800, 5):
        log.write(float(second))
    assert not state.state.incident.active
    first, last = [answered(state, position(stage), 3 * HOUR, without) for stage in (0, 1)]
    assert (first.action, first.rule, first.canary_units) == ("bake", "units", 0)
    assert (last.action, last.rule) == ("bake", "gates")


def test_shares_that_are_wrong_hold() -> None:
    verdict = answered(filled(share=0.7, gap=2.0), position())
    assert (verdict.action, verdict.hold, verdict.rule) == ("hold", "srm", "srm:assigned")


def test_scores_that_are_missing_in_one_arm_hold() -> None:
    state = filled(unscored=(0.0, 0.09), seconds=3 * HOUR)
    verdict = answered(state, position(), 3 * HOUR)
    assert (verdict.action, verdict.hold) == ("hold", "completeness")
    assert "may differ by 2.5%" in verdict.reason
    low = answered(filled(unscored=(0.0, 0.3)), position())
    assert (low.action, low.hold) == ("hold", "completeness")
    assert "needed are 90%" in low.reason
    assert verdict.sampled[1] > verdict.scored[1]


def test_scores_that_may_be_missing_by_chance_are_waited_for_without_a_hold() -> None:
    state = filled(unscored=(0.0, 0.08))
    verdict = answered(state, position())
    assert (verdict.action, verdict.rule, verdict.hold) == ("bake", "completeness", None)
    assert verdict.reason.endswith("the arms may differ by 2.5%; these are too few to tell")
    Log(state, "later").write(37 * HOUR)
    held = answered(state, position(), 37 * HOUR)
    assert (held.action, held.hold) == ("hold", "evidence")


def test_a_judge_that_never_answers_holds_the_last_stage() -> None:
    state = filled(judged=False)
    assert answered(state, position()).action == "advance"
    assert answered(state, position(1)).hold == "judge"
    without = msgspec.structs.replace(STANDARD, gates=tuple(g for g in STANDARD.gates if g != "judge"))
    assert answered(filled(judged=False, policy=without), position(1), policy=without).hold is None


def test_some_harm_stops_an_advance_without_a_rollback() -> None:
    state = filled(scores=(0.8, 0.765), seconds=2000.0)
    assert not state.alarm
    verdict = answered(state, position(), 2000.0)
    assert (verdict.action, verdict.rule) == ("bake", "harm_e")
    assert "judge" in verdict.reason


def test_time_raises_the_weight_then_extends_then_holds_and_never_promotes() -> None:
    state = filled(seconds=HOUR, gap=60.0, share=0.4)
    where = msgspec.structs.replace(position(), weight=0.05)
    early = answered(state, where, HOUR)
    assert early.action == "bake"
    Log(state, "later").write(14 * HOUR)
    raised = answered(state, where, 14 * HOUR)
    assert raised.action == "raise_weight"
    assert raised.weight is not None
    assert 0.05 < raised.weight <= 0.5
    tired = msgspec.structs.replace(where, raises=3)
    assert answered(state, tired, 23 * HOUR).action == "bake"
    assert "extended" in answered(state, tired, 25 * HOUR).reason
    held = answered(state, tired, 37 * HOUR)
    assert (held.action, held.hold) == ("hold", "evidence")


def test_the_watch_ends_by_itself() -> None:
    state = filled()
    watching = position(1, since=HOUR, in_watch=True)
    assert answered(state, watching, 2 * HOUR).action == "bake"
    verdict = answered(state, watching, 5.1 * HOUR)
    assert (verdict.action, verdict.rule) == ("advance", "watch")


def test_a_verdict_shows_every_metric_with_its_numbers() -> None:
    verdict = answered(filled(scores=(0.8, 0.7)), position())
    judge = next(metric for metric in verdict.metrics if metric.name == "judge")
    stable, canary = judge.means
    assert stable is not None
    assert canary is not None
    assert judge.difference is not None
    assert judge.low is not None
    assert judge.high is not None
    assert canary - stable == pytest.approx(0.1, abs=0.03)
    assert judge.low < judge.difference < judge.high
    assert judge.difference == pytest.approx(canary - stable, abs=0.03)
    assert (judge.tolerance, judge.margin, judge.gate_needs) == (0.05, 0.0, 20.0)
    p50 = next(metric for metric in verdict.metrics if metric.name == "latency_p50")
    assert (p50.threshold, p50.margin) == (4.0, 0.05)
    assert len(verdict.metrics) == 13
    assert {stream.name for stream in verdict.streams} == {"assigned", "completed", "scored"}
    assert verdict.method == 1


def test_an_empty_rollout_bakes() -> None:
    verdict = answered(evidence(rules=COLD, thresholds=None), position(), 0.0)
    assert (verdict.action, verdict.rule) == ("bake", "bake")
    assert {metric.name for metric in verdict.metrics} == {"judge", "safety", "errors"}
