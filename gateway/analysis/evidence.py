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

from math import exp, isfinite

import msgspec

from gateway.analysis import outcomes
from gateway.analysis.entries import Entries
from gateway.analysis.held import Held
from gateway.analysis.metrics import BY_NAME
from gateway.analysis.rules import METHOD, Rules
from gateway.analysis.severe import thinned
from gateway.analysis.state import State, Writer
from gateway.analysis.thresholds import Thresholds
from gateway.analysis.units import ERROR, SAFETY, Unit, amount, chosen, open_unit
from gateway.domain.observation import Batch, Drawn, Flagged, Observed, Pair, Scored, Told
from gateway.domain.policy import Policy
from gateway.domain.safety import is_severe
from gateway.errors import InvalidValue

MOST_TOLD = 100_000  # sessions
NOTHING_TOLD: dict[str, float] = {}
WRITERS = 1024  # of which the last sequence is remembered
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(State)


class Evidence:
    """A rollout's evidence so far. Not to be shared between threads."""

    __slots__ = ("_entries", "_open", "state")

    def __init__(self, state: State) -> None:
        if state.method != METHOD:
            raise InvalidValue(f"this evidence was folded by method {state.method}; here is {METHOD}")
        self.state = state
        self._open = Held(state.units)
        self._entries = Entries(state)
        state.units = []

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
        self.state.units = self._open.all()
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
        state = self.state
        shadow = state.shadow is not None and bool(state.shadow.crossed)
        stopped = state.hard_stop.at is not None or state.severe.found_at is not None
        return bool(state.crossed) or stopped or shadow

    @property
    def open_sessions(self) -> int:
        return len(self._open)

    def family_bar(self, family: str) -> float:
        """log E at which harm of a family is found; infinite without an alpha."""
        return self._entries.bar(family)

    def family_evidence(self, family: str) -> float:
        """log E of a family: of the mean over its guardrails; those not yet open count 1."""
        return self._entries.evidence(family)

    def fold(self, batch: Batch) -> bool:
        """Fold a batch; False if this writer's sequence has been folded before."""
        state = self.state
        if not self._is_new(batch):
            return False
        before = state.clock
        if isfinite(batch.written_at):
            state.clock = max(before, batch.written_at)
        requests = failed = 0  # stable's, and those that the provider failed
        for record in batch.records:
            if type(record) is Pair:
                if state.shadow is not None:
                    state.shadow.add(record)
                continue
            if isinstance(record, Told):
                self._told(record)
                continue
            drawn = record.unit
            if type(record) is Flagged and (record.cleared or is_severe(record.flag)):
                state.severe.told(record, state.clock, state.rules)
                continue  # a session needs not be open for it: people look later
            if type(record) is Observed and record.flags:
                state.severe.observed(drawn, record.flags, state.clock, state.rules)
            unit = self._open.get(drawn.session) or self._opened(drawn)
            if unit is None:
                continue
            if type(record) is Observed:
                if not unit.canary:
                    requests += 1
                    failed += record.outcome == "provider"
                self._observed(unit, record)
            elif type(record) is Scored:
                self._scored(unit, record)
            elif type(record) is Flagged and thinned(drawn):
                self._events(unit, SAFETY)
        if requests:
            state.incident.add(state.clock, requests, failed)
        self._advance()
        if state.shadow is not None:
            state.shadow.advance(state.clock, state.rules)
        if state.incident.update(state.clock, state.rules) and not state.in_shadow:
            state.stopped[state.stage_at(state.clock)] += state.clock - before
        self._entries.look()
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
            self._entries.assigned(unit)
        self._open.add(unit)
        if state.shadow is not None and state.shadow.exposed_at is None and drawn.weight > 0.0:
            state.shadow.exposed_at = pinned_at
        return unit

    def _observed(self, unit: Unit, record: Observed) -> None:
        state = self.state
        outcome = record.outcome
        if outcome != "client" and not state.hard_stop.succeeded:
            state.hard_stop.add(unit.canary, outcome != "ok", state.clock, state.rules)
        if record.judged:
            unit.answered = True
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
        if events:
            self._events(unit, events)

    def _events(self, unit: Unit, events: int) -> None:
        if new := events & ~unit.events:
            unit.events |= new
            if unit.early:
                self._entries.events(unit, new)

    def _first(self, unit: Unit, record: Observed) -> None:
        unit.ended = True
        unit.answered = record.outcome == "ok" and self.state.policy.judged_turn == 1
        if record.outcome != "provider":
            unit.first_reached = True
            unit.total = amount(record.total)
            unit.first_token = amount(record.first_token)
            unit.tokens = amount(record.tokens)
            unit.cost = amount(record.cost)
        if unit.folded:
            self._complete(unit)

    def _told(self, record: Told) -> None:
        """Of a session that is not final; what is told before its first record counts as well."""
        state, score = self.state, record.score
        if record.outcome in state.policy.outcomes and 0.0 <= score <= 1.0:
            if len(state.told) >= MOST_TOLD:
                del state.told[next(iter(state.told))]
            state.told.setdefault(record.session.hex(), {})[record.outcome] = score

    def _scored(self, unit: Unit, record: Scored) -> None:
        score = record.score
        if unit.judged and unit.score is None and score is not None and 0.0 <= score <= 1.0:
            unit.score = score

    # --- watermarks

    def _advance(self) -> None:
        state, rules = self.state, self.state.rules
        clock = state.clock
        if (upto := int(clock - rules.watermark)) > state.folded_to:
            for units in self._open.between(state.folded_to, upto):
                for unit in units if len(units) <= rules.early_events else chosen(units, rules.early_events):
                    unit.early = True
                for unit in units:
                    self._at_watermark(unit)
            state.folded_to = upto
        if (upto := int(clock - rules.judge_limit)) > state.judged_to:
            for units in self._open.between(state.judged_to, upto):
                for unit in units:
                    if unit.judged:
                        self._at_judge_limit(unit)
            state.judged_to = upto
        if (upto := int(clock - rules.final_after)) > state.final_to:
            for units in self._open.between(state.final_to, upto):
                for unit in units:
                    self._entries.final(unit)
                    if state.outcomes:
                        told = state.told.pop(unit.session[: outcomes.PREFIX].hex(), NOTHING_TOLD)
                        outcomes.final(state.outcomes, state.policy, unit, told, clock)
                    self._open.close(unit)
            self._open.forget(upto)
            state.final_to = upto

    def _at_watermark(self, unit: Unit) -> None:
        state = self.state
        if unit.folded:
            return
        while (starts := state.starts) < len(state.steps) and unit.pinned_at >= state.steps[starts]:
            self._entries.start([name for name in state.comparisons if name != "judge"])
            state.starts += 1
        unit.folded = True
        self._entries.assigned(unit)
        if unit.events and unit.early:
            self._entries.events(unit, unit.events)
        if unit.ended:
            self._complete(unit)
        elif not state.warm(unit.pinned_at):
            self._entries.late(unit)

    def _complete(self, unit: Unit) -> None:
        """Its first request has ended, and its watermark has passed."""
        if not unit.first_reached:
            return
        state = self.state
        if unit.canary:
            state.canaries[state.stage_at(unit.pinned_at)] += 1
        self._entries.ended(unit)

    def _at_judge_limit(self, unit: Unit) -> None:
        state = self.state
        while (starts := state.judge_starts) < len(state.steps) and unit.pinned_at >= state.steps[starts]:
            self._entries.start(("judge",))
            state.judge_starts += 1
        if not unit.answered:
            return  # there was nothing to judge
        state.completeness.add(unit.canary, unit.pinned_at, unit.score is not None)
        if unit.score is not None:
            self._entries.score(unit, unit.score)

    # --- what decide asks

    def harms(self) -> list[tuple[str, float]]:
        """E of harm of each metric that can hold or roll back, at most 1e299; of its first start alone where
        that is more: the weight of later starts costs a rollback time, but need not hurry an advance."""
        return [
            (name, exp(min(max(test.harm.get(), test.harm.wealth.first()), 690.0)))
            for name, test in self.state.comparisons.items()
            if BY_NAME[name].role != "observe"
        ] + outcomes.harms(self.state.outcomes, self.state.policy)

    def worst_of(self, family: str) -> str:
        """The metric of a family that shows the most harm."""
        tests = [name for name in self.state.comparisons if BY_NAME[name].family == family]
        return max(tests, key=lambda name: self.state.comparisons[name].harm.get())

    def passed(self, gate: str) -> bool:
        """Whether it was shown once, by sessions or in the shadow stage."""
        comparison, shadow = self.state.comparisons.get(gate), self.state.shadow
        if shadow is not None and gate in shadow.passed:
            return True
        return comparison is not None and comparison.passed_at is not None

    @property
    def sessions(self) -> tuple[int, int]:
        """Measured sessions whose watermark has passed: stable, canary."""
        return self.state.sessions[0], self.state.sessions[1]
