"""Evidence of measured sessions, from this worker to the log of their rollout.

    pinned   a pin is settled: a session that this worker's own pin drew is `Assigned`
    judged   the first answer of a judged session goes to the judge's queue (`proxy.judging`)
    ended    an answer's last byte has gone out, or there will be none: its request is `Observed`

Records wait in a buffer, as bytes already (those of a batch at once would stop the loop for .6 ms), and go
out every 250 ms in batches of each rollout, numbered by writer, so that those whose append timed out are sent
again as they were and folded once. The buffer is bounded: what does not fit is dropped and counted in the
batches. A rollout in which nothing happens still gets an empty batch now and then, because the fold's clock
is the log's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from gateway.domain.assignment import judged
from gateway.domain.observation import (
    Assigned,
    Drawn,
    Evidence,
    Observed,
    Outcome,
    Scored,
    Told,
    encode_written,
    written,
)
from gateway.domain.pins import Pin
from gateway.domain.rollout import Rollout
from gateway.errors import GatewayError
from gateway.proxy.choice import Choice
from gateway.proxy.judging import Said
from gateway.proxy.pins import Pinning
from gateway.proxy.shadowing import Shadowed
from gateway.storage import keys
from gateway.storage.base import Logs

logger = logging.getLogger(__name__)

FLUSH_EVERY: Final = 0.25  # s
HEARTBEAT: Final = 2.0  # s without a record after which an empty batch goes out
BUFFER: Final = 50_000  # records, about 13 MB
BATCH: Final = 100  # records, about 10 KB: what the controller folds without letting go of the processor
AT_ONCE: Final = 20  # batches of a rollout

Doubting = Callable[[Rollout, Drawn, tuple[str, ...], Said], None]
Judging = Callable[[Rollout, Drawn, Said], str]  # answers why it cannot be judged, or ""
Shadowing = Callable[[Rollout, Drawn, Shadowed], None]


class Seen(NamedTuple):
    """What is known of a request at its end. It was received at `started_at`; times are s since it went to
    the provider."""

    started_at: float
    outcome: Outcome
    total: float
    first_token: float | None
    tokens: int | None
    again: bool
    cost: float | None = None  # USD as if nothing had been cached
    said: Said | None = None  # where it may have to be judged
    doubted: Said | None = None  # where it is flagged, and somebody looks at that again
    flags: tuple[str, ...] = ()
    shadowed: Shadowed | None = None  # where the candidate may be asked the same
    trace: bytes = b""  # of its span


class Book:
    """One rollout's records on their way to its log."""

    __slots__ = ("dropped", "records", "sequence", "unsent", "written_at")

    def __init__(self, now: float) -> None:
        self.records: list[msgspec.Raw] = []
        self.dropped = 0
        self.sequence = 0
        self.unsent: list[bytes] = []  # batches that the store has not acknowledged
        self.written_at = now


class Recorder:
    """`writer` names this start of this process. `running` are the rollouts under a policy, by id; `now` is
    the store's time as the worker estimates it."""

    def __init__(
        self,
        store: Logs,
        *,
        writer: str,
        running: Callable[[], Mapping[str, Rollout]],
        now: Callable[[], float],
        buffer: int = BUFFER,
    ) -> None:
        self.dropped = 0  # records, since the start
        self._buffer = buffer
        self.judge: Judging | None = None  # takes the first answers of judged sessions
        self.doubt: Doubting | None = None  # takes flagged answers
        self.shadow: Shadowing | None = None  # takes first requests of a shadow stage
        self._store = store
        self._writer = writer
        self._running = running
        self._now = now
        self._room = buffer
        self._books: dict[str, Book] = {}
        self._failing = False
        self._flushing = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """Records that are in no batch yet."""
        return self._buffer - self._room

    # --- what happens

    def pinned(self, pinning: Pinning) -> None:
        """It is known which pin stands: the last word on whether the session is evidence."""
        assignment, after = pinning.assignment, pinning.after
        pin = assignment.pin
        if not assignment.evidence or pin is None:
            return
        first = assignment.reason == "weight"  # else another worker's pin stands, and that one told of it
        unit = self._unit(assignment.rollout, pinning.session, pin)
        if unit is None:
            return
        if first:
            self._add(assignment.rollout, Assigned(unit))
        if after is not None:
            self._observe(assignment.rollout, unit, after, first=first)

    def ended(self, choice: Choice, seen: Seen) -> None:
        """A managed request is over."""
        pinning = choice.pinning
        if pinning is not None and not pinning.known:
            pinning.after = seen
            return
        pin = choice.pin
        if pinning is not None:
            pin = pinning.assignment.pin if pinning.assignment.evidence else None
        if pin is None or choice.session is None:
            return
        unit = self._unit(choice.rollout, choice.session, pin)
        if unit is not None:
            first = pinning is not None and pinning.assignment.reason == "weight"
            self._observe(choice.rollout, unit, seen, first=first)

    def measures(self, choice: Choice) -> bool:
        """Whether the answer to this request may become evidence."""
        if choice.rollout not in self._running():
            return False
        pinning = choice.pinning
        return choice.pin is not None or (pinning is not None and pinning.drawn.evidence)

    def counts_turns(self, choice: Choice | None) -> bool:
        """Whether it matters which turn of its session a request is."""
        return choice is not None and self._turn(choice.rollout) > 1

    def _turn(self, id: str) -> int:
        rollout = self._running().get(id)
        return 1 if rollout is None or rollout.policy is None else rollout.policy.judged_turn

    def judges(self, choice: Choice, turns: int) -> bool:
        """Whether the answer to this request may go to the judge: its session's first, if its pin stands, or
        that of the policy's turn; `turns` are the user's so far."""
        pinning, pin, session, turn = choice.pinning, choice.pin, choice.session, self._turn(choice.rollout)
        if pinning is not None:
            pin = pinning.drawn.pin if pinning.drawn.evidence else None
            session = pinning.session
        if self.judge is None or pin is None or session is None:
            return False
        if (pinning is None) if turn == 1 else (turns != turn):
            return False
        unit = self._unit(choice.rollout, session, pin)
        return unit is not None and unit.judged

    def _observe(self, id: str, unit: Drawn, seen: Seen, *, first: bool) -> None:
        later = self._turn(id) > 1
        asked = unit.judged and seen.said is not None and seen.outcome == "ok" and (later or first)
        self._add(id, _observed(unit, seen, first=first, judged=asked and later))
        if self.shadow is not None and first and seen.shadowed is not None:
            self._shadow(id, unit, seen, seen.shadowed)
        rollout = self._running().get(id)
        if rollout is None:
            return
        if self.doubt is not None and seen.doubted is not None:
            self.doubt(rollout, unit, seen.flags, seen.doubted)
        if self.judge is None or seen.said is None or not asked:
            return
        if cause := self.judge(rollout, unit, seen.said):
            self.unscored(id, unit, cause)

    def _shadow(self, id: str, unit: Drawn, seen: Seen, shadowed: Shadowed) -> None:
        rollout = self._running().get(id)
        if self.shadow is None or rollout is None or seen.again:
            return
        if seen.outcome in ("ok", "prompt"):
            self.shadow(rollout, unit, shadowed)

    def unscored(self, rollout: str, unit: Drawn, cause: str) -> None:
        """A judged session's answer never reached the judge."""
        self._add(rollout, Scored(unit, None, self._now(), cause))

    def told(self, id: str, told: Told) -> None:
        """What came of an answer, if the rollout's policy has a goal of that name."""
        rollout = self._running().get(id)
        if rollout is None or rollout.policy is None or not told.session:
            return
        if told.outcome in rollout.policy.outcomes:
            self._add(id, told)

    def _unit(self, id: str, session: bytes, pin: Pin) -> Drawn | None:
        rollout = self._running().get(id)
        if rollout is None or rollout.policy is None:
            return None
        drawn = rollout.drawn_under(pin.weight, pin.q1, pin.q0, pin.pinned_at)
        if drawn is None:  # a history that this worker does not know yet
            return None
        canary = pin.arm == "canary"
        share = drawn.j1 if canary else drawn.j0
        return Drawn(
            session=session,
            canary=canary,
            weight=pin.weight,
            q1=pin.q1,
            q0=pin.q0,
            pinned_at=pin.pinned_at,
            judged="judge" in rollout.policy.tolerance and judged(rollout.salt, session) < share,
            j1=drawn.j1,
            j0=drawn.j0,
        )

    def _add(self, rollout: str, record: Evidence) -> None:
        book = self._books.get(rollout)
        if book is None:
            book = self._books[rollout] = Book(self._now())
        if self._room <= 0:
            book.dropped += 1
            self.dropped += 1
            return
        book.records.append(written(record))
        self._room -= 1

    # --- to the store

    async def run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            await self.flush()

    async def flush(self) -> None:
        """Batches of each rollout that has records or has been silent; what fails is sent again as it
        is. One flush at a time: of two, the one could take the other's next batch for the one it has sent."""
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        running = self._running()
        for id in running:
            if id not in self._books:
                self._books[id] = Book(self._now())
        for id, book in list(self._books.items()):
            if not book.unsent and not self._next(book):
                if id not in running:
                    del self._books[id]
                continue
            try:
                await self._store.append(keys.evidence(id), book.unsent)
            except GatewayError as error:
                if not self._failing:
                    logger.warning("evidence waits: %s", error.message)
                self._failing = True
                continue
            self._failing = False
            book.unsent = []

    def _next(self, book: Book) -> bool:
        """Make the next batches of what waits; False if there is nothing to say."""
        now = self._now()
        if not book.records and now < book.written_at + HEARTBEAT:
            return False
        most = BATCH * AT_ONCE
        taken, book.records = book.records[:most], book.records[most:]
        self._room += len(taken)
        for start in range(0, max(len(taken), 1), BATCH):
            last = start + BATCH >= len(taken)
            at = now if last else book.written_at  # the fold's clock: it must not run ahead of what follows
            book.sequence += 1
            records = taken[start : start + BATCH]
            book.unsent.append(encode_written(self._writer, book.sequence, at, records, book.dropped))
        book.written_at = now
        return True

    async def close(self) -> None:
        """The last batches, as far as the store takes them."""
        most = sum(len(book.records) // (BATCH * AT_ONCE) + 2 for book in self._books.values())
        for _ in range(most):
            if not any(book.records or book.unsent for book in self._books.values()):
                break
            await self.flush()


def _observed(unit: Drawn, seen: Seen, *, first: bool, judged: bool) -> Observed:
    return Observed(
        unit=unit,
        first=first,
        again=seen.again,
        started_at=seen.started_at,
        outcome=seen.outcome,
        total=seen.total,
        first_token=seen.first_token,
        tokens=seen.tokens,
        cost=seen.cost,
        flags=seen.flags,
        trace=seen.trace,
        judged=judged,
    )
