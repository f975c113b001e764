"""A fleet in a simulated second hand: workers, one store, and messages that are late, lost or cut in two.

Everything that decides is `gateway.domain.pins`; here are only the things that go wrong around it. A store
call is sent, then applied, then answered, in separate steps that may never come; a worker gives up on it
after its limit, and it may still be applied afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.domain.assignment import bucket, sampled
from gateway.domain.pins import (
    LOOK_UP,
    NO_NEW_AFTER,
    NOBODY_AFTER,
    Ask,
    Assignment,
    Found,
    Kept,
    Pin,
    PinRules,
    View,
    decide,
    learn,
    refresh_ttl,
    refreshed,
    resolve,
    settle,
    usable,
)
from gateway.domain.rollout import Deployment, Rollout

RULES = PinRules()
LOOK_UP_LIMIT, CALL_LIMIT = 0.05, 2.0  # s, when a worker gives up
LATE = 3.0  # s after which a call that was not applied never is
FLUSH = 5.0  # s between a pin's use and its refresh being sent
PROMPT_POLL = 0.5  # s, the most by which the view of a worker that reaches the store lies behind
MARKED = ("unpinned", "stale", "request")

Key = tuple[str, bytes]  # rollout, session


@dataclass
class Worker:
    lag: float
    clock_error: float = 0.0
    seen: float = 0.0  # commits up to here are in its view
    cut_off: bool = False  # from the documents: its view stands still
    keys_down: bool = False
    reads_down: bool = False  # look-ups run into their limit, writes do not
    cache: dict[Key, Kept] = field(default_factory=dict)
    due: dict[Key, float] = field(default_factory=dict)  # pins to refresh, and since when
    generation: int = 0  # rises when it is killed


@dataclass
class Call:
    kind: str  # get, set, touch
    worker: Worker
    key: Key
    sent: float
    answer: Callable[[object], None]
    value: Pin | None = None
    ttl: float = 0.0
    generation: int = 0
    applied: bool = False
    result: object = None
    given_up: bool = False

    @property
    def limit(self) -> float:
        return LOOK_UP_LIMIT if self.kind == "get" else CALL_LIMIT


@dataclass
class Exchange:
    worker: Worker
    ask: Ask
    received: float
    promised: Pin | None  # what the session had been promised when the request came
    promised_in: str
    alone: bool  # no other exchange of the session is open, no call of it under way
    calm: bool  # nothing has gone wrong in it
    generation: int
    decided_at: float = 0.0
    staleness: float = 0.0
    known: float = 0.0  # commits up to here were in the view that decided
    assignment: Assignment | None = None  # None while it is looked up
    settled: bool = True
    ended: bool = False


class World:
    def __init__(self, workers: int, first: Deployment) -> None:
        self.now = 1_000_000.0
        self.commits: list[tuple[float, Deployment]] = [(0.0, first)]
        self.rollouts: dict[str, Rollout] = {}
        self.ended_at: dict[str, float] = {}
        self.pins: dict[Key, tuple[Pin, float]] = {}
        lags = [PROMPT_POLL * number / (workers - 1) for number in range(workers)]
        self.workers = [Worker(lag=lag, seen=self.now) for lag in lags]
        self.calls: list[Call] = []
        self.exchanges: list[Exchange] = []
        self.promises: dict[Key, Pin] = {}
        self.conversation_since: dict[bytes, float] = {}

    # --- the truth

    @property
    def deployment(self) -> Deployment:
        return self.commits[-1][1]

    def commit(self, deployment: Deployment) -> None:
        before, after = self.deployment.rollout, deployment.rollout
        if before is not None and (after is None or after.id != before.id):
            self.ended_at[before.id] = self.now
        if after is not None:
            self.rollouts[after.id] = after
        self.commits.append((self.now, deployment))

    def standing(self, key: Key) -> Pin | None:
        pin, expires = self.pins.get(key, (None, 0.0))
        return pin if expires > self.now else None

    def promise(self, rollout: str, session: bytes) -> Pin | None:
        """What an unmarked answer promised, as long as that very pin lives."""
        pin = self.promises.get((rollout, session))
        return pin if pin is not None and self.standing((rollout, session)) is pin else None

    # --- a worker

    def view(self, worker: Worker) -> View:
        if not worker.cut_off:
            worker.seen = max(worker.seen, self.now - worker.lag)
        deployment = next(d for at, d in reversed(self.commits) if at <= worker.seen)
        live = deployment.live
        assert live is not None
        return View(live, deployment.rollout, self.now + worker.clock_error, self.now - worker.seen)

    def receive(self, worker: Worker, ask: Ask) -> Exchange:
        running = self.deployment.rollout
        promised_in = running.id if running is not None else ""
        session = ask.session or b""
        exchange = Exchange(
            worker=worker,
            ask=ask,
            received=self.now,
            promised=self.promise(promised_in, session),
            promised_in=promised_in,
            alone=not any(e.ask.session == ask.session and not e.ended for e in self.exchanges)
            and not any(call.key[1] == ask.session for call in self.calls),
            calm=not (worker.cut_off or worker.keys_down or worker.reads_down),
            generation=worker.generation,
        )
        for other in self.exchanges:
            if other.ask.session == ask.session:
                other.alone = False
        self.exchanges.append(exchange)
        self.assign(exchange)
        return exchange

    def assign(self, exchange: Exchange) -> None:
        view = self.view(exchange.worker)
        key = (view.rollout.id if view.rollout is not None else "", exchange.ask.session or b"")
        kept = exchange.worker.cache.get(key)
        if kept is not None and not usable(kept, view.now):
            kept = None
        answer = decide(view, exchange.ask, kept.pin if kept is not None else None, RULES)
        if kept is not None:
            self.check_eviction(view, exchange.ask, key, kept, answer)
        self.go_on(exchange, view, key, answer)

    def go_on(self, exchange: Exchange, view: View, key: Key, answer: object) -> None:
        if answer is LOOK_UP:
            sent = view.now

            def found(result: object) -> None:
                self.looked_up(exchange, key, sent, result)

            self.send("get", exchange.worker, key, found)
            return
        assert isinstance(answer, Assignment)
        exchange.assignment, exchange.decided_at, exchange.staleness = answer, self.now, view.staleness
        exchange.known = exchange.worker.seen
        self.check_rollback(exchange)
        if answer.write:
            assert answer.pin is not None
            exchange.settled = False
            sent = view.now
            self.send(
                "set",
                exchange.worker,
                key,
                lambda result: self.written(exchange, key, sent, result),
                value=answer.pin,
                ttl=RULES.ttl,
            )
        elif answer.pin is not None:
            self.use(exchange.worker, key, view.now)

    def looked_up(self, exchange: Exchange, key: Key, sent: float, found: object) -> None:
        if found == "failed":
            exchange.calm = False
        elif isinstance(found, Pin):
            before = exchange.worker.cache.get(key)
            exchange.worker.cache[key] = learn(before, found, sent, RULES)
        view = self.view(exchange.worker)
        result: Found = found  # type: ignore[assignment]
        answer = resolve(view, exchange.ask, key[0], result, RULES)
        if answer is LOOK_UP:
            key = (view.rollout.id if view.rollout is not None else "", key[1])
        elif isinstance(answer, Assignment):
            key = (answer.rollout, key[1])
        self.go_on(exchange, view, key, answer)

    def written(self, exchange: Exchange, key: Key, sent: float, result: object) -> None:
        if isinstance(result, Pin):
            exchange.worker.cache[key] = learn(exchange.worker.cache.get(key), result, sent, RULES)
            self.use(exchange.worker, key, sent)
        else:
            exchange.calm = False
        if not exchange.settled and exchange.assignment is not None:
            exchange.settled = True
            exchange.assignment = settle(exchange.assignment, result)  # type: ignore[arg-type]

    def use(self, worker: Worker, key: Key, now: float) -> None:
        kept = worker.cache.get(key)
        if kept is not None and refresh_ttl(kept, now, RULES) is not None:
            worker.due.setdefault(key, self.now)

    def flush(self, worker: Worker) -> None:
        for key in list(worker.due):
            del worker.due[key]
            kept = worker.cache.get(key)
            now = self.now + worker.clock_error
            ttl = refresh_ttl(kept, now, RULES) if kept is not None else None
            if kept is None or ttl is None:
                continue

            def answered(result: object, key: Key = key, sent: float = now) -> None:
                kept = worker.cache.get(key)
                if result != "failed" and kept is not None:
                    worker.cache[key] = refreshed(kept, sent, self.now + worker.clock_error, RULES)

            self.send("touch", worker, key, answered, ttl=ttl)

    def end(self, exchange: Exchange) -> None:
        """The response's last byte. A write that is not settled by now marks it."""
        if not exchange.settled and exchange.assignment is not None:
            exchange.settled = True
            exchange.calm = False
            exchange.assignment = settle(exchange.assignment, "failed")
        exchange.ended = True
        self.exchanges.remove(exchange)
        self.check_end(exchange)
        self.conversation_since.setdefault(exchange.ask.session or b"", self.now)

    def kill(self, worker: Worker) -> None:
        worker.generation += 1
        worker.cache.clear()
        worker.due.clear()
        self.exchanges = [e for e in self.exchanges if e.worker is not worker]

    # --- messages

    def send(
        self,
        kind: str,
        worker: Worker,
        key: Key,
        answer: Callable[[object], None],
        value: Pin | None = None,
        ttl: float = 0.0,
    ) -> None:
        call = Call(kind, worker, key, self.now, answer, value, ttl, worker.generation)
        self.calls.append(call)

    def reachable(self, call: Call) -> bool:
        return not (call.worker.keys_down or (call.kind == "get" and call.worker.reads_down))

    def apply(self, call: Call) -> None:
        """The store does it, once."""
        if call.applied or not self.reachable(call):
            return
        call.applied = True
        standing = self.standing(call.key)
        if call.kind == "get":
            call.result = standing
        elif call.kind == "touch":
            if standing is not None:
                self.pins[call.key] = (standing, self.now + call.ttl)
        elif standing is None:
            assert call.value is not None
            self.pins[call.key] = (call.value, self.now + call.ttl)
            call.result = call.value
        else:
            call.result = standing

    def deliver(self, call: Call) -> None:
        if not call.applied or not self.reachable(call):
            return
        self.calls.remove(call)
        if not call.given_up and call.generation == call.worker.generation:
            call.answer(call.result)

    def give_up(self, call: Call) -> None:
        if call.given_up:
            return
        call.given_up = True
        if call.generation == call.worker.generation:
            call.answer("failed")
        if call.applied:
            self.calls.remove(call)

    def run_healthy(self, *, flush: bool) -> None:
        """All calls that can be answered are answered at once; with `flush`, refreshes are sent too."""
        for worker in self.workers if flush else ():
            self.flush(worker)
        while ready := [call for call in self.calls if self.reachable(call)]:
            self.apply(ready[0])
            self.deliver(ready[0])

    def advance(self, seconds: float) -> None:
        """Time passes, and limits run out in their order."""
        target = self.now + seconds
        while True:
            deadlines = [(call.sent + call.limit, 0, call) for call in self.calls if not call.given_up] + [
                (call.sent + LATE, 1, call) for call in self.calls if call.given_up
            ]
            flushes = [(min(w.due.values()) + FLUSH, w) for w in self.workers if w.due]
            at, what, call = min(deadlines, key=lambda d: d[:2], default=(target + 1, 0, None))
            flush_at, worker = min(flushes, key=lambda f: f[0], default=(target + 1, None))
            if min(at, flush_at) > target:
                break
            self.now = max(self.now, min(at, flush_at))
            if worker is not None and flush_at <= at:
                self.flush(worker)
            elif call is not None and what == 0:
                self.give_up(call)
            elif call is not None:
                self.calls.remove(call)
        self.now = target

    # --- what must hold

    def check_eviction(self, view: View, ask: Ask, key: Key, kept: Kept, answer: object) -> None:
        """A pin that is served from a cache stands in the store, and without the cache nothing differs."""
        standing = self.standing(key)
        if not isinstance(answer, Assignment) or answer.reason != "pin":
            return
        assert standing == kept.pin, f"cached {kept}, standing {standing}"
        evicted = decide(view, ask, None, RULES)
        if evicted is LOOK_UP:
            evicted = resolve(view, ask, key[0], standing, RULES)
        assert isinstance(evicted, Assignment)
        assert evicted.version == answer.version, "evicting a cached pin changes the answer"

    def check_rollback(self, exchange: Exchange) -> None:
        """Canary only under a view older than the end of its rollout, and within the bounds of its age."""
        assignment = exchange.assignment
        assert assignment is not None
        if assignment.arm != "canary":
            return
        ended = self.ended_at.get(assignment.rollout, float("inf"))
        assert exchange.known < ended, "canary although the worker knew of the end"
        assert exchange.staleness <= NOBODY_AFTER
        if assignment.reason != "pin":
            assert exchange.staleness <= NO_NEW_AFTER
        if exchange.calm:
            assert exchange.received <= ended + 1.0, "canary more than 1 s after the rollback"

    def check_end(self, exchange: Exchange) -> None:
        assignment = exchange.assignment
        assert assignment is not None
        session = exchange.ask.session
        if session is None:
            assert not assignment.evidence
            return
        marked = assignment.reason in MARKED
        if exchange.alone and exchange.calm:
            assert not marked, f"nothing went wrong, yet it is marked: {assignment}"
        if marked:
            assert not assignment.evidence
            return
        running = self.rollouts.get(exchange.promised_in)
        if running is not None and self.is_bound(exchange, running.id):
            promised = exchange.promised
            if promised is not None:
                assert assignment.version == promised.version, f"{promised} was promised, got {assignment}"
                assert not assignment.rollout or assignment.pin == promised
            self.check_running(exchange, running)
        if assignment.rollout:
            self.check_unit(assignment, session)
            standing = self.standing((assignment.rollout, session))
            if standing is not None and assignment.pin == standing:
                self.promises[assignment.rollout, session] = standing

    def is_bound(self, exchange: Exchange, running: str) -> bool:
        """Whether the promises of rollout `running` bind this answer: until it ends, and unless the worker
        answered from a view in which an older rollout had not yet ended."""
        assert exchange.assignment is not None
        if self.ended_at.get(running, float("inf")) <= exchange.decided_at:
            return False
        if exchange.assignment.rollout:
            return exchange.assignment.rollout == running
        return not any(exchange.known < at <= exchange.decided_at for at in self.ended_at.values())

    def check_running(self, exchange: Exchange, rollout: Rollout) -> None:
        """Conversations that had begun before the rollout stay stable."""
        session = exchange.ask.session
        assert session is not None
        began = self.conversation_since.get(session, float("inf"))
        only_turns = session.startswith(b"conversation")
        in_time = exchange.decided_at < rollout.started_at + RULES.ttl - 1.0
        if only_turns and began < rollout.started_at and in_time:
            assert exchange.assignment is not None
            assert exchange.assignment.arm == "stable", "a running conversation was moved"
            assert not exchange.assignment.evidence

    def check_unit(self, assignment: Assignment, session: bytes) -> None:
        """π is exact: the arm follows from the weight in the pin, and that weight was the rollout's."""
        pin, rollout = assignment.pin, self.rollouts[assignment.rollout]
        assert pin is not None
        assert (pin.arm, pin.version) == (assignment.arm, assignment.version)
        if not assignment.evidence:
            return
        assert pin.arm == ("canary" if bucket(rollout.salt, session) < pin.weight else "stable")
        rate = pin.q1 if pin.arm == "canary" else pin.q0
        assert rate == 1.0 or sampled(rollout.salt, session) < rate
        drawn_under = [w for w in rollout.weights if (w.value, w.q1, w.q0) == (pin.weight, pin.q1, pin.q0)]
        assert pin.weight == 0.0 or any(w.effective_at <= pin.pinned_at for w in drawn_under)
