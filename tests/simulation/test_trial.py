"""Which scenarios a policy is put to, and what is counted as wrong."""

from __future__ import annotations

import pytest

from gateway.domain.policy import POLICIES, read_policy
from gateway.errors import InvalidValue
from gateway.simulation.rollout import Run
from gateway.simulation.scenario import BY_NAME
from gateway.simulation.summary import false_rollbacks, missed_regressions, summarize
from gateway.simulation.trial import USUAL, choose, concluded, trial, truth

FAST, STANDARD = POLICIES["fast"], POLICIES["standard"]


def run(name: str, outcome: str, hours: float = 1.0) -> Run:
    return Run(name, 0, outcome, "harm:judge", 3600.0 * hours, 10, 30, 40, ("srm",))


def test_what_differs_by_less_than_a_policy_tolerates_is_no_harm() -> None:
    names = ("A/A", "judge -.05", "judge -.10", "safety .5 to 3 %", "tokens +10 %, intended", "judge +.05")
    assert [truth(BY_NAME[name], STANDARD) for name in names] == [
        "same",
        "harmful",
        "harmful",
        "harmful",
        "tolerated",
        "better",
    ]
    assert truth(BY_NAME["judge -.05"], FAST) == "tolerated"


def test_scenarios_are_chosen_by_a_part_of_their_name() -> None:
    assert [scenario.name for scenario in choose((), STANDARD, 300.0)] == list(USUAL)
    found = choose(["judge -"], FAST, 300.0)
    assert len(found) == 6
    assert {scenario.per_hour for scenario in found} == {300.0}
    assert {scenario.hours for scenario in found} == {12.0}  # the maximum bake, and half as long again
    assert choose(["unscored"], STANDARD, 300.0)[0].hours == 5.0  # its own
    with pytest.raises(InvalidValue, match="no scenario has 'nothing' in its name; there is A/A; "):
        choose(["A/A", "nothing"], FAST, 300.0)


def test_wrong_are_rollbacks_of_the_harmless_and_harm_that_is_not_rolled_back() -> None:
    same, harmful = BY_NAME["A/A"], BY_NAME["judge -.10"]
    found = [
        summarize(same, [run("A/A", "rolled_back", 3.0), *[run("A/A", "promoted")] * 3]),
        summarize(harmful, [run("judge -.10", outcome) for outcome in ("rolled_back", "undecided")]),
    ]
    wrong, missed = false_rollbacks(found), missed_regressions(found)
    assert wrong is not None
    assert missed is not None
    assert (wrong.hits, wrong.runs, missed.hits, missed.runs) == (1, 4, 1, 2)
    assert (found[0].hours, found[0].canary_sessions) == ((1.0, 1.0), (10, 10))
    assert (found[0].because, found[0].held) == ({"harm:judge": 1}, {"srm": 4})
    assert missed_regressions(found[:1]) is None
    runs = [[run("A/A", "promoted")], [run("judge -.10", "promoted"), run("judge -.10", "undecided")]]
    both = concluded("standard", 1000.0, [same, harmful], runs)
    assert both.missed_regressions is not None
    assert (both.missed_regressions.hits, both.regressions_promoted) == (2, 1)
    tolerated = summarize(BY_NAME["judge -.02"], [run("judge -.02", "rolled_back")])
    assert false_rollbacks([tolerated]) is missed_regressions([tolerated]) is None


def test_a_shadow_stage_finds_a_worse_candidate_before_anybody_is_served_by_it() -> None:
    policy = read_policy(
        {
            "extends": "fast",
            "stages": ["shadow", 0.5],
            "min_bake": ["1h"],
            "max_bake": "7d",
            "min_units": 10,
            "tolerance": {"judge": 0.05},
            "gates": ["judge", "safety", "errors"],
        }
    )
    same, worse = (choose((part,), policy, 20.0)[0] for part in ("A/A", "judge -.10"))
    promoted = list(trial(same, policy, 3))
    assert {run.outcome for run in promoted} == {"promoted"}
    assert all(run.canary_sessions > 0 < run.judge_calls for run in promoted)
    found = list(trial(worse, policy, 3))
    assert {(run.outcome, run.rule) for run in found} == {("rolled_back", "shadow:judge")}
    assert {run.canary_sessions for run in found} == {0}
    assert found == list(trial(worse, policy, 3))  # the same seeds, the same runs
