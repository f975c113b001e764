"""The pin protocol under a hypothesis state machine; what must hold is in `pins_world`."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gateway.domain.pins import Ask
from gateway.domain.rollout import RAISE_LEAD, Deployment, Rollout, Weight, next_phase
from tests.domain.pins_world import PROMPT_POLL, Call, Exchange, Worker, World

WORKERS = 3
# Conversations carry an assistant turn from the second request on; users send whatever they like.
CONVERSATIONS = [b"conversation-%d" % i for i in range(3)]
SESSIONS = CONVERSATIONS + [b"user-%d" % i for i in range(3)]
WEIGHTS = st.sampled_from([0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0])
RATES = st.sampled_from([1.0, 0.5])
MOMENTS = st.floats(0.001, 0.4)
GAPS = st.one_of(
    MOMENTS,
    st.floats(0.4, 3.0),
    st.sampled_from(
        [6.0, 16.0, 60.0, 301.0, 1000.0, 3000.0, 3540.0, 3585.0, 3593.0, 3598.0, 3650.0, 80_000.0]
    ),
)
replace = msgspec.structs.replace


class PinsModel(RuleBasedStateMachine):
    @initialize(weight=WEIGHTS)
    def begin(self, weight: float) -> None:
        self.world = World(WORKERS, Deployment("p", live=1))
        self.started = self.steps = 0
        for session in CONVERSATIONS[:2]:
            self.world.conversation_since[session] = self.world.now - 1.0
        self.start(weight, 1.0, 1.0)

    def worker(self, data: Any) -> Worker:
        return self.world.workers[data.draw(st.integers(0, WORKERS - 1), label="worker")]

    # --- requests

    def ask(self, session: bytes | None, turn: bool, draw: float = 0.0) -> Ask:
        if session in CONVERSATIONS:
            turn = session in self.world.conversation_since
        return Ask(session, turn, draw)

    @rule(
        data=st.data(),
        session=st.sampled_from([*SESSIONS, None]),
        turn=st.booleans(),
        draw=st.floats(0, 0.999),
    )
    def request(self, data: Any, session: bytes | None, turn: bool, draw: float) -> None:
        self.world.receive(self.worker(data), self.ask(session, turn, draw))

    @rule(
        session=st.sampled_from(SESSIONS),
        turns=st.lists(st.tuples(st.integers(0, WORKERS - 1), st.booleans(), GAPS), min_size=2, max_size=4),
        flush=st.booleans(),
    )
    def talk(self, session: bytes, turns: list[tuple[int, bool, float]], flush: bool) -> None:
        """One request after the other, none delayed by more than the faults that there are."""
        for number, turn, gap in turns:
            exchange = self.world.receive(self.world.workers[number], self.ask(session, turn))
            self.world.run_healthy(flush=flush)
            self.world.advance(gap)
            if exchange in self.world.exchanges and exchange.assignment is not None:
                self.world.end(exchange)

    @rule(
        numbers=st.lists(st.integers(0, WORKERS - 1), min_size=2, max_size=3), gap=MOMENTS, turn=st.booleans()
    )
    def everyone_talks(self, numbers: list[int], gap: float, turn: bool) -> None:
        self.all_talk(SESSIONS, numbers, gap, turn)

    def all_talk(self, sessions: list[bytes], numbers: list[int], gap: float, turn: bool) -> None:
        for number in numbers:
            for session in sessions:
                exchange = self.world.receive(self.world.workers[number], self.ask(session, turn))
                self.world.run_healthy(flush=False)
                if exchange.assignment is not None:
                    self.world.end(exchange)
            self.world.advance(gap)

    @precondition(lambda self: self.decided())
    @rule(data=st.data())
    def response_ends(self, data: Any) -> None:
        self.world.end(data.draw(st.sampled_from(self.decided()), label="exchange"))

    def decided(self) -> list[Exchange]:
        return [e for e in self.world.exchanges if e.assignment is not None]

    # --- messages

    @precondition(lambda self: self.world.calls)
    @rule(data=st.data(), what=st.sampled_from(["apply", "deliver", "both", "give_up"]))
    def message(self, data: Any, what: str) -> None:
        call: Call = data.draw(st.sampled_from(self.world.calls), label="call")
        if what in ("apply", "both"):
            self.world.apply(call)
        if what in ("deliver", "both"):
            self.world.deliver(call)
        if what == "give_up":
            self.world.give_up(call)

    @rule(seconds=GAPS, healthy=st.booleans())
    def time_passes(self, seconds: float, healthy: bool) -> None:
        if healthy:
            self.world.run_healthy(flush=True)
        self.world.advance(seconds)

    # --- faults

    @rule(data=st.data(), what=st.sampled_from(["documents", "pins", "reads", "documents and pins"]))
    def cut_off(self, data: Any, what: str) -> None:
        worker = self.worker(data)
        self.world.view(worker)
        worker.cut_off |= "documents" in what
        worker.keys_down |= "pins" in what
        worker.reads_down |= what == "reads"
        for exchange in self.world.exchanges:
            if exchange.worker is worker:
                exchange.calm = False

    @rule()
    def heals(self) -> None:
        for worker in self.world.workers:
            worker.cut_off = worker.keys_down = worker.reads_down = False

    @rule(data=st.data(), lag=st.floats(0.0, PROMPT_POLL), clock_error=st.floats(-0.2, 0.2))
    def lags(self, data: Any, lag: float, clock_error: float) -> None:
        worker = self.worker(data)
        worker.lag, worker.clock_error = lag, clock_error

    @rule(data=st.data(), killed=st.booleans())
    def forgets(self, data: Any, killed: bool) -> None:
        worker = self.worker(data)
        if killed:
            self.world.kill(worker)
        elif worker.cache:
            del worker.cache[data.draw(st.sampled_from(sorted(worker.cache)), label="evicted")]

    # --- what people do

    @precondition(lambda self: self.world.deployment.rollout is None)
    @rule(weight=WEIGHTS, q1=RATES, q0=RATES)
    def start(self, weight: float, q1: float, q0: float) -> None:
        self.started += 1
        now, live = self.world.now, self.world.deployment.live
        assert live is not None
        first = Weight(weight, now + RAISE_LEAD, q1, q0)
        rollout = Rollout(
            f"r{self.started}", "p", live + 1, live, f"salt-{self.started}", "progressing", (first,), now, "x"
        )
        self.world.commit(replace(self.world.deployment, rollout=rollout))

    @precondition(lambda self: self.world.deployment.rollout is not None)
    @rule(value=WEIGHTS, q1=RATES, q0=RATES)
    def set_weight(self, value: float, q1: float, q0: float) -> None:
        rollout, now = self.running(), self.world.now
        in_force = rollout.weight_at(now).value
        at = now + RAISE_LEAD if value > in_force else now
        weights = (*rollout.weights, Weight(value, at, q1, q0))
        phase = next_phase(rollout.phase, "set_weight")
        self.world.commit(
            replace(self.world.deployment, rollout=replace(rollout, weights=weights, phase=phase))
        )

    @precondition(lambda self: self.world.deployment.rollout is not None)
    @rule(
        value=WEIGHTS,
        after=st.one_of(st.floats(0.0, 1.5), st.floats(0.75, 1.25)),
        numbers=st.lists(st.integers(0, WORKERS - 1), min_size=2, max_size=3),
        gap=st.floats(0.001, 0.1),
    )
    def talk_about_a_step(self, value: float, after: float, numbers: list[int], gap: float) -> None:
        self.set_weight(value, 1.0, 1.0)
        self.world.advance(after)
        self.steps += 1
        newcomers = [b"user-of-step-%d-%d" % (self.steps, i) for i in range(4)]
        self.all_talk(newcomers, numbers, gap, False)

    @precondition(lambda self: self.world.deployment.rollout is not None)
    @rule()
    def pause_or_resume(self) -> None:
        rollout = self.running()
        phase = next_phase(rollout.phase, "pause" if rollout.phase == "progressing" else "resume")
        self.world.commit(replace(self.world.deployment, rollout=replace(rollout, phase=phase)))

    @precondition(lambda self: self.world.deployment.rollout is not None)
    @rule(how=st.sampled_from(["roll_back", "abort", "promote"]))
    def finish(self, how: Any) -> None:
        rollout = self.running()
        next_phase(rollout.phase, how)
        live = rollout.candidate if how == "promote" else rollout.baseline
        self.world.commit(replace(self.world.deployment, rollout=None, live=live))

    def running(self) -> Rollout:
        rollout = self.world.deployment.rollout
        assert rollout is not None
        return rollout
