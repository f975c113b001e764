"""Decision quality by simulation: a few runs of what `python -m benchmarks.decisions` does with thousands.

Seeds are fixed. What is allowed lets a right implementation pass with any seeds in all but a few of a hundred
cases; the figures of thousands of runs are in benchmarks/results.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.decisions.observe import observe
from gateway.simulation.rollout import Run, simulate
from gateway.simulation.scenario import AA, BY_NAME, Behaviour, Scenario, canary


def runs(scenario: Scenario, count: int, first: int = 0) -> list[Run]:
    return [simulate(scenario, seed) for seed in range(first, first + count)]


def rolled_back(found: list[Run]) -> int:
    return sum(run.outcome == "rolled_back" for run in found)


def promoted(found: list[Run]) -> int:
    return sum(run.outcome == "promoted" for run in found)


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[int(part * (len(values) - 1))]


@pytest.mark.parametrize("part", range(4))
def test_an_equal_candidate_is_promoted_and_seldom_rolled_back(part: int) -> None:
    """At most 5 %: of ten runs two at the most with probability .99."""
    found = runs(AA, 10, 10 * part)
    assert rolled_back(found) <= 2
    assert promoted(found) >= 8


@pytest.mark.parametrize(
    ("policy", "per_hour", "count", "median", "eighty"),
    [("standard", 1000.0, 15, 2.0, 2.6), ("fast", 1000.0, 15, 1.0, 1.3), ("fast", 300.0, 12, 2.1, 2.9)],
)
def test_it_is_promoted_in_the_hours_that_were_planned(
    policy: str, per_hour: float, count: int, median: float, eighty: float
) -> None:
    """Reference hours with a judge on every session, and a fifth more; chance adds some in so few runs."""
    found = runs(replace(AA, policy=policy, per_hour=per_hour, judge_all=True), count)
    hours = [run.seconds / 3600.0 for run in found if run.outcome == "promoted"]
    assert len(hours) >= count - 1
    assert quantile(hours, 0.5) <= 1.2 * median
    assert quantile(hours, 0.8) <= 1.2 * eighty + 0.25


@pytest.mark.parametrize(
    "name",
    [
        "A/A outage",
        "A/A daily rhythm",
        "A/A heavy sessions, ICC .5",
        "A/A heavy sessions, ICC .8",
        "A/A cold cache",
        "A/A five-level scale",
        "A/A scores late in the canary",
        "tokens +10 %, intended",
    ],
)
def test_what_moves_both_arms_or_is_allowed_rolls_nothing_back(name: str) -> None:
    found = runs(BY_NAME[name], 6)
    assert rolled_back(found) <= 1
    if name == "A/A outage":
        assert all("incident" in run.holds for run in found)


@pytest.mark.parametrize(
    "kind",
    [
        "turns 5 s slower",
        "turns 15 s slower",
        "twice as long",
        "errors at turn 1 and 3",
        "errors at turn 3 and 1",
    ],
)
def test_arms_that_differ_in_time_alone_bring_no_false_alarm(kind: str) -> None:
    assert rolled_back(runs(BY_NAME[f"A/A {kind}, 2/s"], 4)) <= 1


@pytest.mark.parametrize("part", range(2))
def test_a_drop_of_ten_points_is_rolled_back_before_promotion(part: int) -> None:
    """Reference: 141 canary sessions in the median, 257 at 90 %."""
    found = runs(BY_NAME["judge -.10"], 20, 20 * part)
    assert rolled_back(found) >= 19
    assert {run.rule for run in found} == {"harm:judge"}
    served = [float(run.canary_sessions) for run in found]
    assert quantile(served, 0.5) < 1.5 * 141
    assert quantile(served, 0.9) < 1.5 * 257


@pytest.mark.parametrize(
    ("name", "rule", "median"),
    [
        ("judge -.20", "harm:judge", 52),
        ("safety .5 to 3 %", "harm:safety", 407),
        ("errors .5 to 5 %", "harm:errors", 227),
        ("tokens +30 %", "harm:tokens", 430),
    ],
)
def test_harm_is_found_by_its_own_family(name: str, rule: str, median: int) -> None:
    """Medians of the reference simulation; 227 for the errors here, because a canary that advances to half of
    the traffic has fewer stable sessions beside each of its own."""
    found = runs(BY_NAME[name], 8)
    assert rolled_back(found) == 8
    assert sum(run.rule == rule for run in found) >= 6
    assert quantile([float(run.canary_sessions) for run in found], 0.5) < 2.0 * median


@pytest.mark.parametrize(
    "name",
    ["judge -.05", "errors at their tolerance", "safety at its tolerance", "cost at its tolerance"],
)
def test_a_candidate_at_its_tolerance_is_seldom_promoted(name: str) -> None:
    assert promoted(runs(replace(BY_NAME[name], hours=8.0), 8)) <= 2


def test_scores_that_are_missing_in_one_arm_hold() -> None:
    found = runs(replace(BY_NAME["A/A 30 % unscored in the canary"], hours=3.0), 3)
    assert [run.outcome for run in found] == ["undecided"] * 3
    assert all("completeness" in run.holds for run in found)


def test_shares_that_are_wrong_hold() -> None:
    wrong = replace(BY_NAME["A/A SRM .10 to .13"], misassigned=1.6, hours=3.0)
    found = runs(wrong, 3)
    assert not promoted(found)
    assert all("srm" in run.holds for run in found)


def test_the_watch_finds_what_the_stages_could_not_see() -> None:
    """The effect begins after the promotion: ten per cent of holdback are a control."""
    late = replace(canary("late", score=0.6), effect_after=3.5 * 3600.0, hours=12.0)
    found = [simulate(late, seed, through_watch=True) for seed in range(3)]
    assert [run.outcome for run in found] == ["rolled_back"] * 3
    assert all(run.seconds > 3.5 * 3600.0 for run in found)
    fine = [simulate(AA, seed, through_watch=True) for seed in range(2)]
    assert [run.outcome for run in fine] == ["promoted"] * 2
    assert all(run.rule == "watch" for run in fine)


def test_a_simulation_is_its_seed() -> None:
    scenario = replace(AA, hours=0.5)
    assert simulate(scenario, 3) == simulate(scenario, 3)
    assert simulate(scenario, 3) != simulate(scenario, 4)


def test_other_rules_do_what_they_are_known_for() -> None:
    """Peeking finds harm where there is none; Mann-Whitney does not see a five-level scale."""
    harmless = [{each.rule: each.tripped for each in observe(AA, seed)} for seed in range(10)]
    peeked = sum(run["t-test, peeked"] for run in harmless)
    again = sum(run["fixed rule, checked all the time"] for run in harmless)
    assert peeked >= 3
    assert again >= 3
    assert sum(run["YEAST, 500 pairs"] for run in harmless) <= 2
    levels = observe(BY_NAME["judge -.10, five-level scale"], 0)
    found = {each.rule: each.tripped for each in levels}
    assert not found["Kayenta, Mann-Whitney"]
    assert found["t-test, peeked"]


def test_every_scenario_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) > 40
    assert Behaviour() == AA.stable == AA.canary
