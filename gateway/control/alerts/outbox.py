"""From the audit log to deliveries: each entry that is an alert becomes one for each target that wants it.

How far the log was read is a document, moved by compare-and-set: any number of processes may do this at once,
and one that dies half way is followed by one that does the same again, which changes nothing. A gateway that
has never had alerts begins at the log's end.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from gateway.control import audit
from gateway.domain.alert import HOLDS, Alert, alerts_of, target_of
from gateway.domain.audit import AuditEntry
from gateway.errors import StoreRevised
from gateway.settings.alerts import AlertTarget
from gateway.storage import codec, keys
from gateway.storage.base import Put, Store

logger = logging.getLogger(__name__)

PAGE = 200  # entries


class Cursor(msgspec.Struct, frozen=True):
    """The last entry that was read."""

    sequence: int


class Attempt(msgspec.Struct, frozen=True):
    """At store time `at`, s: `outcome` is the HTTP status, or why there was none; it took `seconds`."""

    at: float
    outcome: str
    seconds: float


class Delivery(msgspec.Struct, frozen=True):
    """One alert to one target. `number`: of the alert among those of its entry. `attempts` are the last ones,
    oldest first, `tried` is how many since it was last asked for, which `round` counts; it is due at
    `next_at` (store time, s)."""

    id: str
    target: str
    alert: Alert
    state: Literal["waiting", "delivered", "dead"] = "waiting"
    tried: int = 0
    next_at: float = 0.0
    round: int = 1
    attempts: tuple[Attempt, ...] = ()
    number: int = 0

    @property
    def item(self) -> str:
        """Its id in the queue."""
        return f"{self.alert.id}/{self.target}/{self.round}"

    @property
    def key(self) -> str:
        return keys.delivery(self.alert.entry, self.target, self.number)


class Outbox:
    def __init__(self, store: Store, targets: Sequence[AlertTarget]) -> None:
        self._store = store
        self._targets = targets
        self._read = -1  # the last entry that is known to be read
        self._recovered = False

    async def turn(self) -> None:
        """Everything new in the log. Raises `StoreUnavailable`."""
        if not self._recovered:
            await self._recover()
            self._recovered = True
        end = (await audit.read_head(self._store)).entry
        last = 0 if end is None else end.sequence
        if last == self._read:
            return
        document = await self._store.get(keys.ALERT_CURSOR)
        revision = 0 if document is None else document.revision
        at = last if document is None else codec.decode_document(document, Cursor).sequence
        if at > last:
            logger.critical("the audit log ends before what alerts were sent of: entries are lost")
            at = last
        try:
            while at < last:
                page = await self._store.list(keys.AUDIT, after=keys.audit(at), limit=PAGE)
                for each in page:
                    await self._write(codec.decode_document(each, AuditEntry))
                at = codec.decode_document(page[-1], AuditEntry).sequence if page else last
                revision = await self._move(at, revision)
            if document is None and revision == 0:
                await self._move(at, revision)
        except StoreRevised:
            return  # another process is at it; the next turn sees how far it came
        self._read = last

    async def _move(self, sequence: int, revision: int) -> int:
        put = Put(keys.ALERT_CURSOR, codec.encode(Cursor(sequence)), revision)
        return await self._store.commit([put])

    async def _write(self, entry: AuditEntry) -> None:
        only = target_of(entry)
        for number, alert in enumerate(alerts_of(entry)):
            which = f"{entry.sequence}.{number}" if number else str(entry.sequence)
            for target in self._targets:
                if (only == target.name) if only else wants(target, alert):
                    await self._add(Delivery(f"{which}-{target.name}", target.name, alert, number=number))

    async def _add(self, delivery: Delivery) -> None:
        try:
            await self._store.commit([Put(delivery.key, codec.encode(delivery), 0)])
        except StoreRevised:
            pass  # written before, by whoever could not move the cursor any more
        await enqueue(self._store, delivery)

    async def _recover(self) -> None:
        """The queue may have lost what it acknowledged last before a machine died; documents have not."""
        for document in await self._store.list(keys.DELIVERIES, limit=1000):
            delivery = codec.decode_document(document, Delivery)
            if delivery.state == "waiting":
                await enqueue(self._store, delivery)


async def enqueue(store: Store, delivery: Delivery) -> None:
    await store.enqueue(keys.ALERTS, delivery.item, delivery.key.encode())


def wants(target: AlertTarget, alert: Alert) -> bool:
    """An incident at PagerDuty is closed by whoever it was opened for."""
    closes = (
        alert.event == "release" and target.kind == "pagerduty" and any(e in target.events for e in HOLDS)
    )
    seen = not target.prompts or any(fnmatchcase(alert.prompt, pattern) for pattern in target.prompts)
    return (alert.event in target.events or closes) and seen
