"""The delivery log: what became of the alerts, and what people can do about it."""

from __future__ import annotations

import re

from msgspec.structs import replace

from gateway.control.alerts.outbox import Delivery, enqueue
from gateway.control.changes import Entry, check_revision, record
from gateway.control.plan import By
from gateway.domain.alert import TARGET
from gateway.domain.names import NAME
from gateway.errors import NotFound, PreconditionFailed, TransitionRefused
from gateway.storage import codec, keys
from gateway.storage.base import Put, Store

ID = re.compile(rf"(\d{{1,12}})(?:\.([1-9]))?-({NAME.pattern})", re.ASCII)


class DeliveryLog:
    """`targets`: names of those that the configuration has."""

    def __init__(self, store: Store, targets: tuple[str, ...]) -> None:
        self._store = store
        self._targets = targets

    async def page(self, after: str, limit: int) -> tuple[Delivery, ...]:
        """The newest first; `after` is the id of the last one of the page before, or ""."""
        key = _key(after) if after else ""
        documents = await self._store.list(keys.DELIVERIES, after=key, limit=limit)
        return tuple(codec.decode_document(document, Delivery) for document in documents)

    async def get(self, id: str) -> Delivery:
        """Raises `NotFound`."""
        document = await self._store.get(_key(id))
        if document is None:
            raise NotFound(f"there is no delivery {id!r:.100}", param="delivery")
        return codec.decode_document(document, Delivery)

    async def retry(self, id: str, by: By, *, expected: int | None = None) -> tuple[Delivery, int]:
        """Ask for a delivery again that was given up; it, and its revision. Raises `NotFound`,
        `PreconditionFailed` or `TransitionRefused`."""
        made: list[Delivery] = []

        async def planned(now: float) -> Entry | None:
            document = await self._store.get(_key(id))
            if document is None:
                raise NotFound(f"there is no delivery {id!r:.100}", param="delivery")
            delivery = codec.decode_document(document, Delivery)
            if not check_revision(document, expected):
                raise PreconditionFailed(
                    f"delivery {id} is {delivery.state}, at revision {document.revision}, not {expected}"
                )
            if delivery.state != "dead":
                raise TransitionRefused(f"delivery {id} is {delivery.state}: only dead letters are asked for")
            again = replace(delivery, state="waiting", tried=0, next_at=0.0, round=delivery.round + 1)
            made[:] = [again]
            put = Put(document.key, codec.encode(again), document.revision)
            return Entry("retry_alert", f"{TARGET}{again.target}", None, {"delivery": id}, (put,))

        done = await record(self._store, by, planned)
        await enqueue(self._store, made[0])
        return made[0], done.revision

    async def test(self, target: str, by: By) -> int:
        """Send a test to one target, through all that an alert goes through. Returns its audit entry.
        Raises `NotFound`."""
        if target not in self._targets:
            known = ", ".join(self._targets) or "none"
            raise NotFound(
                f"there is no target {target!r:.100} in `alerts`; there is {known}", param="target"
            )

        async def planned(now: float) -> Entry | None:
            return Entry("test_alert", f"{TARGET}{target}")

        return (await record(self._store, by, planned)).entry


def _key(id: str) -> str:
    match = ID.match(id)
    if match is None:
        raise NotFound(f"there is no delivery {id!r:.100}", param="delivery")
    return keys.delivery(int(match[1]), match[3], int(match[2] or 0))
