"""What judging has cost, in this day (UTC) and in each rollout, summed over all judge processes of the fleet.

What a call cost is added in memory and written once a second, added to what others wrote; so a limit may be
passed by what is spent in a second. Calls of a model without a price are counted and cost nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from gateway.errors import GatewayError, StoreRevised, Unavailable
from gateway.storage import codec, keys
from gateway.storage.base import Documents, Put

ATTEMPTS = 20
KEPT = 512  # periods


class Spent(msgspec.Struct, frozen=True):
    """`calls` of the judge's model, of which `unpriced` have no price; `scored` and `unscored` answers."""

    usd: float = 0.0
    calls: int = 0
    unpriced: int = 0
    scored: int = 0
    unscored: dict[str, int] = {}  # by cause

    def plus(self, other: Spent) -> Spent:
        causes = dict(self.unscored)
        for cause, count in other.unscored.items():
            causes[cause] = causes.get(cause, 0) + count
        return Spent(
            self.usd + other.usd,
            self.calls + other.calls,
            self.unpriced + other.unpriced,
            self.scored + other.scored,
            causes,
        )


class Budget:
    """Limits in USD; 0: none. `prefix`: of what it is that costs, where that is not judging."""

    def __init__(self, store: Documents, *, per_day: float, per_rollout: float, prefix: str = "") -> None:
        self._store = store
        self._per_day = per_day
        self._per_rollout = per_rollout
        self._prefix = prefix
        self._known: dict[str, Spent] = {}  # as stored
        self._new: dict[str, Spent] = {}  # and since

    def add(self, rollout: str, now: float, spent: Spent) -> None:
        """`rollout` is "" for what is spent on none."""
        today, whole = self.periods(rollout, now)
        for period in (today, whole) if rollout else (today,):
            self._new[period] = self._new.get(period, Spent()).plus(spent)

    def periods(self, rollout: str, now: float) -> tuple[str, str]:
        """What is spent now is spent in these."""
        return f"{self._prefix}{day(now)}", f"{self._prefix}{rollout}"

    async def exceeded(self, rollout: str, now: float) -> str:
        """The limit that has been reached: spend_day, spend_rollout, or ""."""
        today, whole = self.periods(rollout, now)
        if self._per_day and (await self.spent(today)).usd >= self._per_day:
            return "spend_day"
        if self._per_rollout and (await self.spent(whole)).usd >= self._per_rollout:
            return "spend_rollout"
        return ""

    async def spent(self, period: str) -> Spent:
        if period not in self._known:
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[period], _ = await self._read(period)
        return self._known[period].plus(self._new.get(period, Spent()))

    def look_again(self) -> None:
        """What others spend is read anew."""
        self._known.clear()

    async def flush(self) -> None:
        """Raises `StoreUnavailable`; what is not written stays to be written. A write of which nobody knows
        whether it took place may count twice: a limit is reached too early rather than too late."""
        for period in list(self._new):
            spent = self._new.pop(period)
            try:
                self._known[period] = await self._write(period, spent)
            except GatewayError:
                self._new[period] = spent.plus(self._new.get(period, Spent()))
                raise

    async def _write(self, period: str, spent: Spent) -> Spent:
        for _ in range(ATTEMPTS):
            stored, revision = await self._read(period)
            total = stored.plus(spent)
            try:
                await self._store.commit([Put(keys.spend(period), codec.encode(total), revision)])
            except StoreRevised:
                continue
            return total
        raise Unavailable(f"what {period} has cost could not be written: others were faster")

    async def _read(self, period: str) -> tuple[Spent, int]:
        document = await self._store.get(keys.spend(period))
        if document is None:
            return Spent(), 0
        return codec.decode_document(document, Spent), document.revision


async def read_spent(store: Documents, period: str) -> Spent:
    document = await store.get(keys.spend(period))
    return Spent() if document is None else codec.decode_document(document, Spent)


def day(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()
