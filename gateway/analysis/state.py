"""Everything that the fold knows: one value that can be stored and gone on from."""

from __future__ import annotations

import msgspec

from gateway.analysis import outcomes
from gateway.analysis.comparison import Comparison
from gateway.analysis.metrics import METRICS
from gateway.analysis.monitor import Completeness, HardStop, Incident
from gateway.analysis.rules import METHOD, Rules
from gateway.analysis.severe import Severe
from gateway.analysis.shadow import ShadowState
from gateway.analysis.thresholds import SOURCES, Frozen, Source, Thresholds, freeze
from gateway.analysis.units import Seen, Unit
from gateway.domain.policy import Policy
from gateway.errors import InvalidValue
from gateway.stats.srm import SampleRatio


class Writer(msgspec.Struct, array_like=True):
    """Of one start of one process: its last sequence, records it lost, when it last wrote."""

    sequence: int = 0
    dropped: int = 0
    at: float = 0.0


class State(msgspec.Struct):
    """`clock`: the newest `written_at`. `steps`: when later planned stages took effect. `sessions`: stable
    and canary ones past their watermark. `canaries`, `stopped`: by stage, canary sessions whose first request
    ended and s of incidents. `crossed`: families whose harm was found, and when. `folded_to`,
    `judged_to`, `final_to`: pins before these seconds have passed the watermarks. `starts` and the like:
    steps that the tests have opened a start for. `mismatched_at`: when shares were first found wrong.
    `units`: open sessions, filled for storing only."""

    policy: Policy
    rules: Rules
    started_at: float
    thresholds: Thresholds
    clock: float
    folded_to: int
    judged_to: int
    final_to: int
    method: int = METHOD
    steps: list[float] = []
    starts: int = 0
    judge_starts: int = 0
    writers: dict[str, Writer] = {}
    lost_batches: int = 0
    left_out: int = 0
    dropped: int = 0
    comparisons: dict[str, Comparison] = {}
    frozen: dict[Source, Frozen] = {}
    samples: dict[Source, list[float]] = {}
    seen: Seen = msgspec.field(default_factory=Seen)
    assigned: SampleRatio = msgspec.field(default_factory=SampleRatio.of)
    completed: SampleRatio = msgspec.field(default_factory=SampleRatio.of)
    scored: SampleRatio = msgspec.field(default_factory=SampleRatio.of)
    incident: Incident = msgspec.field(default_factory=Incident)
    hard_stop: HardStop = msgspec.field(default_factory=HardStop)
    completeness: Completeness = msgspec.field(default_factory=Completeness)
    sessions: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    canaries: list[int] = []
    stopped: list[float] = []
    crossed: dict[str, float] = {}
    units: list[Unit] = []
    mismatched_at: float | None = None
    shadow: ShadowState | None = None
    outcomes: dict[str, Comparison] = {}
    told: dict[str, dict[str, float]] = {}  # of open sessions (the beginning of their hash, hex), by outcome
    severe: Severe = msgspec.field(default_factory=Severe)

    @classmethod
    def start(cls, policy: Policy, started_at: float, thresholds: Thresholds, rules: Rules) -> State:
        first = int(started_at) - 1
        state = cls(policy, rules, started_at, thresholds, started_at, first, first, first)
        state.outcomes = outcomes.opened(policy)
        state.incident = Incident(before=thresholds.provider_errors)
        state.canaries = [0] * (state.planned + 1)
        state.stopped = [0.0] * (state.planned + 1)
        state.shadow = ShadowState.start(policy, started_at)
        for metric in METRICS:
            if metric.source is None:
                start = thresholds.judge if metric.kind == "score" else None
                state.comparisons[metric.name] = Comparison.of(
                    metric, policy, None, later=state.planned, start=start
                )
        for source in SOURCES:
            if (frozen := thresholds.of(source)) is not None:
                state.freeze(source, frozen)
            else:
                state.samples[source] = []
        return state

    @property
    def planned(self) -> int:
        """Steps after the start: the later stages, and the watch."""
        return len(self.policy.stages)

    @property
    def exposed_at(self) -> float:
        """When the first stage began, as far as the log tells: after a shadow stage, or at the start."""
        exposed = None if self.shadow is None else self.shadow.exposed_at
        return self.started_at if exposed is None else exposed

    @property
    def in_shadow(self) -> bool:
        return self.shadow is not None and self.shadow.exposed_at is None

    def stage_at(self, when: float) -> int:
        """How many steps had been made at `when`."""
        stage = 0
        for step in self.steps:
            if step > when:
                break
            stage += 1
        return stage

    def step(self, at: float) -> None:
        if at in self.steps:
            return
        if at <= (self.steps[-1] if self.steps else self.started_at):
            raise InvalidValue(f"a step at {at} is not after the one before", param="at")
        if len(self.steps) >= self.planned:
            raise InvalidValue(f"all {self.planned} planned steps have been made", param="at")
        self.steps.append(at)

    def warm(self, pinned_at: float) -> bool:
        """Whether provider caches may have been cold for a session of this pin."""
        if pinned_at < self.exposed_at + self.rules.latency_warmup:
            return True
        return any(step <= pinned_at < step + self.rules.latency_warmup for step in self.steps)

    def sample(self, source: Source, value: float) -> bool:
        """Take one stable value for a threshold; True once it is frozen."""
        values = self.samples[source]
        values.append(value)
        if len(values) < self.rules.freeze_after:
            return False
        relative = self.policy.tolerance.get(source, 0.0) if source in ("tokens", "cost") else 0.0
        self.freeze(source, freeze(values, relative))
        del self.samples[source]
        return True

    def freeze(self, source: Source, frozen: Frozen) -> None:
        """Open the comparisons of a source: their first unit is the next one."""
        self.frozen[source] = frozen
        for metric in METRICS:
            if metric.source == source:
                opened = Comparison.of(metric, self.policy, frozen, later=self.planned)
                for _ in range(self.starts):
                    opened.start()
                self.comparisons[metric.name] = opened
