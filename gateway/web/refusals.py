"""Refused attempts in the audit log, so many that nobody fills the store (docs/adr/0016-refused-attempts.md).

Each caller has a budget of its own, for a minute and for a day; all who have no good token share one. So a
flood without a token hides nothing that somebody with one tries. What is beyond is counted, and the count is
written with the next entry, once a minute as long as the day's budget lasts, and when the process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import NamedTuple

from aiohttp import web

from gateway.control.access import Access
from gateway.control.plan import By
from gateway.errors import GatewayError

logger = logging.getLogger(__name__)

MINUTE, DAY = 60.0, 86_400.0  # s


class Budget(NamedTuple):
    """Audit entries of one caller."""

    minute: int = 60
    day: int = 1000


@dataclass(slots=True)
class _Account:
    """Since when its minute and its day run, what was written in each, and what was left out."""

    minute: float
    day: float
    in_minute: int = 0
    in_day: int = 0
    left_out: int = 0

    def may_write(self, now: float, budget: Budget) -> bool:
        if now >= self.minute + MINUTE:
            self.minute, self.in_minute = now, 0
        if now >= self.day + DAY:
            self.day, self.in_day = now, 0
        return self.in_minute < budget.minute and self.in_day < budget.day

    def written(self) -> None:
        self.in_minute += 1
        self.in_day += 1


class Refusals:
    """`clock`: s, never goes back."""

    def __init__(self, access: Access, budget: Budget, clock: Callable[[], float]) -> None:
        self._access = access
        self._budget = budget
        self._clock = clock
        self._accounts: dict[str, _Account] = {}  # by the name of a token, which is one that there is

    async def write(self, caller: str, by: By, subject: str, what: dict[str, object]) -> None:
        """Never fails: what is answered does not depend on it."""
        now = self._clock()
        account = self._accounts.setdefault(caller, _Account(now, now))
        if not account.may_write(now, self._budget):
            account.left_out += 1
            return
        logger.warning("%s was refused: %s", by.actor, by.reason)
        await self._put(account, by, subject, what)

    async def flush(self, *, all: bool = False) -> None:
        """Write down how many were left out, of those whose budget allows an entry (`all`: of all)."""
        now = self._clock()
        for caller, account in self._accounts.items():
            if account.left_out and (account.may_write(now, self._budget) or all):
                await self._put(account, By(caller, "more refusals than are written down"), "", {})

    async def run(self, app: web.Application) -> AsyncIterator[None]:
        """For an application's lifetime (`cleanup_ctx`)."""
        flushing = asyncio.create_task(self._flush_each_minute())
        yield
        flushing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await flushing
        await self.flush(all=True)

    async def _flush_each_minute(self) -> None:
        while True:
            await asyncio.sleep(MINUTE)
            await self.flush()

    async def _put(self, account: _Account, by: By, subject: str, what: dict[str, object]) -> None:
        left_out, account.left_out = account.left_out, 0
        account.written()
        try:
            await self._access.refused(by, subject, what | ({"left_out": left_out} if left_out else {}))
        except GatewayError as problem:
            account.left_out += left_out
            logger.error("a refusal is not in the audit log: %s", problem.message)
