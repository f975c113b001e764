"""Deliveries: claimed from the queue, sent, and tried again until they arrive or are given up.

A claim lasts longer than a delivery may take. One that failed is left to run out; its document says from when
on it may be tried again, so that waiting is kept by the store and survives every process.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp
from msgspec.structs import replace

from gateway.control.alerts.outbox import Attempt, Delivery
from gateway.control.alerts.shapes import message
from gateway.errors import StoreRevised
from gateway.settings.alerts import Alerts, AlertTarget
from gateway.storage import codec, keys
from gateway.storage.base import Claim, Put, Store

logger = logging.getLogger(__name__)

AT_ONCE = 20  # deliveries
KEPT_ATTEMPTS = 20


class Sent(NamedTuple):
    """What came of one try; `wait` is what the target asked for (retry-after), s."""

    done: bool
    outcome: str
    wait: float = 0.0


class Deliverer:
    """Its owner closes `http`."""

    def __init__(self, store: Store, settings: Alerts, http: aiohttp.ClientSession) -> None:
        self._store = store
        self._settings = settings
        self._targets: Mapping[str, AlertTarget] = {target.name: target for target in settings.targets}
        self._http = http
        self._owner = f"alerts-{secrets.token_hex(8)}"
        self._lease = settings.timeout + settings.retry_first

    async def turn(self) -> None:
        """Everything that is due. Raises `StoreUnavailable`."""
        while (await self._store.depth(keys.ALERTS))[0]:
            claims = await self._store.claim(keys.ALERTS, self._owner, limit=AT_ONCE, lease=self._lease)
            if not claims:
                return
            async with asyncio.TaskGroup() as tasks:
                for claim in claims:
                    tasks.create_task(self._handle(claim))

    async def _handle(self, claim: Claim) -> None:
        document = await self._store.get(claim.value.decode())
        delivery = None if document is None else codec.decode_document(document, Delivery)
        if document is None or delivery is None or delivery.state != "waiting" or delivery.item != claim.id:
            await self._store.acknowledge(keys.ALERTS, self._owner, claim.id)
            return
        now = (await self._store.tick()).now
        if now < delivery.next_at:
            return
        started = time.monotonic()
        sent = await self._send(delivery, now)
        attempt = Attempt(now, sent.outcome, round(time.monotonic() - started, 3))
        after = self._after(delivery, sent, attempt)
        try:
            await self._store.commit([Put(document.key, codec.encode(after), document.revision)])
        except StoreRevised:
            return  # somebody asked for it again; the claim runs out
        await self._settle(claim, after, sent)

    async def _settle(self, claim: Claim, after: Delivery, sent: Sent) -> None:
        if after.state == "delivered":
            await self._store.acknowledge(keys.ALERTS, self._owner, claim.id)
        elif after.state == "dead":
            await self._store.bury(keys.ALERTS, self._owner, claim.id, sent.outcome)
            logger.error("alert %s is given up: %s; see `prompt-canary alerts list`", after.id, sent.outcome)
        elif after.tried == 1:
            logger.warning("alert %s was not delivered and is tried again: %s", after.id, sent.outcome)

    def _after(self, delivery: Delivery, sent: Sent, attempt: Attempt) -> Delivery:
        tried = delivery.tried + 1
        attempts = (*delivery.attempts, attempt)[-KEPT_ATTEMPTS:]
        made = replace(delivery, tried=tried, attempts=attempts)
        if sent.done:
            return replace(made, state="delivered")
        if tried >= self._settings.attempts:
            return replace(made, state="dead")
        most = self._settings.retry_most
        wait = min(max(self._settings.retry_first * 2.0 ** (tried - 1), sent.wait), most)
        return replace(made, next_at=attempt.at + wait)

    async def _send(self, delivery: Delivery, now: float) -> Sent:
        target = self._targets.get(delivery.target)
        if target is None:
            return Sent(False, "the configuration has no such target")
        body, headers = message(target, delivery.alert, now)
        limit = aiohttp.ClientTimeout(total=self._settings.timeout)
        try:
            async with self._http.post(
                target.address, data=body, headers=headers, timeout=limit, allow_redirects=False
            ) as response:
                return Sent(
                    200 <= response.status < 300,
                    str(response.status),
                    _seconds(response.headers.get("retry-after", "")),
                )
        except TimeoutError:
            return Sent(False, f"no answer within {self._settings.timeout:g} s")
        except aiohttp.ClientError as error:  # its text may hold the address, which may be a secret
            return Sent(False, type(error).__name__)


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0
