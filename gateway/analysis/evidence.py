"""The fold: batches of the evidence log → state.

A session is one unit of each metric. It is opened by its first record and passes three watermarks, s after
its pin, in order of pin (seconds of pins are folded whole, each sorted by pin and session):

    watermark            enters latency, tokens, cost; its error or flag enters harm; assigned and completed
                         sessions are counted
    judge_limit          its score enters; sampled and scored sessions are counted
    window + limit       it is final: gates of events; forgotten

Nothing that depends on the arm decides when, in what order or whether a unit enters. What comes after its
watermark enters when it comes: leaving it out would choose by duration, for ever; entering late only shifts
what is in flight. A first request still running at the watermark is known to be slower than every threshold
that is shorter. Binary harm has m = 0 and ε = 0: a session without an event has D = 0, so that only events
are entered, and a late one as well. But where one arm's events come minutes later than the other's, what is
in flight grows with the traffic, and looks like harm. So of each second of pins only `early_events` sessions,
chosen by their hash, are entered so early; of all others an event enters when they are final.

A session without a request that reached the model is no unit of anything: no data is neither good nor bad.
Whether the provider fails before the model sees a prompt does not depend on the arm, so this chooses none.
Where it does (another model, another account), the completed stream shows it: it counts the sessions whose
first request reached the model, and holds as srm. A client that leaves early does depend on the arm, by the
time it was kept waiting; so its session stays a unit.

Once the arms are found not to get their shares, harm by errors and flags is taken from final sessions alone
(`Comparison.distrust`): an event alone would count a wrong share as harm.

Time is the newest `written_at` of the log, so a prefix of the log has one state, whoever folds it and when.
"""

from __future__ import annotations

from collections import Counter
from math import exp, inf, isfinite

import msgspec

from gateway.analysis.comparison import Comparison
from gateway.analysis.metrics import BY_NAME, METRICS
from gateway.analysis.rules import METHOD, Rules
from gateway.analysis.state import State, Writer
from gateway.analysis.thresholds import Source, Thresholds
from gateway.analysis.units import ERROR, SAFETY, Unit, amount, chosen, open_unit, order
from gateway.domain.observation import Batch, Drawn, Observed, Scored
from gateway.domain.policy import Policy
from gateway.errors import InvalidValue
from gateway.stats.srm import HOLD_AT
from gateway.stats.wealth import evidence_for, log_mean

WRITERS = 1024  # of which the last sequence is remembered
TIMES: tuple[Source, ...] = ("total", "first_token")
AMOUNTS: tuple[Source, ...] = ("tokens", "cost")
_GUARDRAILS = Counter(metric.family for metric in METRICS if metric.role == "guardrail")
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(State)


class Evidence:
    """A rollout's evidence so far. Not to be shared between threads."""

    __slots__ = ("_amounts", "_bars", "_buckets", "_dirty", "_families", "_open", "_times", "state")

    def __init__(self, state: State) -> None:
        if state.method != METHOD:
            raise InvalidValue(f"this evidence was folded by method {state.method}; here is {METHOD}")
        self.state = state
        self._open: dict[bytes, Unit] = {}
        self._buckets: dict[int, list[Unit]] = {}
        self._dirty = False
        self._bars = {name: evidence_for(alpha) for name, alpha in state.policy.alpha_rollback.items()}
        for unit in state.units:
            self._hold(unit)
        state.units = []
        self._arrange()

    @classmethod
    def start(
        cls,
        policy: Policy,
        started_at: float,
        thresholds: Thresholds | None = None,
        rules: Rules | None = None,
    ) -> Evidence:
        """Before the first batch. `thresholds`: from stable's traffic before the rollout, where known.
        Raises `InvalidValue` for a policy that no test can be made of."""
        return cls(State.start(policy, started_at, thresholds or Thresholds(), rules or Rules()))

    @classmethod
    def from_bytes(cls, value: bytes) -> Evidence:
        """Raises `msgspec.DecodeError`, or `InvalidValue` for another method's state."""
        return cls(_DECODER.decode(value))

    def to_bytes(self) -> bytes:
        self.state.units = list(self._open.values())
        try:
            return _ENCODER.encode(self.state)
        finally:
            self.state.units = []

    def step(self, at: float) -> None:
        """A planned stage, or the watch, took effect for pins from `at` on. The same again changes nothing.
        Raises `InvalidValue` if it is not later than the one before, or if no more are planned."""
        self.state.step(at)

    @property
    def alarm(self) -> bool:
        """A rollback is due."""
        return bool(self.state.crossed) or self.state.hard_stop.at is not None

    @property
    def open_sessions(self) -> int:
        return len(self._open)

    def family_bar(self, family: str) -> float:
        """log E at which harm of a family is found; infinite without an alpha."""
        return self._bars.get(family, inf)

    def fold(self, batch: Batch) -> bool:
        """Fold a batch; False if this writer's sequence has been folded before."""
        state = self.state
        if not self._is_new(batch):
            return False
        before = state.clock
        if isfinite(batch.written_at):
            state.clock = max(before, batch.written_at)
        for record in batch.records:
            drawn = record.unit
            unit = self._open.get(drawn.session) or self._opened(drawn)
            if unit is None:
                continue
            if type(record) is Observed:
                self._observed(unit, record)
            elif type(record) is Scored:
                self._scored(unit, record)
        self._advance()
        if state.incident.update(state.clock, state.rules):
            state.stopped[state.stage_at(state.clock)] += state.clock - before
        if self._dirty:
            self._look()
        return True

    # --- records

    def _is_new(self, batch: Batch) -> bool:
        state = self.state
        writer = state.writers.get(batch.writer)
        if writer is None:
            if len(state.writers) >= WRITERS:
                oldest = min(state.writers, key=lambda name: (state.writers[name].at, name))
                del state.writers[oldest]
            writer = state.writers[batch.writer] = Writer()
        if batch.sequence <= writer.sequence:
            return False
        state.lost_batches += batch.sequence - writer.sequence - 1
        state.dropped += max(0, batch.dropped - writer.dropped)
        writer.sequence, writer.dropped, writer.at = batch.sequence, batch.dropped, batch.written_at
        return True

    def _opened(self, drawn: Drawn) -> Unit | None:
        """A new unit; None for a session that has been one, or that cannot be."""
        state = self.state
        pinned_at = drawn.pinned_at
        if not pinned_at >= state.final_to:
            return None  # a later turn of a session that is final
        if pinned_at > state.clock + state.rules.watermark:
            state.left_out += 1
            return None
        if not state.seen.add(drawn.session):
            return None
        unit = open_unit(drawn) if len(self._open) < state.rules.max_open else None
        if unit is None:
            state.left_out += 1
            return None
        if int(pinned_at) < state.folded_to:
            unit.folded = True
            self._assign(unit)
        self._hold(unit)
        return unit

    def _hold(self, unit: Unit) -> None:
        self._open[unit.session] = unit
        self._buckets.setdefault(int(unit.pinned_at), []).append(unit)

    def _observed(self, unit: Unit, record: Observed) -> None:
        state = self.state
        outcome = record.outcome
        if not unit.canary:
            state.incident.add(state.clock, outcome == "provider")
        if outcome != "client":
            state.hard_stop.add(unit.canary, outcome != "ok", state.clock, state.rules)
        if record.again:
            return
        if record.first and not unit.ended:
            self._first(unit, record)
        if (
            unit.requests >= state.rules.event_requests
            or record.started_at > unit.pinned_at + state.rules.event_window
        ):
            return
        unit.requests += 1
        unit.reached = unit.reached or outcome != "provider"
        events = (SAFETY if record.flags else 0) | (ERROR if outcome == "prompt" else 0)
        if new := events & ~unit.events:
            unit.events |= new
            if unit.early:
                self._enter_events(unit, new)

    def _first(self, unit: Unit, record: Observed) -> None:
        unit.ended = True
        unit.answered = record.outcome == "ok"
        if record.outcome != "provider":
            unit.first_reached = True
            unit.total = amount(record.total)
            unit.first_token = amount(record.first_token)
            unit.tokens = amount(record.tokens)
            unit.cost = amount(record.cost)
        if unit.folded:
            self._complete(unit)

    def _scored(self, unit: Unit, record: Scored) -> None:
        score = record.score
        if unit.judged and unit.score is None and score is not None and 0.0 <= score <= 1.0:
            unit.score = score

    # --- watermarks

    def _advance(self) -> None:
        state, rules = self.state, self.state.rules
        clock = state.clock
        if (upto := int(clock - rules.watermark)) > state.folded_to:
            for units in self._between(state.folded_to, upto):
                for unit in units if len(units) <= rules.early_events else chosen(units, rules.early_events):
                    unit.early = True
                for unit in units:
                    self._at_watermark(unit)
            state.folded_to = upto
        if (upto := int(clock - rules.judge_limit)) > state.judged_to:
            for units in self._between(state.judged_to, upto):
                for unit in units:
                    if unit.judged:
                        self._at_judge_limit(unit)
            state.judged_to = upto
        if (upto := int(clock - rules.final_after)) > state.final_to:
            for units in self._between(state.final_to, upto):
                for unit in units:
                    self._at_end(unit)
            for second in [second for second in self._buckets if second < upto]:
                del self._buckets[second]
            state.final_to = upto

    def _between(self, first: int, upto: int) -> list[list[Unit]]:
        """Units pinned in these seconds, for each second in order of pin."""
        buckets = self._buckets
        if upto - first > len(buckets):
            seconds = sorted([second for second in buckets if first <= second < upto])
        else:
            seconds = [second for second in range(first, upto) if second in buckets]
        return [sorted(buckets[second], key=order) for second in seconds]

    def _at_watermark(self, unit: Unit) -> None:
        state = self.state
        if unit.folded:
            return
        while (starts := state.starts) < len(state.steps) and unit.pinned_at >= state.steps[starts]:
            self._start([name for name in state.comparisons if name != "judge"])
            state.starts += 1
        unit.folded = True
        self._assign(unit)
        if unit.events and unit.early:
            self._enter_events(unit, unit.events)
        if unit.ended:
            self._complete(unit)
        elif not state.warm(unit.pinned_at):
            unit.missed = "total" in state.frozen
            for comparison in self._times["total"]:
                if comparison.limit <= state.rules.watermark:
                    comparison.fold(unit.canary, 1.0, unit.share)
                    self._dirty = True

    def _assign(self, unit: Unit) -> None:
        self.state.assigned.update(unit.canary, unit.share)
        self.state.sessions[unit.canary] += 1

    def _complete(self, unit: Unit) -> None:
        """Its first request has ended, and its watermark has passed."""
        if not unit.first_reached:
            return
        state = self.state
        state.completed.update(unit.canary, unit.share)
        if unit.canary:
            state.canaries[state.stage_at(unit.pinned_at)] += 1
        self._enter_times(unit)
        self._enter_amounts(unit)
        self._dirty = True

    def _enter_times(self, unit: Unit) -> None:
        state = self.state
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
                for comparison in self._times[source]:
                    if source == "first_token" or comparison.limit > imputed:
                        comparison.fold(unit.canary, 1.0 if value > comparison.limit else 0.0, unit.share)
        unit.total = unit.first_token = None

    def _enter_amounts(self, unit: Unit) -> None:
        state = self.state
        values: tuple[tuple[Source, float | None], ...]
        values = ("tokens", unit.tokens), ("cost", unit.cost)
        for source, value in values:
            if value is None:
                continue
            if source not in state.frozen:
                self._sample(unit, source, value)
            elif source in self._amounts:
                amount, above = self._amounts[source]
                amount.fold(unit.canary, min(value / amount.limit, 1.0), unit.share)
                above.fold(unit.canary, 1.0 if value > above.limit else 0.0, unit.share)
        unit.tokens = unit.cost = None

    def _sample(self, unit: Unit, source: Source, value: float) -> None:
        """Until thresholds are frozen stable gives its values for them; the canary's are not used."""
        if not unit.canary and self.state.sample(source, value):
            self._arrange()

    def _enter_events(self, unit: Unit, events: int) -> None:
        if not 0.0 < unit.share < 1.0:
            return
        if events & SAFETY:
            self.state.comparisons["safety"].event(unit.canary, unit.share)
        if events & ERROR:
            self.state.comparisons["errors"].event(unit.canary, unit.share)
        self._dirty = True

    def _at_judge_limit(self, unit: Unit) -> None:
        state = self.state
        while (starts := state.judge_starts) < len(state.steps) and unit.pinned_at >= state.steps[starts]:
            self._start(("judge",))
            state.judge_starts += 1
        if not unit.answered:
            return  # there was nothing to judge
        state.completeness.add(unit.canary, unit.pinned_at, unit.score is not None)
        if unit.score is not None:
            state.scored.update(unit.canary, unit.judged_share)
            state.comparisons["judge"].fold(unit.canary, 1.0 - unit.score, unit.judged_share)
            self._dirty = True

    def _at_end(self, unit: Unit) -> None:
        comparisons = self.state.comparisons
        if unit.events and not unit.early:
            self._enter_events(unit, unit.events)
        if unit.reached:
            comparisons["safety"].settle(unit.canary, 1.0 if unit.events & SAFETY else 0.0, unit.share)
            comparisons["errors"].settle(unit.canary, 1.0 if unit.events & ERROR else 0.0, unit.share)
        del self._open[unit.session]
        self._dirty = True

    def _start(self, names: list[str] | tuple[str, ...]) -> None:
        for name in names:
            self.state.comparisons[name].start()

    def _arrange(self) -> None:
        """Comparisons by the source that they are fed from."""
        comparisons = self.state.comparisons
        self._times: dict[str, list[Comparison]] = {source: [] for source in TIMES}
        self._amounts: dict[str, tuple[Comparison, Comparison]] = {}
        for name, comparison in comparisons.items():
            source = BY_NAME[name].source
            if source in self._times:
                self._times[source].append(comparison)
        self._families: dict[str, list[Comparison]] = {}
        for name, comparison in comparisons.items():
            if BY_NAME[name].role == "guardrail":
                self._families.setdefault(BY_NAME[name].family, []).append(comparison)
        for source in AMOUNTS:
            if source in comparisons and comparisons[source].limit > 0.0:
                self._amounts[source] = comparisons[source], comparisons[f"{source}_above_p95"]

    # --- looking

    def _look(self) -> None:
        """What was reached once counts for ever: harm found, gates passed."""
        self._dirty = False
        state = self.state
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
            gate = comparison.gate
            if (
                gate is not None
                and comparison.passed_at is None
                and max(gate.wealth.sums) >= needs
                and gate.get() >= needs
            ):
                comparison.passed_at = state.clock

    def _reached(self, family: str, bar: float) -> bool:
        for test in self._families.get(family, ()):
            if test.may_reach(bar):
                return self.family_evidence(family) >= bar
        return False

    def family_evidence(self, family: str) -> float:
        """log E of a family: of the mean over its guardrails; those not yet open count 1."""
        tests = self._families.get(family, [])
        logs = [test.harm.get() for test in tests]
        return log_mean(logs + [0.0] * (_GUARDRAILS.get(family, 0) - len(tests))) if logs else 0.0

    # --- what decide asks

    def harms(self) -> list[tuple[str, float]]:
        """E of harm of each metric that can hold or roll back, at most 1e299."""
        return [
            (name, exp(min(test.harm.get(), 690.0)))
            for name, test in self.state.comparisons.items()
            if BY_NAME[name].role != "observe"
        ]

    def worst_of(self, family: str) -> str:
        """The metric of a family that shows the most harm."""
        tests = [name for name in self.state.comparisons if BY_NAME[name].family == family]
        return max(tests, key=lambda name: self.state.comparisons[name].harm.get())

    def passed(self, gate: str) -> bool:
        comparison = self.state.comparisons.get(gate)
        return comparison is not None and comparison.passed_at is not None

    @property
    def sessions(self) -> tuple[int, int]:
        """Measured sessions whose watermark has passed: stable, canary."""
        return self.state.sessions[0], self.state.sessions[1]
