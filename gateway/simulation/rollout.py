"""One simulated rollout: sessions → batches → the fold → decide → what the controller does."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

from gateway.analysis.decide import answer
from gateway.analysis.evidence import Evidence
from gateway.analysis.rules import Rules
from gateway.analysis.sampling import rates
from gateway.analysis.verdict import Position
from gateway.domain.observation import Batch
from gateway.domain.observation import Evidence as Record
from gateway.domain.policy import Policy, read_policy
from gateway.simulation.scenario import Scenario
from gateway.simulation.sessions import Setting, World, known_thresholds
from gateway.simulation.shadow import Copies

CAP = 500.0  # measured sessions/s
LOOK_EVERY = 30.0  # s between verdicts while there is no alarm: harm is looked at with every batch


class Run(msgspec.Struct, frozen=True):
    """`outcome`: rolled_back, promoted (the watch began), undecided. `seconds`: until then, as are the counts
    of what the canary served and the judge was asked. `holds`: reasons for which it held, once each."""

    scenario: str
    seed: int
    outcome: str
    rule: str
    seconds: float
    canary_sessions: int
    canary_requests: int
    judge_calls: int
    holds: tuple[str, ...]


def simulate(
    scenario: Scenario,
    seed: int,
    *,
    policy: Policy | None = None,
    rules: Rules | None = None,
    through_watch: bool = False,
) -> Run:
    """Deterministic in (scenario, seed, policy, rules)."""
    policy = policy or read_policy(scenario.policy)
    if scenario.judge_all:
        policy = msgspec.structs.replace(policy, judged_first=1e9, judged_later=1e9)
    rollout = _Rollout(scenario, policy, seed, rules, through_watch)
    for second, records in rollout.world.seconds(scenario.hours * 3600.0):
        if rollout.look(second, Batch("w", int(second), second, rollout.written(records))):
            break
    return rollout.result(seed)


class _Rollout:
    def __init__(
        self, scenario: Scenario, policy: Policy, seed: int, rules: Rules | None, through_watch: bool
    ) -> None:
        self.scenario, self.policy, self.through_watch = scenario, policy, through_watch
        per_second = scenario.per_hour / 3600.0
        shadow = policy.shadow is not None
        weight = 0.0 if shadow else policy.stages[0].weight(scenario.per_hour)
        first = rates(policy, weight, per_second, CAP, first_stage=True)
        self.world = World(scenario, Random(f"{scenario.name} {seed}"), Setting(weight, first, 0.0))
        thresholds = known_thresholds(scenario, policy) if scenario.stable_known else None
        self.evidence = Evidence.start(policy, 0.0, thresholds, rules)
        self.position = Position("progressing", 0, 0.0, 0.0, weight, first.q1, first.q0, in_shadow=shadow)
        self.copies = Copies(scenario, seed)
        self.rule = ""
        self.outcome = "undecided"
        self.second = 0.0
        self.holds: dict[str, None] = {}
        self._next = LOOK_EVERY

    def written(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """With what a shadow stage makes of them."""
        if not self.position.in_shadow:
            return tuple(records)
        pairs = self.copies.pairs(records)
        self.world.counts.judge_calls += 2 * len(pairs)
        return (*records, *pairs)

    def look(self, second: float, batch: Batch) -> bool:
        """True once it has ended."""
        self.second = second
        self.evidence.fold(batch)
        if not self.evidence.alarm and second < self._next:
            return False
        self._next = second + LOOK_EVERY
        action, self.rule, _, hold, raised = answer(self.policy, self.position, self.evidence, second)
        if action == "roll_back":
            self.outcome = "rolled_back"
        elif action == "promote":
            self.outcome = "promoted"
            if self.through_watch:
                self._step(second, 1.0 - self.policy.holdback.share, in_watch=True)
                return False
        elif action == "advance":
            if self.position.in_watch:
                return True
            if self.position.in_shadow:
                self._expose(second)
                return False
            stage = self.position.stage + 1
            self._step(second, self.policy.stages[stage].weight(self.scenario.per_hour), stage=stage)
            return False
        elif action == "raise_weight" and raised is not None:
            self._publish(second, raised)
            self.position = msgspec.structs.replace(self.position, raises=self.position.raises + 1)
            return False
        elif action == "hold" and hold is not None:
            self.holds[hold] = None
        return self.outcome != "undecided" and not (self.through_watch and self.outcome == "promoted")

    def _expose(self, second: float) -> None:
        at = second + 1.0
        self.position = msgspec.structs.replace(self.position, in_shadow=False, stage_since=at, started_at=at)
        self._publish(at, self.policy.stages[0].weight(self.scenario.per_hour))
        self.world.setting.stepped_at = at

    def _step(
        self, second: float, weight: float, *, stage: int | None = None, in_watch: bool = False
    ) -> None:
        at = second + 1.0
        self.evidence.step(at)
        self.position = msgspec.structs.replace(
            self.position,
            stage=self.position.stage if stage is None else stage,
            stage_since=at,
            in_watch=in_watch,
            raises=0,
        )
        self._publish(at, weight)
        self.world.setting.stepped_at = at

    def _publish(self, second: float, weight: float) -> None:
        """From the next second on; the second until a raise takes effect is not simulated."""
        new = rates(
            self.policy,
            weight,
            self.scenario.per_hour / 3600.0,
            CAP,
            first_stage=self.position.stage == 0,
        )
        self.world.setting.weight, self.world.setting.rates = weight, new
        self.position = msgspec.structs.replace(self.position, weight=weight, q1=new.q1, q0=new.q0)

    def result(self, seed: int) -> Run:
        counts = self.world.counts
        return Run(
            self.scenario.name,
            seed,
            self.outcome,
            self.rule,
            self.second,
            counts.canary_sessions,
            counts.canary_requests,
            counts.judge_calls,
            tuple(self.holds),
        )
