"""Client keys in the store: shown once, hashed at rest, every change in the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.control import audit
from gateway.control.client_keys import ClientKeys
from gateway.control.plan import By
from gateway.domain.client_key import Wanted
from gateway.errors import InvalidValue, NotFound
from gateway.storage import keys
from gateway.storage.sqlite import SqliteStore
from tests.support.stores import PATIENT

BY = By("ann", "a ticket")


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path, limits=PATIENT)
    await store.open()
    yield store
    await store.close()


async def test_what_is_stored_is_not_the_key(own: SqliteStore) -> None:
    made = await ClientKeys(own).create(Wanted("shop", prompts=("a*",), rate=5.0), BY)
    secret = made.key.removeprefix(f"pck_{made.id}_")
    documents = await own.list("", limit=100)
    assert {document.key for document in documents} >= {keys.client_key(made.id), "audit-head"}
    assert not any(secret.encode() in document.value for document in documents)
    [shown] = await ClientKeys(own).all()
    assert (shown.name, shown.prompts, shown.rate, shown.burst, shown.created_by) == (
        "shop",
        ("a*",),
        5.0,
        5,
        "ann",
    )


async def test_every_change_is_in_the_audit_log(own: SqliteStore) -> None:
    made = await ClientKeys(own).create(Wanted("shop"), BY)
    revoked = await ClientKeys(own).revoke(made.id, By("bob", "left"))
    again = await ClientKeys(own).revoke(made.id, By("eve", "again"))
    assert revoked == again
    assert (revoked.revoked_by, revoked.revoked_at > 0) == ("bob", True)
    page = await audit.read_page(own)
    subject = f"client_key/{made.id}"
    told = [(entry.action, entry.actor, entry.reason, entry.subject) for entry in page.entries]
    assert told == [("revoke_key", "bob", "left", subject), ("create_key", "ann", "a ticket", subject)]
    assert page.entries[0].before["revoked_at"] == 0
    assert (await audit.verify(own)).ok


async def test_many_at_once_all_come_through(own: SqliteStore) -> None:
    made = await asyncio.gather(*(ClientKeys(own).create(Wanted(f"k{n}"), BY) for n in range(8)))
    assert len({item.id for item in made}) == 8
    revoked = await asyncio.gather(*(ClientKeys(own).revoke(made[0].id, By(f"p{n}", "")) for n in range(4)))
    assert len({view.revoked_by for view in revoked}) == 1
    assert (await audit.verify(own)).entries == 9


async def test_what_is_not_there_and_who_is_nobody(own: SqliteStore) -> None:
    with pytest.raises(NotFound):
        await ClientKeys(own).revoke("nobody", BY)
    with pytest.raises(InvalidValue):
        await ClientKeys(own).create(Wanted("shop"), By("", ""))
