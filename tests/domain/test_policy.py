"""Policies: the named ones, what may be changed, and what is refused."""

from __future__ import annotations

import doctest

import msgspec
import pytest
import yaml

from gateway.domain import policy
from gateway.domain.policy import ALPHA_BUDGET, POLICIES, Policy, Shadow, Stage, read_policy
from gateway.errors import InvalidValue


def test_the_examples_print_what_they_say() -> None:
    assert doctest.testmod(policy).failed == 0


@pytest.mark.parametrize("name", POLICIES)
def test_a_named_policy_spends_the_whole_budget_and_survives_storage(name: str) -> None:
    found = read_policy(name)
    assert sum(found.alpha_rollback.values()) == pytest.approx(ALPHA_BUDGET)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Policy) == found


def test_fields_change_where_they_are_changed() -> None:
    text = """
    extends: standard
    stages: [{canary_per_hour: 60, min: .02, max: .4}, 50%]
    min_bake: [20m, 1h]
    max_bake: 2d
    tolerance: {tokens: 25%}
    """
    found = read_policy(yaml.safe_load(text))
    assert [stage.weight(600.0) for stage in found.stages] == [0.1, 0.5]
    assert (found.min_bake, found.max_bake) == ((1200.0, 3600.0), 172_800.0)
    assert found.tolerance == {**POLICIES["standard"].tolerance, "tokens": 0.25}


@pytest.mark.parametrize(("rate", "weight"), [(0.0, 0.5), (100.0, 0.5), (1000.0, 0.1), (1e6, 0.05)])
def test_a_stage_is_sized_by_traffic_within_its_bounds(rate: float, weight: float) -> None:
    assert Stage(100.0, 0.05, 0.5).weight(rate) == weight


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"extends": "reckless"}, "careful, standard, fast"),
        ({"stagez": [0.5]}, "stagez"),
        ({"min_units": "many"}, "min_units"),
        ({"alpha_rollback": {"safety": 0.02}}, "at most 0.05"),
        ({"alpha_rollback": {"style": 0.001}}, "'style' is unknown"),
        ({"tolerance": {"p99": 0.1}}, "'p99' is unknown"),
        ({"tolerance": {"judge": 0.0}}, "between 0 and 1"),
        ({"tolerance": {"judge": "much"}}, "no share"),
        ({"gates": ["latency_p99"]}, "'latency_p99' is unknown"),
        ({"stages": [0.5, 0.1]}, "above the one before"),
        ({"stages": [0.1]}, "a min_bake for each"),
        ({"stages": [1.5]}, "0 < min <= max <= 1"),
        ({"max_bake": "30m"}, "above all min_bake"),
        ({"max_bake": "soon"}, "no duration"),
        ({"max_bake": True}, "no duration"),
        ({"harm_margin": {"latency": 1.0}}, "below 1"),
        ({"holdback": {"share": 1.0}}, "share between 0 and 1"),
        ({"min_units": 0}, "above 0"),
    ],
)
def test_a_policy_that_cannot_hold_is_refused_and_says_why(change: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        read_policy({"extends": "standard", **change})


def test_a_gate_needs_a_tolerance() -> None:
    fields = msgspec.to_builtins(POLICIES["fast"])
    del fields["tolerance"]["p90"]
    with pytest.raises(InvalidValue, match="latency_p90 has no tolerance"):
        read_policy(fields)


def test_a_shadow_stage_may_come_first_and_a_one_at_the_end_is_where_every_rollout_comes_to() -> None:
    found = read_policy({"extends": "standard", "stages": ["shadow", "5%", 0.5, 1]})
    assert [stage.min for stage in found.stages] == [0.05, 0.5]
    assert found.shadow == Shadow()
    assert found.min_bake == POLICIES["standard"].min_bake
    assert msgspec.json.decode(msgspec.json.encode(found), type=Policy) == found
    given = {"min_pairs": 20, "max_bake": "3d", "alpha": {"judge": 0.02}}
    found = read_policy({"extends": "standard", "stages": ["shadow", 0.05, 0.5], "shadow": given})
    assert found.shadow is not None
    assert (found.shadow.min_pairs, found.shadow.max_bake) == (20, 259_200.0)
    assert found.shadow.alpha["judge"] == 0.02
    assert read_policy({"extends": "standard", "stages": [0.05, "100%"], "min_bake": [60]}).stages == (
        Stage(0.0, 0.05, 0.05),
    )


def test_stages_without_shadow_take_it_away_and_other_fields_leave_it() -> None:
    known = {**POLICIES, "mine": read_policy({"extends": "standard", "stages": ["shadow", 0.05, 0.5]})}
    assert read_policy({"extends": "mine", "min_units": 7}, known).shadow == Shadow()
    assert read_policy({"extends": "mine", "stages": [0.1, 0.5]}, known).shadow is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stages": [0.05, "shadow", 0.5]}, "no share"),
        ({"stages": ["shadow", 0.05, 0.5], "shadow": {"pairs": 3}}, "pairs"),
        ({"stages": ["shadow", 0.05, 0.5], "shadow": {"min_pairs": 0}}, "min_pairs"),
        ({"stages": ["shadow", 0.05, 0.5], "shadow": {"alpha": {"tokens": 0.01}}}, "tokens"),
        ({"stages": ["shadow", 0.05, 0.5], "shadow": {"alpha": {"judge": 0.06}}}, "at most 0.05"),
        ({"stages": ["shadow", 0.05, 0.5], "gates": ["cost"]}, "judge, safety, errors"),
    ],
)
def test_a_shadow_stage_that_could_decide_nothing_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        read_policy({"extends": "standard", **change})
