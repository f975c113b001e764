"""Flagged answers of both arms: looked at again, told to the evidence, and kept as cases.

They come in a queue of their own, apart from those that are judged: they were chosen for what they say, so
nothing may be concluded from how many there are.
"""

from __future__ import annotations

import asyncio

import msgspec

from gateway.control.judging.claims import Claims
from gateway.control.judging.ledger import Ledger
from gateway.control.judging.watching import Watcher
from gateway.domain.judging import decode_item
from gateway.storage import keys
from gateway.storage.base import Claim, Store

ROOM = 4
LEASE = 120.0  # s
TRIES = 3  # after which an item is buried


class Triage:
    def __init__(self, store: Store, watcher: Watcher, *, owner: str) -> None:
        self._store = store
        self._watcher = watcher
        self._owner = owner
        self._ledger = Ledger(store, keys.TRIAGE, owner)
        self._claims = Claims(
            store,
            keys.TRIAGE,
            self._settle,
            watcher.flush,
            owner=owner,
            room=ROOM,
            lease=LEASE,
            what="triage of flags",
        )

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await self._claims.run(stop)
        finally:
            await self._watcher.close()

    async def _settle(self, claim: Claim) -> None:
        try:
            item = decode_item(claim.value, claim.text)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            await self._store.bury(keys.TRIAGE, self._owner, claim.id, f"cannot be read: {error}")
            return
        if claim.attempt > TRIES:
            await self._store.bury(keys.TRIAGE, self._owner, claim.id, "several processes ended over it")
            return
        if not item.answer:  # its words may be kept no longer
            await self._ledger.tell(claim.id, item.rollout, ())
            return
        now = (await self._store.tick()).now
        told = await self._watcher.look(item, now)
        await self._watcher.keep(item, told, None)
        await self._ledger.tell(claim.id, item.rollout, told)
