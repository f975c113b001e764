"""A queue's items, each settled in a task of its own: as many at once as there is room for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from gateway.errors import GatewayError
from gateway.storage.base import Claim, Queue

logger = logging.getLogger(__name__)

POLL = 0.25  # s between looks at an empty queue
AGAIN = 1.0  # s between looks at a store that fails
UPKEEP = 1.0  # s between calls of `upkeep`
LAST_WORDS = 2.0  # s that what is under way has at the end


class Claims:
    """`settle` acknowledges what it is given; what it raises leaves the item to be claimed again when `lease`
    (s) has run out, by whomever. `upkeep` is called now and then, and at the end. `what` names the work."""

    def __init__(
        self,
        store: Queue,
        queue: str,
        settle: Callable[[Claim], Awaitable[None]],
        upkeep: Callable[[], Awaitable[None]],
        *,
        owner: str,
        room: int,
        lease: float,
        what: str,
    ) -> None:
        self._store = store
        self._queue = queue
        self._settle = settle
        self._upkeep = upkeep
        self._owner = owner
        self._room = room
        self._lease = lease
        self._what = what
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing = False

    @property
    def under_way(self) -> int:
        """Items that are being settled."""
        return len(self._tasks)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; what is under way then has a moment, and what is left is claimed by another."""
        upkeep = asyncio.create_task(self._keep_up())
        try:
            while not stop.is_set():
                await self._pause(stop, await self._take())
        finally:
            upkeep.cancel()
            if self._tasks:
                await asyncio.wait((*self._tasks,), timeout=LAST_WORDS)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, upkeep, return_exceptions=True)
            await self._try_upkeep()

    async def _pause(self, stop: asyncio.Event, taken: int | None) -> None:
        """Until there may be something to take."""
        if len(self._tasks) >= self._room:
            await asyncio.wait((*self._tasks,), timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), AGAIN if taken is None else POLL)

    async def _take(self) -> int | None:
        """Claim as many items as there is room for; None if the store failed."""
        room = self._room - len(self._tasks)
        if room <= 0:
            return 0
        try:
            claims = await self._store.claim(self._queue, self._owner, limit=room, lease=self._lease)
        except GatewayError as error:
            self._complain(error)
            return None
        self._failing = False
        for claim in claims:
            task = asyncio.create_task(self._safely(claim))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(claims)

    def _complain(self, error: GatewayError) -> None:
        if not self._failing:
            logger.error("%s: not for now: %s", self._what, error.message)
        self._failing = True

    async def _safely(self, claim: Claim) -> None:
        """What fails here is taken up again once the lease has run out."""
        try:
            await self._settle(claim)
        except GatewayError as error:
            self._complain(error)
        except Exception:
            logger.exception("%s: an item could not be settled", self._what)

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(UPKEEP)
            await self._try_upkeep()

    async def _try_upkeep(self) -> None:
        try:
            await self._upkeep()
        except GatewayError as error:
            self._complain(error)
