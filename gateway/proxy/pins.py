"""A worker's pins: the protocol of `domain.pins` on a real store.

    assign ── decided at once ─────────────────────────▶ chosen
       └───── look-up (50 ms, a breaker in the store) ──▶ chosen
    a new pin is written while the model is working, and `Pinning` is settled before the answer's last byte

The store of one machine answers both at once, from shared memory (docs/adr/0029-pins-in-shared-memory.md);
where it cannot, or is a network away, new pins wait for a batch.

Pins that are in use are refreshed in batches. A cached pin that is evicted is looked up again, so the size of
the cache changes what a request costs and never what it is answered with.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from gateway.domain.forgetting import Forgotten, unseen
from gateway.domain.pins import (
    Ask,
    Assignment,
    Found,
    Kept,
    LookUp,
    Pin,
    PinRules,
    View,
    decide,
    decode_pin,
    encode_pin,
    learn,
    refresh_ttl,
    refreshed,
    resolve,
    settle,
    usable,
)
from gateway.errors import GatewayError
from gateway.proxy.sessions import Recent, Sessions
from gateway.storage import keys
from gateway.storage.base import Keys, Later

logger = logging.getLogger(__name__)

WRITE_EVERY: Final = 0.01  # s; new pins are written together, for a transaction costs more than what it holds
REFRESH_EVERY: Final = 5.0  # s
REFRESH_BATCH: Final = 5000  # keys in one call
CLEARED_MARGIN: Final = 0.25  # s, for errors of a worker's estimate of the store's clock
CLEARED_SIZE: Final = 10_000  # sessions; one counts while a look-up takes

Chosen = Callable[[Assignment, "Pinning | None"], None]


class Views(Protocol):
    """What the board asks of the worker's snapshot."""

    def view(self, prompt: str) -> View: ...

    def store_now(self) -> float: ...


class Writer(Protocol):
    """What a pinning asks of its board."""

    def write(self, pinning: Pinning) -> None: ...


@dataclass(slots=True)
class PinCounts:
    """Totals since the start."""

    lookups: int = 0
    failed_lookups: int = 0
    writes: int = 0
    failed_writes: int = 0
    lost: int = 0  # another worker's pin stood already, with another arm


class Pinning:
    """A pin that is being written. Nothing is written before `start`.

    `settled`: the answer may end. `assignment` may still change afterwards, from unpinned to what a late
    write proves: of all that raced for the session, only the one whose pin stands is evidence. `known`:
    it no longer will. `after`: what is to be recorded then."""

    __slots__ = ("_board", "_done", "after", "assignment", "drawn", "known", "session", "settled")

    def __init__(self, board: Writer, session: bytes, drawn: Assignment) -> None:
        self._board = board
        self._done: Callable[[], None] | None = None
        self.drawn = drawn
        self.session = session
        self.assignment = drawn
        self.settled = False
        self.known = False
        self.after: Any = None

    def start(self, done: Callable[[], None]) -> None:
        """Write; `done` is called once it is known what stands, or that it cannot be known in time."""
        self._done = done
        self._board.write(self)

    def give_up(self) -> None:
        if not self.settled:
            self.settle("failed")

    def settle(self, winner: Pin | Literal["failed"]) -> None:
        self.assignment = settle(self.drawn, winner)
        if self.settled:
            return
        self.settled = True
        done, self._done = self._done, None  # it holds the exchange, which holds this: a cycle
        if done is not None:
            done()


class PinBoard:
    """`patience` bounds, in seconds, how long an answer's end waits for a pin that is being written."""

    def __init__(self, store: Keys, views: Views, rules: PinRules, *, size: int, patience: float) -> None:
        self.counts = PinCounts()
        self.known: Callable[[Pinning], None] = lambda pinning: None  # called once for each that is written
        self._store = store
        self._views = views
        self._rules = rules
        self._ttl = min(rules.ttl, rules.max_age)
        self.sessions = Sessions(size)
        self._patience = patience
        self._asking: dict[bytes, list[tuple[str, Ask, Chosen]]] = {}
        self._new: list[Pinning] = []  # to be written
        self._late: list[_Write] = []  # in a batch
        self._refresh: dict[bytes, tuple[str, float]] = {}  # by session: rollout, time to live
        self._cleared: OrderedDict[bytes, float] = OrderedDict()  # by session: what was asked before is void
        self._told: dict[str, Forgotten] = {}  # by prompt
        self._tasks: set[asyncio.Task[None]] = set()

    def assign(self, prompt: str, ask: Ask, recent: Recent | None, chosen: Chosen) -> None:
        """Calls `chosen`, now or after a look-up. `recent`: of `sessions`, if the request is of one."""
        view = self._views.view(prompt)
        cached = None
        session, rollout = ask.session, view.rollout
        if session is not None and rollout is not None and recent is not None:
            kept = recent.kept
            if kept is not None and recent.rollout == rollout.id and usable(kept, view.now):
                cached = kept.pin
                self._keep_alive(session, rollout.id, kept, view.now)
        result = decide(view, ask, cached, self._rules)
        if isinstance(result, LookUp):
            self._look_up(prompt, ask, chosen)
        else:
            self._give(result, session, chosen)

    def _give(self, assignment: Assignment, session: bytes | None, chosen: Chosen) -> None:
        if not assignment.write or session is None:
            chosen(assignment, None)
            return
        chosen(assignment, Pinning(self, session, assignment))

    # --- the cache

    def forget(self, told: Forgotten) -> None:
        """An operator has cleared pins: what is cached of them, and what was asked before, is void."""
        before = self._told.get(told.prompt)
        seen = 0 if before is None or before.rollout != told.rollout else before.count
        self._told[told.prompt] = told
        news = unseen(told, seen)
        if news is None:
            for session in [each for each, recent in self.sessions.all() if recent.rollout == told.rollout]:
                self._drop(session)
            news = told.sessions
        for cleared in news:
            session = bytes.fromhex(cleared.session)
            self._drop(session)
            self._cleared[session] = cleared.at + CLEARED_MARGIN
        while len(self._cleared) > CLEARED_SIZE:
            self._cleared.popitem(last=False)

    def _drop(self, session: bytes) -> None:
        self.sessions.of(session).kept = None
        self._refresh.pop(session, None)

    def _is_void(self, session: bytes, asked_at: float) -> bool:
        at = self._cleared.get(session)
        return at is not None and asked_at <= at

    def _learn(self, session: bytes, rollout: str, pin: Pin, asked_at: float) -> None:
        if self._cleared and self._is_void(session, asked_at):
            return
        recent = self.sessions.of(session)
        before = recent.kept if recent.rollout == rollout else None
        kept = recent.kept = learn(before, pin, asked_at, self._rules)
        recent.rollout = rollout
        self._keep_alive(session, rollout, kept, asked_at)

    # --- look-ups

    def _look_up(self, prompt: str, ask: Ask, chosen: Chosen) -> None:
        """One call for all requests of a session that wait for it."""
        session, rollout = ask.session, self._views.view(prompt).rollout
        assert session is not None and rollout is not None
        waiting = self._asking.get(session)
        if waiting is not None:
            waiting.append((prompt, ask, chosen))
            return
        asked_at = self._views.store_now()
        value = self._store.get_at_once(keys.pin(rollout.id, session.hex()))
        if not isinstance(value, Later):
            self.counts.lookups += 1
            self._heard([(prompt, ask, chosen)], session, rollout.id, self._found(value), asked_at)
            return
        self._asking[session] = [(prompt, ask, chosen)]
        self._spawn(self._ask_store(session, rollout.id))

    async def _ask_store(self, session: bytes, rollout: str, again: bool = False) -> None:
        self.counts.lookups += 1
        asked_at = self._views.store_now()
        found: Found = "failed"
        try:
            found = self._found(await self._store.get_key(keys.pin(rollout, session.hex())))
        except GatewayError:
            self.counts.failed_lookups += 1
        except Exception:  # nobody may wait for ever
            logger.exception("a pin could not be looked up")
        if isinstance(found, Pin) and not again and self._is_void(session, asked_at):
            await self._ask_store(session, rollout, again=True)
            return
        self._heard(self._asking.pop(session), session, rollout, found, asked_at)

    def _found(self, value: bytes | None) -> Found:
        try:
            return None if value is None else decode_pin(value)
        except GatewayError:  # bytes that no gateway wrote
            self.counts.failed_lookups += 1
            return "failed"

    def _heard(
        self,
        waiting: list[tuple[str, Ask, Chosen]],
        session: bytes,
        rollout: str,
        found: Found,
        asked_at: float,
    ) -> None:
        if isinstance(found, Pin):
            self._learn(session, rollout, found, asked_at)
        for prompt, ask, chosen in waiting:
            result = resolve(self._views.view(prompt), ask, rollout, found, self._rules)
            if isinstance(result, LookUp):
                self._look_up(prompt, ask, chosen)
            else:
                self._give(result, session, chosen)

    # --- writes

    def write(self, pinning: Pinning) -> None:
        """With the others of this turn of the event loop: what is written together is written while the
        processor has it at hand, and no model answers before that."""
        self._new.append(pinning)
        if len(self._new) == 1:
            asyncio.get_running_loop().call_soon(self._write_new)

    def _write_new(self) -> None:
        batch, self._new = [_Write(pinning, self._ttl) for pinning in self._new], []
        if not batch:  # `close` was faster
            return
        asked_at = self._views.store_now()
        stand = self._store.set_all_at_once([each.item for each in batch])
        if not isinstance(stand, Later):
            self._stand(batch, stand, asked_at)
            return
        self._late += batch
        if len(self._late) == len(batch):
            asyncio.get_running_loop().call_later(WRITE_EVERY, self._write_late)

    def _write_late(self) -> None:
        """The first of a batch waits longest, and a model takes longer than that."""
        batch, self._late = self._late, []
        if not batch:
            return
        self._spawn(self._write_batch(batch))
        asyncio.get_running_loop().call_later(self._patience, _give_up, batch)

    async def _write_batch(self, batch: list[_Write]) -> None:
        """Goes on beyond the patience: what stands in the end is worth knowing."""
        asked_at = self._views.store_now()
        try:
            stand = await self._store.set_all_if_absent([each.item for each in batch])
        except GatewayError:
            self.counts.writes += len(batch)
            self.counts.failed_writes += len(batch)
            for each in batch:
                self._settle(each.pinning, "failed")
            return
        self._stand(batch, stand, asked_at)

    def _stand(self, batch: list[_Write], stand: Sequence[bytes], asked_at: float) -> None:
        """It is known which values stand."""
        self.counts.writes += len(batch)
        for each, value in zip(batch, stand, strict=True):
            pinning, drawn = each.pinning, each.pinning.drawn
            try:
                winner = each.pin if value == each.item[1] else decode_pin(value)
            except GatewayError:  # bytes that no gateway wrote
                self.counts.failed_writes += 1
                self._settle(pinning, "failed")
                continue
            if winner.arm != each.pin.arm:
                self.counts.lost += 1
            self._learn(pinning.session, drawn.rollout, winner, asked_at)
            self._settle(pinning, winner)

    def _settle(self, pinning: Pinning, winner: Pin | Literal["failed"]) -> None:
        pinning.settle(winner)
        pinning.known = True
        self.known(pinning)

    # --- refreshes

    def _keep_alive(self, session: bytes, rollout: str, kept: Kept, now: float) -> None:
        ttl = refresh_ttl(kept, now, self._rules)
        if ttl is not None:
            self._refresh[session] = (rollout, ttl)

    async def run(self) -> None:
        """Refresh what was used, in batches, until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_EVERY)
            try:
                await self.refresh()
            except GatewayError as error:
                logger.warning("pins were not refreshed: %s", error.message)

    async def refresh(self) -> None:
        """Raises `StoreUnavailable`; what was not sent is refreshed at its next use."""
        due, self._refresh = list(self._refresh.items()), {}
        for start in range(0, len(due), REFRESH_BATCH):
            batch = due[start : start + REFRESH_BATCH]
            sent = self._views.store_now()
            await self._store.touch(
                [(keys.pin(rollout, session.hex()), ttl) for session, (rollout, ttl) in batch]
            )
            answered = self._views.store_now()
            for session, (rollout, _) in batch:
                recent = self.sessions.of(session)
                if recent.kept is not None and recent.rollout == rollout:
                    recent.kept = refreshed(recent.kept, sent, answered, self._rules)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for writes under way: sessions that were answered should keep their version."""
        self._write_new()
        self._write_late()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * self._patience)


class _Write:
    """A pin on its way into the store."""

    __slots__ = ("item", "pin", "pinning")

    def __init__(self, pinning: Pinning, ttl: float) -> None:
        pin = pinning.drawn.pin
        assert pin is not None
        key = keys.pin(pinning.drawn.rollout, pinning.session.hex())
        self.pinning: Final = pinning
        self.pin: Final = pin
        self.item: Final = (key, encode_pin(pin), ttl)


def _give_up(batch: list[_Write]) -> None:
    for each in batch:
        each.pinning.give_up()
