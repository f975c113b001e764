"""The gateway's own client keys: made, listed, revoked, each change in one commit with its audit entry.

A revoked key stays listed: its id is the scope of its sessions and stands in the audit log.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from gateway.control.changes import Entry, check_revision, record, told_since
from gateway.control.plan import By
from gateway.control.registry import list_all
from gateway.domain.client_key import ID_BYTES, SECRET_BYTES, ClientKey, Permission, Wanted, make
from gateway.errors import NotFound, PreconditionFailed
from gateway.storage import codec, keys
from gateway.storage.base import Documents, Put


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
    revision: int = 0


class KeyPage(msgspec.Struct, frozen=True):
    """All of them, newest first."""

    keys: tuple[KeyView, ...]


class NewKey(KeyView, frozen=True, kw_only=True):
    """`key` is shown here and never again."""

    key: str


class ClientKeys:
    def __init__(self, store: Documents) -> None:
        self._store = store

    async def all(self) -> tuple[KeyView, ...]:
        """Newest first, revoked ones too."""
        documents = await list_all(self._store, keys.CLIENT_KEYS)
        found = [view(codec.decode_document(each, ClientKey), each.revision) for each in documents]
        return tuple(sorted(found, key=lambda key: -key.created_at))

    async def create(self, wanted: Wanted, by: By) -> NewKey:
        chance, made = secrets.token_bytes(ID_BYTES + SECRET_BYTES), list[tuple[ClientKey, str]]()

        async def planned(now: float) -> Entry | None:
            key, text = make(wanted, chance, at=now, by=by.actor)
            made[:] = [(key, text)]
            return _entry("create_key", None, key, 0)

        done = await record(self._store, by, planned)
        key, text = made[0]
        return NewKey(**msgspec.structs.asdict(view(key, done.revision)), key=text)

    async def revoke(self, id: str, by: By, *, expected: int | None = None) -> KeyView:
        """One that is revoked already stays as it is. Raises `NotFound` or `PreconditionFailed`."""
        made: list[ClientKey] = []
        revision = 0

        async def planned(now: float) -> Entry | None:
            nonlocal revision
            document = await self._store.get(keys.client_key(id))
            if document is None:
                raise NotFound(f"there is no client key {id!r:.100}", param="id")
            revision = document.revision
            if not check_revision(document, expected):
                raise PreconditionFailed(await told_since(self._store, document.key, revision, expected or 0))
            before = codec.decode_document(document, ClientKey)
            made[:] = [before]
            if before.revoked_at:
                return None
            made[:] = [msgspec.structs.replace(before, revoked_at=now, revoked_by=by.actor)]
            return _entry("revoke_key", before, made[0], document.revision)

        done = await record(self._store, by, planned)
        return view(made[0], done.revision or revision)


def _entry(action: str, before: ClientKey | None, after: ClientKey, revision: int) -> Entry:
    told = None if before is None else _told(before)
    put = Put(keys.client_key(after.id), codec.encode(after), revision)
    return Entry(action, keys.client_key(after.id), told, _told(after), (put,))


def _told(key: ClientKey) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(view(key))
    del told["revision"]
    return told


def view(key: ClientKey, revision: int = 0) -> KeyView:
    """`revision`: what If-Match compares."""
    told = {name: getattr(key, name) for name in KeyView.__struct_fields__ if name != "revision"}
    return KeyView(**told, revision=revision)
