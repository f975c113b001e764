"""Deployments as they change, by the change feed: what follows them reads none twice."""

from __future__ import annotations

from gateway.domain.rollout import Deployment
from gateway.storage import codec, keys
from gateway.storage.base import Documents, Tick

PAGE = 1000


class Deployments:
    def __init__(self, store: Documents) -> None:
        self._store = store
        self._revision = 0

    async def changed(self, tick: Tick) -> list[Deployment]:
        """Those that have changed since the last look; all of them at the first, and where the store has lost
        commits. Raises `StoreUnavailable`."""
        found: list[Deployment] = []
        since = self._revision if self._revision <= tick.revision else 0
        while since < tick.revision:
            feed = await self._store.changes(since, prefixes=(keys.DEPLOYMENTS,), limit=PAGE)
            found += [codec.decode_document(document, Deployment) for document in feed.documents]
            if feed.revision <= since:
                break
            since = feed.revision
        self._revision = since  # not before all pages are read: the next look begins anew where one fails
        return found
