"""Every verdict of a rollout, reached again from its evidence log and compared with the one that was
recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from gateway.analysis.decide import decide
from gateway.analysis.evidence import Evidence
from gateway.control.baseline import Beginning, read_beginning
from gateway.control.case import Decision, begin
from gateway.control.retention import read_kept
from gateway.domain.observation import decode_batch
from gateway.domain.rollout import Rollout
from gateway.errors import InvalidValue
from gateway.storage import codec, keys
from gateway.storage.base import Logs, Record, Store

PAGE = 500
SHOWN = 20  # differences


class Difference(msgspec.Struct, frozen=True):
    """A recorded verdict that the log does not give: `position` in the log, `now` in store time, s."""

    position: int
    now: float
    recorded: str
    replayed: str


class Replay(msgspec.Struct, frozen=True):
    """`partial`: evidence has been removed, or is missing from the beginning, so that verdicts cannot be
    reached again and differences mean nothing; nothing is compared where it is known beforehand."""

    rollout: str
    decisions: int
    agree: bool
    partial: bool
    differences: tuple[Difference, ...] = ()


async def replay(store: Store, rollout: Rollout) -> Replay:
    """Raises `InvalidValue` for a rollout by hand."""
    if rollout.policy is None:
        raise InvalidValue(f"rollout {rollout.id} went by hand: nothing was decided", param="rollout")
    kept = await read_kept(store, rollout.id)
    if kept is not None and kept.cut:
        left = [record async for record in read_all(store, keys.decisions(rollout.id))]
        return Replay(rollout.id, len(left), agree=False, partial=True)
    folded = Folded(store, rollout, await read_beginning(store, rollout.id))
    decisions = 0
    differences: list[Difference] = []
    async for record in read_all(store, keys.decisions(rollout.id)):
        decision = codec.decode(record.value, Decision, key=keys.decisions(rollout.id))
        decisions += 1
        evidence = await folded.up_to(decision.position, decision.steps)
        verdict = decide(rollout.policy, decision.at, evidence, decision.now)
        if verdict != decision.verdict and len(differences) < SHOWN:
            said, says = decision.verdict, verdict
            differences.append(
                Difference(
                    decision.position,
                    decision.now,
                    f"{said.action} ({said.rule}): {said.reason}",
                    f"{says.action} ({says.rule}): {says.reason}",
                )
            )
    return Replay(rollout.id, decisions, not differences, folded.partial, tuple(differences))


class Folded:
    """A rollout's evidence, folded forward."""

    def __init__(self, store: Logs, rollout: Rollout, known: Beginning) -> None:
        self.partial = False
        self._evidence = begin(rollout, known)
        self._log = read_all(store, keys.evidence(rollout.id))
        self._next: Record | None = None
        self._writers: set[str] = set()

    async def up_to(self, position: int, steps: tuple[float, ...]) -> Evidence:
        """Fold through `position`; what comes after is kept for the next call."""
        for at in steps:
            self._evidence.step(at)
        while True:
            record = self._next or await anext(self._log, None)
            self._next = record
            if record is None or record.position > position:
                return self._evidence
            self._next = None
            self._fold(record)

    def _fold(self, record: Record) -> None:
        try:
            batch = decode_batch(record.value)
        except msgspec.DecodeError:
            return  # the controller left it out, too
        if batch.writer not in self._writers:
            self._writers.add(batch.writer)
            self.partial = self.partial or batch.sequence > 1
        self._evidence.fold(batch)


async def read_all(store: Logs, log: str) -> AsyncIterator[Record]:
    after = 0
    while page := await store.read(log, after=after, limit=PAGE):
        for record in page:
            yield record
        after = page[-1].position
