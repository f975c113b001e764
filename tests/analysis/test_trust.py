"""What a doubt about the judge forbids, and that it does not forbid a rollback."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gateway.analysis.trust import forbids_more, forbids_promotion
from gateway.domain.policy import POLICIES, Policy, read_policy
from tests.analysis.test_decide import HOUR, answered, filled, position
from tests.support.fold import STANDARD, Log, ended, evidence, pin, score, whole

ALONE = read_policy({"extends": "standard", "gates": ["judge"]})
BESIDE = POLICIES["standard"]
WITHOUT = read_policy({"extends": "standard", "gates": ["errors"]})


def test_an_uncalibrated_judge_is_not_enough_alone() -> None:
    assert "judge calibrate" in forbids_promotion(ALONE, "uncalibrated")
    assert forbids_promotion(BESIDE, "uncalibrated") == ""
    assert forbids_promotion(WITHOUT, "uncalibrated") == ""
    assert forbids_promotion(ALONE, "") == ""


@pytest.mark.parametrize("policy", [ALONE, BESIDE])
def test_a_judge_that_drifts_ends_no_stage(policy: Policy) -> None:
    assert "anchors" in forbids_more(policy, "drift")
    assert forbids_more(policy, "uncalibrated") == ""


def test_where_nothing_waits_for_the_judge_it_does_not_matter() -> None:
    assert forbids_more(WITHOUT, "drift") == ""


def test_a_promotion_on_scores_alone_waits_for_people() -> None:
    alone = read_policy({"extends": "standard", "gates": ["judge"]})
    state = filled(seconds=2.5 * HOUR, policy=alone)
    verdict = answered(state, position(1, doubt="uncalibrated"), 2.5 * HOUR, alone)
    assert (verdict.action, verdict.rule, verdict.hold) == ("hold", "judge_uncalibrated", "judge")
    assert answered(state, position(1), 2.5 * HOUR, alone).action == "promote"
    assert answered(state, position(doubt="uncalibrated"), HOUR, alone).action == "advance"


def test_a_drift_holds_every_stage_and_the_watch_but_no_rollback() -> None:
    state = filled(seconds=2.5 * HOUR)
    for where in (
        position(doubt="drift"),
        position(1, doubt="drift"),
        position(1, in_watch=True, doubt="drift"),
    ):
        verdict = answered(state, where, 9 * HOUR)
        assert (verdict.action, verdict.rule, verdict.hold) == ("hold", "judge_drift", "judge")
    worse = filled(scores=(0.8, 0.4))
    assert answered(worse, position(doubt="drift")).action == "roll_back"
    assert answered(filled(seconds=600.0), position(phase="paused", doubt="drift"), 600.0).action == "bake"
    assert STANDARD.gates


def test_only_sessions_that_come_to_the_policy_s_turn_are_missed_by_the_judge() -> None:
    later = read_policy({"extends": "standard", "judged_turn": 2})
    state = evidence(later)
    log = Log(state)
    first, second, silent = (pin(number, 1.0, judged=True) for number in (1, 2, 3))
    for unit in (first, second, silent):
        log.write(3.0, *whole(unit))
    for unit in (second, silent):
        log.write(20.0, replace(ended(unit, turn=1, at=10.0), first=False, judged=True))
    log.write(30.0, score(second, 0.9))
    log.write(400.0)
    assert state.state.completeness.sampled == [2, 0]
    assert state.state.completeness.scored == [1, 0]
