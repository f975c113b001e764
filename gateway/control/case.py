"""One rollout's evidence as the controller holds it: the fold, its place in the log, and what was decided.

The fold is a function of the log alone, so a controller that dies is succeeded by one that folds on from the
last checkpoint (or from the log's beginning) and comes to the same verdicts. A `Decision` says from which
place in the log and at what time a verdict was reached: `control.replay` reaches it again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

import msgspec

from gateway.analysis.decide import decide
from gateway.analysis.evidence import Evidence
from gateway.analysis.rules import Rules
from gateway.analysis.verdict import Position, Verdict
from gateway.control.baseline import NOTHING, Beginning, Past, Recent, past_of, read_beginning
from gateway.control.exemplars import Exemplars
from gateway.control.oversight import LOOK, UNKNOWN, Standing, standing
from gateway.control.traffic import Traffic
from gateway.domain.observation import decode_batch
from gateway.domain.rollout import Rollout
from gateway.errors import GatewayError
from gateway.storage import codec, keys
from gateway.storage.base import Documents, Logs, Put, Record

logger = logging.getLogger(__name__)

PAGE = 200  # batches read at once


class Checkpoint(msgspec.Struct, frozen=True):
    """The fold after the batch at `position` in the log; empty evidence: the rollout has ended. `size`: bytes
    of the batches up to there."""

    position: int
    evidence: bytes
    recent: Recent | None = None
    size: int = 0


class Decision(msgspec.Struct, frozen=True):
    """`verdict` was reached at `now` (store time, s) from the log up to `position`, with `steps` made.
    `acted`: what was changed on it, "" for nothing."""

    position: int
    now: float
    at: Position
    steps: tuple[float, ...]
    verdict: Verdict
    acted: str = ""


class Summary(msgspec.Struct, frozen=True):
    """What people are shown of a rollout's evidence. `sessions_per_hour`: of the prompt, None before one can
    tell. `judge`: whether it may be believed, and how much of it can be asked for."""

    rollout: str
    decided_at: float
    position: int
    sessions_per_hour: float | None
    verdict: Verdict
    judge: Standing = UNKNOWN


class Case:
    """`rollout` is kept as the deployment has it now. `size`: bytes of the batches up to `position`;
    `checkpointed`: the position from which a successor would go on."""

    def __init__(
        self, rollout: Rollout, evidence: Evidence, position: int, now: float, recent: Recent | None = None
    ) -> None:
        self.rollout = rollout
        self.evidence = evidence
        self.recent = recent or Recent.of(evidence.state.rules.freeze_after)
        self.position = self.checkpointed = position
        self.size = 0
        self.traffic = Traffic(now)
        self.exemplars = Exemplars()
        self.decided_at = 0.0
        self.checkpoint_at = now
        self.shown_at = 0.0
        self.recorded: Decision | None = None
        self.newest: Decision | None = None
        self.sampled_at = now
        self.standing = UNKNOWN
        self.looked_at = float("-inf")

    @classmethod
    async def open(cls, store: Documents, rollout: Rollout, now: float) -> Case:
        """From the checkpoint, if there is one. Raises `GatewayError` for one that cannot be gone on from."""
        document = await store.get(keys.checkpoint(rollout.id))
        kept = None if document is None else codec.decode_document(document, Checkpoint)
        if kept is not None and kept.evidence:
            case = cls(rollout, restored(kept), kept.position, now, kept.recent)
            case.size = kept.size
        else:
            case = cls(rollout, begin(rollout, await read_beginning(store, rollout.id)), 0, now)
        case.follow(rollout)
        return case

    def follow(self, rollout: Rollout) -> None:
        """The deployment has changed: steps that were made count from the pins of their time on."""
        self.rollout = rollout
        for at in steps_of(rollout):
            self.evidence.step(at)

    async def read(self, store: Logs) -> bool:
        """Fold what is new in the log, or until a rollback is due; whether there was anything."""
        anything = False
        while True:
            page = await store.read(keys.evidence(self.rollout.id), after=self.position, limit=PAGE)
            anything = anything or bool(page)
            if self._fold(page) or len(page) < PAGE:
                return anything

    def _fold(self, page: Sequence[Record]) -> bool:
        alarmed = self.evidence.alarm
        for record in page:
            self.position = record.position
            self.size += len(record.value)
            try:
                batch = decode_batch(record.value)
            except msgspec.DecodeError as error:
                logger.error("%s: no batch at %d: %s", self.rollout.id, record.position, error)
                continue
            if self.evidence.fold(batch):
                self.traffic.add(batch)
                self.exemplars.add(batch)
                self.recent.add(batch)
            if self.evidence.alarm and not alarmed:
                return True
            if len(page) < PAGE:  # not while it catches up: the lease is renewed between turns
                os.sched_yield()  # a worker on the same processor has requests that wait
        return False

    async def look(self, store: Documents, now: float) -> None:
        """What is known of the judge, now and then. Raises `GatewayError`."""
        if now >= self.looked_at + LOOK:
            self.standing = await standing(store, self.rollout)
            self.looked_at = now

    def decide(self, now: float) -> Decision:
        rollout = self.rollout
        assert rollout.policy is not None
        at = position_of(rollout, now, self.standing)
        verdict = decide(rollout.policy, at, self.evidence, now)
        self.decided_at = now
        self.newest = Decision(self.position, now, at, steps_of(rollout), verdict)
        return self.newest

    def checkpoint(self) -> Put:
        value = codec.encode(Checkpoint(self.position, self.evidence.to_bytes(), self.recent, self.size))
        return Put(keys.checkpoint(self.rollout.id), value, None)

    def summary(self, decision: Decision) -> Put:
        rate = self.traffic.per_hour(decision.now)
        shown = Summary(
            self.rollout.id, decision.now, decision.position, rate, decision.verdict, self.standing
        )
        return Put(keys.verdict(self.rollout.prompt, self.rollout.id), codec.encode(shown), None)

    def past(self, live: int | None, now: float, before: Past | None) -> Past | None:
        """What is worth knowing of the version that is live after the rollout, if it was one of its arms."""
        rollout = self.rollout
        if live is None or live not in (rollout.candidate, rollout.baseline):
            return None
        canary = live == rollout.candidate
        per_hour = self.traffic.per_hour(now)
        return past_of(
            live, canary, self.recent, self.evidence, now, sessions_per_hour=per_hour, before=before
        )

    def is_news(self, decision: Decision) -> bool:
        """Whether the verdict says something else than the one recorded last."""
        last = self.recorded
        if last is None:
            return True
        old, new = last.verdict, decision.verdict
        return (old.action, old.rule, old.hold) != (new.action, new.rule, new.hold)


def begin(rollout: Rollout, known: Beginning = NOTHING) -> Evidence:
    """Before the first batch."""
    assert rollout.policy is not None
    return Evidence.start(rollout.policy, rollout.started_at, known.thresholds, rules_of(rollout.rules))


def restored(kept: Checkpoint) -> Evidence:
    try:
        return Evidence.from_bytes(kept.evidence)
    except msgspec.MsgspecError as error:
        raise GatewayError(f"a checkpoint cannot be read: {error}") from error


def rules_of(changes: dict[str, float]) -> Rules:
    """The rules with what differs from their defaults, counts as whole numbers. Raises `InvalidValue`."""
    defaults = msgspec.structs.asdict(Rules())
    known = {name: type(defaults[name])(value) for name, value in changes.items() if name in defaults}
    return Rules(**{**defaults, **known})


def steps_of(rollout: Rollout) -> tuple[float, ...]:
    """When planned stages after the first, and the watch, took effect."""
    return (*rollout.stages[1:], rollout.watch_since) if rollout.in_watch else rollout.stages[1:]


def position_of(rollout: Rollout, now: float, standing: Standing = UNKNOWN) -> Position:
    weight = rollout.weight_at(now)
    return Position(
        phase=rollout.phase,
        stage=rollout.stage,
        stage_since=rollout.stage_since,
        started_at=rollout.exposed_at,
        weight=weight.value,
        q1=weight.q1,
        q0=weight.q0,
        in_watch=rollout.in_watch,
        in_shadow=rollout.in_shadow,
        raises=rollout.raises,
        idle=rollout.paused_for(now),
        doubt=standing.doubt,
    )
