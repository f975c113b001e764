"""Emergency deploys that expire are taken back, once, by whichever services process comes first.

What decides is the deployment itself: its expiry is gone with anything else that became live meanwhile, so
there is nothing to remember and nothing to undo. Deployments are followed by the change feed.
"""

from __future__ import annotations

import logging

from gateway.control import plan
from gateway.control.changes import Change, Current, commit
from gateway.control.following import Deployments
from gateway.control.plan import By
from gateway.control.rollouts import change_of
from gateway.storage.base import Store

logger = logging.getLogger(__name__)

BY = By("services", "the emergency deploy has expired")


class Expiries:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._deployments = Deployments(store)
        self._due: dict[str, float] = {}  # by prompt, store time, s

    async def turn(self) -> None:
        """Whatever is due. Raises `StoreUnavailable`."""
        tick = await self._store.tick()
        for deployment in await self._deployments.changed(tick):
            self._due.pop(deployment.prompt, None)
            if deployment.expiry is not None:
                self._due[deployment.prompt] = deployment.expiry.at
        for prompt, at in list(self._due.items()):
            if tick.now >= at:
                await self._revert(prompt)

    async def _revert(self, prompt: str) -> None:
        reverted = False

        async def planned(current: Current) -> Change | None:
            nonlocal reverted
            change = change_of(current, plan.revert(current.deployment, now=current.now, by=BY), "revert")
            reverted = change is not None
            return change

        done = await commit(self._store, prompt, BY, planned, steady=False)
        self._due.pop(prompt)
        if done.deployment.expiry is not None:  # a later one took its place
            self._due[prompt] = done.deployment.expiry.at
        if reverted:
            logger.warning(
                "%s: the emergency deploy has expired; version %s is live", prompt, done.deployment.live
            )
