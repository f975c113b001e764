"""The other rules on a simulated world."""

from __future__ import annotations

from random import Random

import msgspec

from benchmarks.decisions.rules import RULES
from gateway.analysis.sampling import rates
from gateway.domain.policy import read_policy
from gateway.simulation.rollout import CAP
from gateway.simulation.scenario import Scenario
from gateway.simulation.sessions import Setting, World

OBSERVED, RAMP = 4.0, 0.125  # h at 1,000 sessions/h and more; part of it in stage 1


class Watched(msgspec.Struct, frozen=True):
    """One rule on one world. `tripped`: it would have rolled back. `seconds`, `canary_sessions`,
    `judge_calls`: until then, or until the end."""

    scenario: str
    seed: int
    rule: str
    tripped: bool
    seconds: float
    canary_sessions: int
    judge_calls: int


def observe(scenario: Scenario, seed: int) -> list[Watched]:
    """A fixed plan: stage 1 for half an hour, then weight .5, for `OBSERVED` hours in all. The rules are
    given more time than they would need."""
    policy = read_policy(scenario.policy)
    per_second = scenario.per_hour / 3600.0
    weight = policy.stages[0].weight(scenario.per_hour)
    first = rates(policy, weight, per_second, CAP, first_stage=True)
    world = World(scenario, Random(f"{scenario.name} {seed}"), Setting(weight, first, 0.0))
    found = [rule() for rule in RULES]
    hours = OBSERVED * max(1.0, 1000.0 / scenario.per_hour)
    for second, records in world.seconds(hours * 3600.0):
        if second == RAMP * hours * 3600.0:
            later = rates(policy, 0.5, per_second, CAP, first_stage=False)
            world.setting = Setting(0.5, later, second)
        for rule in found:
            rule.see(second, records, world.counts)
    counts = world.counts
    return [
        Watched(
            scenario.name,
            seed,
            rule.name,
            rule.at is not None,
            hours * 3600.0 if rule.at is None else rule.at,
            counts.canary_sessions if rule.at is None else rule.canary_sessions,
            counts.judge_calls if rule.at is None else rule.judge_calls,
        )
        for rule in found
    ]
