"""Deployments as they change, by the change feed: what follows them reads none twice."""

from __future__ import annotations

from gateway.domain.rollout import Deployment
from gateway.storage import codec, keys
from gateway.storage.base import Store, Tick

PAGE = 1000


class Deployments:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._revision = 0

    async def changed(self, tick: Tick) -> list[Deployment]:
        """Those that have changed since the last look; all of them at the first, and where the store has lost
        commits. Raises `StoreUnavailable`."""
        if tick.revision < self._revision:
            self._revision = 0
        found: list[Deployment] = []
        while self._revision < tick.revision:
            since = self._revision
            feed = await self._store.changes(since, prefixes=(keys.DEPLOYMENTS,), limit=PAGE)
            found += [codec.decode_document(document, Deployment) for document in feed.documents]
            self._revision = max(feed.revision, since)
            if self._revision == since:
                break
        return found
