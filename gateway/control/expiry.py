"""Emergency deploys that expire are taken back, once, by whichever services process comes first.

What decides is the deployment itself: its expiry is gone with anything else that became live meanwhile, so
there is nothing to remember and nothing to undo. Deployments are followed by the change feed.
"""

from __future__ import annotations

import logging

from gateway.control import plan
from gateway.control.changes import Change, Current, commit
from gateway.control.plan import By
from gateway.control.rollouts import change_of
from gateway.domain.rollout import Deployment
from gateway.storage import codec, keys
from gateway.storage.base import Store

logger = logging.getLogger(__name__)

BY = By("services", "the emergency deploy has expired")
PAGE = 1000


class Expiries:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._revision = 0
        self._due: dict[str, float] = {}  # by prompt, store time, s

    async def turn(self) -> None:
        """Whatever is due. Raises `StoreUnavailable`."""
        tick = await self._store.tick()
        if tick.revision < self._revision:  # the store has lost commits: everything is read again
            self._revision = 0
            self._due.clear()
        if tick.revision > self._revision:
            await self._follow(tick.revision)
        for prompt, at in list(self._due.items()):
            if tick.now >= at:
                await self._revert(prompt)

    async def _follow(self, target: int) -> None:
        while self._revision < target:
            since = self._revision
            feed = await self._store.changes(since, prefixes=(keys.DEPLOYMENTS,), limit=PAGE)
            for document in feed.documents:
                deployment = codec.decode_document(document, Deployment)
                self._due.pop(deployment.prompt, None)
                if deployment.expiry is not None:
                    self._due[deployment.prompt] = deployment.expiry.at
            self._revision = max(feed.revision, since)
            if self._revision == since:
                return

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
