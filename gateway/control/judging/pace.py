"""How many of the sessions that could be judged are: fewer as money or time gets short, not none later.

    spending   the first half of a limit at full rate; from there the rate falls with what is left
    backlog    answers wait for more than half of their time: half the rate, until they no longer do

Rates are halved, so there are few of them; both arms fall alike, so the policy's ratio stays. The controller
takes a rollout's pace over as its sample rates, with which every session's probability is known. One judge in
a fleet sets the pace, by a lease (docs/adr/0023-a-judge-slows-down.md).
"""

from __future__ import annotations

import msgspec

from gateway.control.judging.budget import Budget, Spent, day
from gateway.control.registry import list_all
from gateway.domain.judging import Item
from gateway.domain.rollout import Deployment, Rollout
from gateway.storage import codec, keys
from gateway.storage.base import Put, Store

TURN = 5.0  # s between looks
LEASE = 20.0  # s
HALVES = 6  # the lowest rate is 1/64
LATE, CALM = 0.5, 0.2  # of their time, that answers have waited when they are taken up
SETTLE = 30.0  # s until another rate for the backlog shows what it does
SLOW = "answers wait for too long: more `judge.concurrency`, or another judge process, would help"


class Pace(msgspec.Struct, frozen=True):
    """`share` of the sessions that the policy would have judged; `why` less than all, in words."""

    share: float = 1.0
    why: str = ""


def share_of(committed: float, limit: float) -> float:
    """The rate with so much of a limit spent or promised; 0 is no limit.

    >>> [share_of(spent, 10.0) for spent in (0.0, 4.9, 5.1, 7.6, 9.5, 11.0)]
    [1.0, 1.0, 0.5, 0.25, 0.0625, 0.015625]
    >>> share_of(11.0, 0.0)
    1.0
    """
    share = 1.0
    if limit > 0.0:
        left = 2.0 * (1.0 - committed / limit)
        while share > left and share > 0.5**HALVES:
            share /= 2.0
    return share


class Backlog:
    """How often the rate has been halved because answers wait. `saw`: one was taken up."""

    def __init__(self) -> None:
        self.halves = 0
        self._worst = -1.0
        self._changed_at = float("-inf")

    def saw(self, item: Item, now: float) -> None:
        pinned_at = item.unit.pinned_at
        allowed = item.due_at - pinned_at
        self._worst = max(self._worst, (now - pinned_at) / allowed if allowed > 0.0 else 1.0)

    def turn(self, now: float) -> float:
        """The rate from here on."""
        if now >= self._changed_at + SETTLE:
            worst, self._worst = self._worst, -1.0
            before = self.halves
            if worst > LATE:
                self.halves = min(self.halves + 1, HALVES)
            elif 0.0 <= worst < CALM:
                self.halves = max(self.halves - 1, 0)
            if self.halves != before:
                self._changed_at = now
        return 0.5**self.halves


class Pacer:
    """Limits in USD a day and a rollout; 0: none."""

    def __init__(
        self, store: Store, budget: Budget, owner: str, *, per_day: float, per_rollout: float
    ) -> None:
        self.backlog = Backlog()
        self._store = store
        self._budget = budget
        self._owner = owner
        self._per_day = per_day
        self._per_rollout = per_rollout
        self._said: dict[str, Pace] = {}  # by rollout
        self._turned_at = float("-inf")

    async def turn(self, now: float) -> None:
        """Set the pace of all rollouts that run, if it is time and this process is the one that does. Raises
        `GatewayError`."""
        if now < self._turned_at + TURN:
            return
        self._turned_at = now
        slow = self.backlog.turn(now)
        self._budget.look_again()
        if await self._store.acquire(keys.PACER, self._owner, LEASE) is None:
            self._said.clear()
            return
        free, claimed, _ = await self._store.depth(keys.JUDGING)
        today = await self._budget.spent(day(now))
        promised = (free + claimed) * cost_each(today)
        running = await running_rollouts(self._store)
        self._said = {id: pace for id, pace in self._said.items() if id in running}
        for id in running:
            spent = await self._budget.spent(id)
            await self._say(id, self._pace(today.usd, spent.usd, promised, slow))

    def _pace(self, today: float, rollout: float, promised: float, slow: float) -> Pace:
        """The lowest rate of all, and what it comes from."""
        return min(
            Pace(),
            Pace(slow, SLOW),
            Pace(share_of(today + promised, self._per_day), _spent(today, self._per_day, "day")),
            Pace(
                share_of(rollout + promised, self._per_rollout), _spent(rollout, self._per_rollout, "rollout")
            ),
            key=lambda pace: pace.share,
        )

    async def _say(self, id: str, pace: Pace) -> None:
        """A new rate is news; what exactly has been spent is not."""
        said = self._said.get(id)
        if said is None:
            document = await self._store.get(keys.pace(id))
            said = Pace() if document is None else codec.decode_document(document, Pace)
        if said.share != pace.share:
            await self._store.commit([Put(keys.pace(id), codec.encode(pace), None)])
            said = pace
        self._said[id] = said


async def running_rollouts(store: Store) -> dict[str, Rollout]:
    """Those whose policy waits for the judge, by id."""
    found = {}
    for document in await list_all(store, keys.DEPLOYMENTS):
        rollout = codec.decode_document(document, Deployment).rollout
        if rollout is not None and rollout.policy is not None and "judge" in rollout.policy.tolerance:
            found[rollout.id] = rollout
    return found


def cost_each(spent: Spent) -> float:
    """USD for an answer so far."""
    answers = spent.scored + sum(spent.unscored.values())
    return spent.usd / answers if answers else 0.0


def _spent(usd: float, limit: float, period: str) -> str:
    return f"{usd:.2f} of the {limit:g} USD for a {period} (judge.usd_per_{period}) are spent"
