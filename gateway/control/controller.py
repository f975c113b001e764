"""The controller: one in a fleet folds the evidence of all running rollouts, decides, and acts.

    lease      one holder acts; all of its writes are fenced by its token and compare revisions
    follow     deployments, by the change feed
    read       what is new in each rollout's log goes into its fold
    decide     after each batch, at most every `TURN`; at least every `IDLE`, for bakes and watches
    act        one commit: the deployment and the verdict in the audit log

Only changes of what is served are fenced commits of deployments; everything else can be lost and found again,
because the fold is a function of the log. Nothing else runs in this process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from gateway.control.acting import ACTOR, Act, Seen, act
from gateway.control.baseline import read_past
from gateway.control.case import Case, Checkpoint, Decision
from gateway.control.changes import Change, Current, commit
from gateway.control.plan import By
from gateway.control.retention import SWEEP, WEEK, Keep, Retention
from gateway.control.rollouts import change_of
from gateway.domain.rollout import Deployment, Rollout
from gateway.errors import Conflict, FenceLost, GatewayError, StoreRevised, TransitionRefused
from gateway.storage import codec, keys
from gateway.storage.base import Document, Fence, Lease, Put, Store

logger = logging.getLogger(__name__)

TURN = 0.2  # s
IDLE = 1.0  # s without new evidence after which a verdict is asked for all the same
LEASE = 3.0  # s; a controller that was killed is succeeded after it
RENEW = 1.0  # s
CHECKPOINT = 30.0  # s; also how often a decision is recorded that says nothing new
SHOW = 5.0  # s
SAMPLE = 10.0  # s between looks at weight and rates
RATE_WINDOW = 60.0  # s of traffic that sample rates follow
PAGE = 1000


class Running:
    """A deployment whose rollout is under a policy, with the revision that the next commit compares."""

    __slots__ = ("deployment", "revision")

    def __init__(self, deployment: Deployment, revision: int) -> None:
        self.deployment = deployment
        self.revision = revision

    @property
    def rollout(self) -> Rollout:
        assert self.deployment.rollout is not None
        return self.deployment.rollout


class Controller:
    """`owner` names this process; `cap`: measured sessions per second of a prompt, at most; `keep`: how long
    evidence is kept."""

    def __init__(self, store: Store, *, owner: str, cap: float, keep: Keep = WEEK) -> None:
        self.lease: Lease | None = None
        self.cases: dict[str, Case] = {}  # by rollout
        self.events: Counter[str] = Counter()  # changes made since the start
        self.on_recorded: Callable[[Case, int], None] = unheard  # news is in `recorded`; ns when it was asked
        self._store = store
        self._owner = owner
        self._cap = cap
        self._running: dict[str, Running] = {}  # by prompt
        self._revision = 0
        self._retention = Retention(store, keep)
        self._sweeping: asyncio.Task[None] | None = None
        self._swept_at = float("-inf")
        self._renewed = float("-inf")
        self._failing = False
        self._unreadable: set[str] = set()  # rollouts whose evidence cannot be gone on from, said once

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then the lease is free for another at once."""
        while not stop.is_set():
            await self._try_turn()
            try:
                await asyncio.wait_for(stop.wait(), TURN)
            except TimeoutError:
                continue
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self.lease is not None:
            try:
                await self._store.release(keys.CONTROLLER, self._owner)
            except GatewayError as error:
                logger.warning("the lease runs out by itself: %s", error.message)

    async def _try_turn(self) -> None:
        try:
            await self.turn()
            if self._failing:
                logger.info("the store answers again")
            self._failing = False
        except FenceLost:
            self._give_up("another controller has taken over")
        except GatewayError as error:
            if not self._failing:
                logger.error("no decisions for now: %s", error.message)
            self._failing = True

    async def turn(self) -> None:
        """One look at everything. Raises `FenceLost` or `StoreUnavailable`."""
        tick = await self._store.tick()
        if not await self._hold_lease(tick.now):
            return
        if tick.revision < self._revision:
            logger.critical("the store has lost commits that it had acknowledged: everything is read again")
            self._forget()
        if tick.revision != self._revision:
            await self._follow(tick.revision)
        for running in list(self._running.values()):
            await self._attend(running)
        if tick.now >= self._swept_at + SWEEP and (self._sweeping is None or self._sweeping.done()):
            self._swept_at = tick.now
            self._sweeping = asyncio.create_task(self.sweep())  # a rollback does not wait for it

    async def sweep(self) -> None:
        """Remove evidence that is kept no longer."""
        try:
            await self._retention.sweep(self.cases, self._fence)
        except GatewayError as error:
            logger.warning("evidence that is too old or too large stays for now: %s", error.message)

    # --- the lease

    async def _hold_lease(self, now: float) -> bool:
        if now < self._renewed + RENEW and self.lease is not None:
            return True
        lease = await self._store.acquire(keys.CONTROLLER, self._owner, LEASE)
        self._renewed = now
        if lease is None:
            if self.lease is not None:
                self._give_up("the lease has run out")
            return False
        if self.lease is None or self.lease.token != lease.token:
            logger.info("this controller acts (token %d)", lease.token)
            self._forget()
        self.lease = lease
        return True

    def _give_up(self, why: str) -> None:
        logger.warning("this controller waits: %s", why)
        self.lease = None
        self._forget()

    def _forget(self) -> None:
        self.cases.clear()
        self._running.clear()
        self._revision = 0

    @property
    def _fence(self) -> Fence:
        if self.lease is None:
            raise FenceLost("no lease")
        return Fence(keys.CONTROLLER, self.lease.token)

    # --- deployments

    async def _follow(self, target: int) -> None:
        while self._revision < target:
            since = self._revision
            feed = await self._store.changes(since, prefixes=(keys.DEPLOYMENTS,), limit=PAGE)
            for document in feed.documents:
                await self._changed(document)
            self._revision = max(feed.revision, since)
            if self._revision == since:
                break

    async def _changed(self, document: Document) -> None:
        deployment = codec.decode_document(document, Deployment)
        before = self._running.pop(deployment.prompt, None)
        rollout = deployment.rollout
        if before is not None and (rollout is None or rollout.id != before.rollout.id):
            await self._close(before.rollout.id, deployment)
        if rollout is None or rollout.policy is None:
            return
        self._running[deployment.prompt] = Running(deployment, document.revision)
        case = self.cases.get(rollout.id)
        if case is not None:
            case.follow(rollout)

    async def _close(self, id: str, deployment: Deployment) -> None:
        """The rollout has ended: its state is no longer needed, but for what the next one may start from."""
        case = self.cases.pop(id, None)
        if case is None:
            return
        prompt = deployment.prompt
        now = (await self._store.tick()).now
        puts = [Put(keys.checkpoint(id), codec.encode(Checkpoint(0, b"", size=case.size)), None)]
        past = case.past(deployment.live, now, await read_past(self._store, prompt))
        if past is not None:
            puts.append(Put(keys.past(prompt), codec.encode(past), None))
        await self._write(*puts)

    # --- one rollout

    async def _attend(self, running: Running) -> None:
        rollout = running.rollout
        case = self.cases.get(rollout.id) or await self._open(rollout)
        if case is None:
            return
        news = await case.read(self._store)
        now = (await self._store.tick()).now
        if not news and now < case.decided_at + IDLE:
            return
        await case.look(self._store, now)
        began = time.time_ns()
        decision = case.decide(now)
        done = await self._act(running, case, decision)
        if await self._keep(case, decision, "" if done is None else done.event):
            self.on_recorded(case, began)

    async def _open(self, rollout: Rollout) -> Case | None:
        if rollout.id in self._unreadable:
            return None
        now = (await self._store.tick()).now
        try:
            case = await Case.open(self._store, rollout, now)
        except GatewayError as error:
            if error.status == 503:
                raise
            logger.critical("%s of %s gets no verdict: %s", rollout.id, rollout.prompt, error.message)
            self._unreadable.add(rollout.id)
            return None
        logger.info("%s of %s: evidence from %d on", rollout.id, rollout.prompt, case.position)
        self.cases[rollout.id] = case
        return case

    async def _act(self, running: Running, case: Case, decision: Decision) -> Act | None:
        """Commit what the verdict asks for. Whoever was faster is followed, and asked again next turn."""
        verdict, now = decision.verdict, decision.now
        if self._store.regressed and verdict.action not in ("roll_back", "hold"):
            return None  # what was decided on may be lost
        per_hour = None
        if now >= case.sampled_at + SAMPLE or verdict.action == "advance":
            case.sampled_at = now
            per_hour = case.traffic.per_hour_at_most(now)
        seen = Seen(case.traffic.rate(now, RATE_WINDOW), per_hour, self._cap, case.standing.share)
        try:
            done = act(running.deployment, verdict, seen, now)
        except TransitionRefused as error:
            logger.error("%s: %s is not possible: %s", case.rollout.id, verdict.action, error.message)
            return None
        if done is None:
            return None
        evidence = msgspec.to_builtins(decision)

        async def planned(current: Current) -> Change | None:
            return change_of(current, done.planned, done.event, evidence)

        by = By(ACTOR, f"{verdict.rule}: {verdict.reason}" if done.event not in ("size", "sample") else "")
        prompt = running.deployment.prompt
        try:
            await commit(self._store, prompt, by, planned, expected=running.revision, fence=self._fence)
        except (Conflict, StoreRevised) as error:
            logger.info("%s: %s waits a turn: %s", case.rollout.id, done.event, error.message)
            return None
        logger.info("%s of %s: %s (%s)", case.rollout.id, prompt, done.event, verdict.reason)
        self.events[done.event] += 1
        return done

    async def _keep(self, case: Case, decision: Decision, acted: str) -> bool:
        """Record what was decided where it is news or was acted on, and now and then all the same; whether it
        was news."""
        due = decision.now >= case.checkpoint_at + CHECKPOINT
        news = bool(acted) or case.is_news(decision)
        if news or due:
            record = msgspec.structs.replace(decision, acted=acted)
            await self._store.append(keys.decisions(case.rollout.id), [codec.encode(record)])
            case.recorded = record
        puts = []
        if due and not acted:
            case.checkpoint_at = decision.now
            puts.append(case.checkpoint())
        if news or decision.now >= case.shown_at + SHOW:
            case.shown_at = decision.now
            puts.append(case.summary(decision))
        if puts:
            position = case.position
            await self._write(*puts)
            if due and not acted:
                case.checkpointed = position
        return news

    async def _write(self, *puts: Put) -> None:
        await self._store.commit(puts, fence=self._fence)


def unheard(*_: object) -> None:
    """Nobody listens."""
