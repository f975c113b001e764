"""How many pairs a shadow stage takes: as planned, as simulated, and as the documentation's example says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from random import Random

import pytest
import yaml

from gateway.analysis.reach import plan
from gateway.analysis.shadow_reach import POWER_80, decided, shadow_plan
from gateway.domain.policy import POLICIES, read_policy
from gateway.simulation import shadow as simulated
from gateway.stats.paired import PAIRED_SD, Paired
from gateway.stats.wealth import evidence_for

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "shadow.md"
SHADOWED = read_policy({"extends": "standard", "stages": ["shadow", 0.05, 0.5]})
RUNS = 300


def quiet() -> dict[str, object]:
    """The policy of docs/shadow.md."""
    block = re.search(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert block is not None
    found: dict[str, object] = yaml.safe_load(block[1])["policies"]["quiet"]
    return found


def test_a_prompt_with_100_requests_a_day_is_decided_in_days() -> None:
    found = plan(read_policy(quiet()), 100 / 24)
    assert found.reachable
    assert found.gates == ()
    assert found.shadow is not None
    assert found.hours is not None
    assert found.hours < 4 * 24
    assert not plan(POLICIES["standard"], 100 / 24).reachable


def simulated_pairs(policy_tolerance: float) -> int:
    needed = []
    for run in range(RUNS):
        rng = Random(f"reach {policy_tolerance} {run}")
        test, bar, pairs = Paired.of(0.0, policy_tolerance), evidence_for(0.05), 0
        while not (max(test.gate.sums) >= bar and test.gate.get() >= bar):
            test.update(max(-1.0, min(1.0, rng.gauss(0.0, PAIRED_SD))))
            pairs += 1
        needed.append(pairs)
    return sorted(needed)[int(0.8 * RUNS)]


@pytest.mark.parametrize("tolerance", [0.05, 0.08])
def test_the_plan_of_a_judge_is_what_is_simulated(tolerance: float) -> None:
    policy = read_policy(
        {"extends": "standard", "stages": ["shadow", 0.05, 0.5], "tolerance": {"judge": tolerance}}
    )
    found = shadow_plan(policy, 10.0, safety=0.005, errors=0.005)
    assert found is not None
    judge = next(gate for gate in found.gates if gate.name == "judge")
    assert judge.pairs == pytest.approx(simulated_pairs(tolerance), rel=0.12)


def test_sessions_decide_what_pairs_cannot() -> None:
    assert decided(SHADOWED) == ("judge", "safety", "errors")
    assert decided(POLICIES["standard"]) == ()
    found = plan(SHADOWED, 1000.0)
    assert [gate.name for gate in found.gates] == ["latency_p50", "latency_p90", "cost"]
    few = plan(SHADOWED, 5.0)
    assert any("leave out their gates" in line for line in few.advice)
    assert plan(POLICIES["standard"], 1000.0).shadow is None
    assert POWER_80 > 1.0


def test_without_sessions_it_never_ends() -> None:
    found = plan(SHADOWED, 0.0)
    assert (found.hours, found.reachable) == (None, False)
    assert found.shadow is not None
    assert found.shadow.hours is None
    assert any("never ends" in line for line in found.advice)


def test_the_examples_print_what_they_say() -> None:
    assert doctest.testmod(simulated).failed == 0
