"""One metric's comparison of the arms: harm, gate and what is displayed, fed together."""

from __future__ import annotations

import msgspec

from gateway.analysis.metrics import Metric, expected, harm_margin, threshold, tolerance
from gateway.analysis.thresholds import Frozen
from gateway.domain.policy import Policy
from gateway.errors import InvalidValue
from gateway.stats.eprocess import Harm, NonInferiority
from gateway.stats.intervals import Effect
from gateway.stats.pending import Pending, may_reach
from gateway.stats.power import binary_variance
from gateway.stats.prediction import RunningMean

SMALLEST_TOLERANCE = 0.005  # for the scale of a display where a policy allows nothing
SCORE_VARIANCE, SCORE_BADNESS = 0.0625, 0.2  # of judge scores, where nothing is known


class Comparison(msgspec.Struct):
    """`limit`: frozen threshold or cap, 0 where none is needed. `tolerance` δ and the harm test's margin in
    badness. `passed_at`: when its gate first had enough evidence, on the fold's clock. `settled`: of a metric
    of events, harm by its final sessions; see `distrust` (None in checkpoints of before it was there)."""

    name: str
    limit: float
    tolerance: float
    harm: Harm
    mean: RunningMean
    effect: Effect
    gate: NonInferiority | None = None
    passed_at: float | None = None
    settled: Harm | None = None
    distrusted: bool = False

    @classmethod
    def of(
        cls, metric: Metric, policy: Policy, frozen: Frozen | None, *, later: int, start: float | None = None
    ) -> Comparison:
        """`later`: staggered starts planned. `start`: stable's mean badness where it is known."""
        allowed = tolerance(metric, policy, frozen)
        margin = harm_margin(metric, policy, frozen)
        if metric.kind == "event" and margin > 0.0:
            raise InvalidValue(
                f"the harm margin of {metric.family} must be 0: only its events enter the test",
                param="harm_margin",
            )
        before = start if start is not None else expected(metric, frozen)
        if metric.kind == "score":
            before, variance = (start if start is not None else SCORE_BADNESS), SCORE_VARIANCE
        elif metric.kind == "amount":
            variance = max(before * (1.0 - before) / 4.0, 1e-4)
        else:
            variance = max(binary_variance(min(before, 0.9), min(allowed, 0.1)), 1e-4)
        return cls(
            metric.name,
            threshold(metric, frozen) if frozen is not None else 0.0,
            allowed,
            Harm.of(margin, later=later),
            RunningMean(before),
            Effect.of(variance, max(allowed, SMALLEST_TOLERANCE)),
            NonInferiority.of(allowed) if metric.gate and metric.name in policy.gates else None,
            settled=Harm.of(margin) if metric.kind == "event" else None,
        )

    @property
    def whole(self) -> Harm:
        """The harm test that whole sessions enter: not `harm` for a metric of events, before `distrust`."""
        return self.harm if self.settled is None else self.settled

    def pending(self) -> Pending:
        """To be fed with units, and taken over by `take`."""
        gate = self.gate
        return Pending(self.whole.margin, 0.0 if gate is None else gate.tolerance, self.mean.value)

    def take(self, pending: Pending) -> None:
        """Take over the units since the last time."""
        if not pending.units:
            return
        wealth = self.whole.wealth
        wealth.sums = pending.harm.take(wealth.sums)
        if self.gate is not None:
            wealth = self.gate.wealth
            wealth.sums = pending.gate.take(wealth.sums)
        self.mean.value = pending.mean
        effect = self.effect
        effect.difference += pending.difference
        effect.squares += pending.squares
        effect.information += pending.information
        effect.units = [effect.units[0] + pending.seen0, effect.units[1] + pending.seen1]
        effect.badness = [effect.badness[0] + pending.badness0, effect.badness[1] + pending.badness1]
        pending.clear()

    def event(self, canary: bool, share: float) -> None:
        """An event enters the harm test, m = 0; sessions without one never do, for they bring nothing."""
        if not self.distrusted:
            self.harm.update(canary, 1.0, share, 0.0)

    def start(self) -> None:
        """Open the next planned start of the harm test."""
        if self.harm.wealth.later:
            self.harm.start()

    def distrust(self) -> None:
        """The arms do not get their shares: P(canary) is some p, not π. With m = 0 each event then brings
        E[D] = (p − π) μ, which grows into harm where there is none. From here on harm is what final sessions
        have shown since the start, with an event or without, against a prediction: E[D] = (p − π)(μ − m), as
        for every other metric. It is found later, by as long as a session stays open."""
        if self.settled is not None:
            self.harm, self.settled, self.distrusted = self.settled, None, True

    def may_reach(self, bar: float) -> bool:
        """False if harm's log E is surely below `bar`: a mean is at most its greatest term."""
        return may_reach(self.harm.wealth.sums, self.harm.wealth.marks, bar)

    def passes(self, bar: float) -> bool:
        """Whether its gate's log E has reached `bar`; False where it is no gate."""
        gate = self.gate
        return gate is not None and max(gate.wealth.sums) >= bar and gate.get() >= bar
