"""Who may ask: the gateway's own client keys, as this worker knows them.

Keys come with the snapshot, so a new or revoked one counts within 500 ms. Rates are of each worker: with four
workers a key gets up to four times as much.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.client_key import ClientKey, find
from gateway.errors import Forbidden, RateLimited, SnapshotMissing, Unauthorized
from gateway.proxy.base import Head
from gateway.proxy.snapshots import Snapshots

BEARER: Final = b"bearer "
HEADERS = (b"x-api-key", b"api-key", b"x-goog-api-key")  # where SDKs of other providers put it


class Bucket:
    """A token bucket: `burst` requests at once, refilled by `rate` a second."""

    __slots__ = ("_at", "_left")

    def __init__(self, burst: float, now: float) -> None:
        self._left = burst
        self._at = now

    def take(self, rate: float, burst: float, now: float) -> float:
        """0 if there was one; else s until there is."""
        self._left = min(burst, self._left + (now - self._at) * rate)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / rate


class Clients:
    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._buckets: dict[str, Bucket] = {}

    def admit(self, head: Head) -> ClientKey:
        """Raises `Unauthorized`, `RateLimited`, or `SnapshotMissing` while no key can be known."""
        key = find(self._snapshots.client_keys, presented(head))
        if key is None:
            if not self._snapshots.complete and not self._snapshots.client_keys:
                raise SnapshotMissing("the gateway has not read its keys yet; try again", retry_after=1.0)
            raise Unauthorized(
                "this gateway wants one of its own keys (pck_…) where the SDK puts the API key; the one that "
                "came is unknown or was revoked"
            )
        if key.rate is not None:
            self._count(key, key.rate, head.received)
        return key

    def _count(self, key: ClientKey, rate: float, now: float) -> None:
        bucket = self._buckets.get(key.id)
        if bucket is None:
            bucket = self._buckets[key.id] = Bucket(key.burst, now)
        wait = bucket.take(rate, key.burst, now)
        if wait:
            raise RateLimited(f"key {key.name} is limited to {rate:g} requests/s here", retry_after=wait)


def presented(head: Head) -> bytes:
    """The key that a request carries, empty if none."""
    value = head.get(b"authorization")
    if value is not None and value[: len(BEARER)].lower() == BEARER:
        return value[len(BEARER) :].strip()
    for name in HEADERS:
        value = head.get(name)
        if value is not None:
            return value
    return b""


def check_prompt(client: ClientKey | None, prompt: str) -> None:
    """Raises `Forbidden`. Without a key (clients' own keys pass through) everything may be used."""
    if client is not None and not client.may_use(prompt):
        raise Forbidden(f"key {client.name} may not use prompt {prompt}", param="prompt")


def check_passing(client: ClientKey | None) -> None:
    """For requests that no prompt applies to. Raises `Forbidden`."""
    if client is not None and not client.may_pass:
        raise Forbidden(
            f"key {client.name} is for certain prompts; other requests need its permission 'unmanaged'"
        )
