"""How a unit enters the comparisons, and what they then have reached: one place for both.

Between two looks units are kept as `Pending` numbers; `look` takes them over into the state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf

from gateway.analysis.comparison import Comparison
from gateway.analysis.metrics import BY_NAME, METRICS
from gateway.analysis.state import State
from gateway.analysis.thresholds import Source
from gateway.analysis.units import ERROR, SAFETY, Unit
from gateway.stats.pending import Pending
from gateway.stats.srm import HOLD_AT, SampleRatio
from gateway.stats.wealth import evidence_for, log_mean

UNFROZEN = ("judge", "safety", "errors")  # metrics without a frozen threshold
TIMES: tuple[Source, ...] = ("total", "first_token")
AMOUNTS: tuple[Source, ...] = ("tokens", "cost")
_GUARDRAILS = Counter(metric.family for metric in METRICS if metric.role == "guardrail")


class Entries:
    """The state's comparisons by what they are fed from. Not to be shared between threads."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._dirty = False
        self._assigned: dict[tuple[bool, float], int] = {}  # sessions by arm and share
        self._completed: dict[tuple[bool, float], int] = {}
        self._scored: dict[tuple[bool, float], int] = {}
        self._pending: dict[str, Pending] = {}
        self._bars = {name: evidence_for(alpha) for name, alpha in state.policy.alpha_rollback.items()}
        self._arrange()

    def _arrange(self) -> None:
        comparisons = self._state.comparisons
        self._times: dict[str, list[tuple[float, Pending]]] = {source: [] for source in TIMES}
        self._amounts: dict[str, tuple[float, Pending, float, Pending]] = {}
        self._families: dict[str, list[Comparison]] = {}
        for name, comparison in comparisons.items():
            metric = BY_NAME[name]
            pending = self._pending.get(name)
            if pending is None:
                pending = self._pending[name] = comparison.pending()
            if metric.source in self._times:
                self._times[metric.source].append((comparison.limit, pending))
            if metric.role == "guardrail":
                self._families.setdefault(metric.family, []).append(comparison)
        for source in AMOUNTS:
            if source in comparisons and comparisons[source].limit > 0.0:
                above = f"{source}_above_p95"
                self._amounts[source] = (
                    comparisons[source].limit,
                    self._pending[source],
                    comparisons[above].limit,
                    self._pending[above],
                )
        self._judge, self._safety, self._errors = [self._pending[name] for name in UNFROZEN]

    # --- entering

    def start(self, names: Sequence[str]) -> None:
        """The next planned start of these metrics, from the units so far on."""
        for name in names:
            comparison = self._state.comparisons[name]
            comparison.take(self._pending[name])
            comparison.start()

    def assigned(self, unit: Unit) -> None:
        self._state.sessions[unit.canary] += 1
        drawn = unit.canary, unit.share
        self._assigned[drawn] = self._assigned.get(drawn, 0) + 1

    def late(self, unit: Unit) -> None:
        """Its first request still runs at the watermark: slower than every threshold that is shorter."""
        state = self._state
        unit.missed = "total" in state.frozen
        for limit, pending in self._times["total"]:
            if limit <= state.rules.watermark:
                pending.fold(unit.canary, 1.0, unit.share)
                self._dirty = True

    def ended(self, unit: Unit) -> None:
        """Its first request has ended, and its watermark has passed."""
        drawn = unit.canary, unit.share
        self._completed[drawn] = self._completed.get(drawn, 0) + 1
        self._enter_times(unit)
        self._enter_amounts(unit)
        self._dirty = True

    def _enter_times(self, unit: Unit) -> None:
        state = self._state
        warm = state.warm(unit.pinned_at)
        imputed = state.rules.watermark if unit.missed else -1.0
        values: tuple[tuple[Source, float | None], ...]
        values = ("total", unit.total), ("first_token", unit.first_token)
        for source, value in values:
            if value is None:
                continue
            if source not in state.frozen:
                self._sample(unit, source, value)
            elif not warm:
                for limit, pending in self._times[source]:
                    if source == "first_token" or limit > imputed:
                        pending.fold(unit.canary, 1.0 if value > limit else 0.0, unit.share)
        unit.total = unit.first_token = None

    def _enter_amounts(self, unit: Unit) -> None:
        state = self._state
        values: tuple[tuple[Source, float | None], ...]
        values = ("tokens", unit.tokens), ("cost", unit.cost)
        for source, value in values:
            if value is None:
                continue
            if source not in state.frozen:
                self._sample(unit, source, value)
            elif source in self._amounts:
                cap, amount, bar, above = self._amounts[source]
                amount.fold(unit.canary, min(value / cap, 1.0), unit.share)
                above.fold(unit.canary, 1.0 if value > bar else 0.0, unit.share)
        unit.tokens = unit.cost = None

    def _sample(self, unit: Unit, source: Source, value: float) -> None:
        """Until thresholds are frozen stable gives its values for them; the canary's are not used."""
        if not unit.canary and self._state.sample(source, value):
            self._arrange()

    def events(self, unit: Unit, events: int) -> None:
        """Errors and flags enter harm alone: sessions without one bring nothing."""
        if not 0.0 < unit.share < 1.0:
            return
        if events & SAFETY:
            self._state.comparisons["safety"].event(unit.canary, unit.share)
        if events & ERROR:
            self._state.comparisons["errors"].event(unit.canary, unit.share)
        self._dirty = True

    def score(self, unit: Unit, score: float) -> None:
        drawn = unit.canary, unit.judged_share
        self._scored[drawn] = self._scored.get(drawn, 0) + 1
        self._judge.fold(unit.canary, 1.0 - score, unit.judged_share)
        self._dirty = True

    def final(self, unit: Unit) -> None:
        """Nothing can be added to it: it enters the gates of events."""
        if unit.events and not unit.early:
            self.events(unit, unit.events)
        if unit.reached:
            self._safety.fold(unit.canary, 1.0 if unit.events & SAFETY else 0.0, unit.share)
            self._errors.fold(unit.canary, 1.0 if unit.events & ERROR else 0.0, unit.share)
        self._dirty = True

    # --- looking

    def look(self) -> None:
        """What was reached once counts for ever: harm found, gates passed."""
        self._take()
        if not self._dirty:
            return
        self._dirty = False
        state = self._state
        if state.mismatched_at is None and any(
            max(ratio.wealth.sums) >= HOLD_AT and ratio.get() >= HOLD_AT
            for ratio in (state.assigned, state.completed)
        ):
            state.mismatched_at = state.clock
            for comparison in state.comparisons.values():
                comparison.distrust()
        for family, bar in self._bars.items():
            if family not in state.crossed and self._reached(family, bar):
                state.crossed[family] = state.clock
        needs = evidence_for(state.policy.alpha_promote)
        for comparison in state.comparisons.values():
            if comparison.passed_at is None and comparison.passes(needs):
                comparison.passed_at = state.clock

    def _take(self) -> None:
        """Everything since the last look goes to the state."""
        state = self._state
        for counted, ratio in (
            (self._assigned, state.assigned),
            (self._completed, state.completed),
            (self._scored, state.scored),
        ):
            if counted:
                _count(ratio, counted)
        if self._dirty:
            for name, comparison in state.comparisons.items():
                comparison.take(self._pending[name])

    def _reached(self, family: str, bar: float) -> bool:
        for test in self._families.get(family, ()):
            if test.may_reach(bar):
                return self.evidence(family) >= bar
        return False

    def bar(self, family: str) -> float:
        """log E at which harm of a family is found; infinite without an alpha."""
        return self._bars.get(family, inf)

    def evidence(self, family: str) -> float:
        """log E of a family: of the mean over its guardrails; those not yet open count 1."""
        tests = self._families.get(family, [])
        logs = [test.harm.get() for test in tests]
        return log_mean(logs + [0.0] * (_GUARDRAILS.get(family, 0) - len(tests))) if logs else 0.0


def _count(ratio: SampleRatio, sessions: dict[tuple[bool, float], int]) -> None:
    for (canary, share), count in sessions.items():
        ratio.add(canary, share, count)
    sessions.clear()
