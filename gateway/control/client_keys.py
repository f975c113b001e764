"""The gateway's own client keys: made, listed, revoked, each change in one commit with its audit entry.

A revoked key stays listed: its id is the scope of its sessions and stands in the audit log.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from gateway.control import audit
from gateway.control.changes import ATTEMPTS, BACKOFF_MOST, check_by
from gateway.control.plan import By
from gateway.control.registry import list_all
from gateway.domain.client_key import ID_BYTES, SECRET_BYTES, ClientKey, Permission, Wanted, make
from gateway.errors import NotFound, StoreRevised, Unavailable
from gateway.storage import codec, keys
from gateway.storage.base import Documents, Put

T = TypeVar("T")


class KeyView(msgspec.Struct, frozen=True):
    """What is shown of a key: never its secret, nor the secret's hash."""

    id: str
    name: str
    prompts: tuple[str, ...]
    permissions: tuple[Permission, ...]
    rate: float | None
    burst: int
    created_at: float
    created_by: str
    revoked_at: float
    revoked_by: str


class KeyPage(msgspec.Struct, frozen=True):
    """All of them, newest first."""

    keys: tuple[KeyView, ...]


class NewKey(KeyView, frozen=True):
    """`key` is shown here and never again."""

    key: str


class ClientKeys:
    def __init__(self, store: Documents) -> None:
        self._store = store

    async def all(self) -> tuple[KeyView, ...]:
        """Newest first, revoked ones too."""
        documents = await list_all(self._store, keys.CLIENT_KEYS)
        found = [codec.decode_document(document, ClientKey) for document in documents]
        return tuple(view(key) for key in sorted(found, key=lambda key: -key.created_at))

    async def create(self, wanted: Wanted, by: By) -> NewKey:
        check_by(by)
        now = (await self._store.tick()).now
        key, text = make(wanted, secrets.token_bytes(ID_BYTES + SECRET_BYTES), at=now, by=by.actor)
        await _keep_trying(lambda: self._commit(key, 0, "create_key", by, None))
        return NewKey(**msgspec.structs.asdict(view(key)), key=text)

    async def revoke(self, id: str, by: By) -> KeyView:
        """One that is revoked already stays as it is. Raises `NotFound`."""
        check_by(by)
        return await _keep_trying(lambda: self._revoke(id, by))

    async def _revoke(self, id: str, by: By) -> KeyView:
        document = await self._store.get(keys.client_key(id))
        if document is None:
            raise NotFound(f"there is no client key {id!r:.100}", param="id")
        key = codec.decode_document(document, ClientKey)
        if not key.revoked_at:
            before, now = _told(key), (await self._store.tick()).now
            key = msgspec.structs.replace(key, revoked_at=now, revoked_by=by.actor)
            await self._commit(key, document.revision, "revoke_key", by, before)
        return view(key)

    async def _commit(self, key: ClientKey, expected: int, action: str, by: By, before: Any) -> None:
        """Raises `StoreRevised`, most often because the audit log's head, which all changes share, moved."""
        entry = audit.appended(
            await audit.read_head(self._store),
            at=key.revoked_at or key.created_at,
            by=by,
            action=action,
            subject=keys.client_key(key.id),
            before=before,
            after=_told(key),
        )
        await self._store.commit([Put(keys.client_key(key.id), codec.encode(key), expected), *entry])


async def _keep_trying(once: Callable[[], Awaitable[T]]) -> T:
    for _ in range(ATTEMPTS):
        try:
            return await once()
        except StoreRevised:
            await asyncio.sleep(random.uniform(0, BACKOFF_MOST))
    raise Unavailable(f"{ATTEMPTS} others were faster; nothing was changed, try again", retry_after=1)


def view(key: ClientKey) -> KeyView:
    return KeyView(**{name: getattr(key, name) for name in KeyView.__struct_fields__})


def _told(key: ClientKey) -> dict[str, Any]:
    """For the audit log."""
    told: dict[str, Any] = msgspec.to_builtins(view(key))
    return told
