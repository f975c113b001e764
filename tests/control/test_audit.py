"""The audit log on a store: paged, and proven byte by byte."""

from collections.abc import Callable

import pytest

from gateway.control import audit
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.errors import InvalidValue
from gateway.storage import keys
from gateway.storage.base import Document
from gateway.storage.sqlite import SqliteStore
from tests.support.prompts import prompt_text

ANN = By("ann", "why: 'ä' 🐤")


class Tampered(SqliteStore):
    """What is read of the audit log goes through `change` first; None removes an entry."""

    def __init__(self, store: SqliteStore, change: Callable[[Document], Document | None]) -> None:
        self.__dict__ = store.__dict__
        self._change = change

    async def get(self, key: str) -> Document | None:
        document = await SqliteStore.get(self, key)
        return None if document is None else self._change(document)

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> tuple[Document, ...]:
        documents = await SqliteStore.list(self, prefix, after=after, limit=limit)
        return tuple(changed for item in documents if (changed := self._change(item)) is not None)


@pytest.fixture
async def filled(operations: StoreOperations) -> StoreOperations:
    for body in ("one", "two", "three"):
        await operations.push(prompt_text(body), "a", ANN)
    return operations


async def test_any_changed_byte_is_found(filled: StoreOperations, store: SqliteStore) -> None:
    documents = await store.list(keys.AUDIT)
    assert len(documents) == 3
    for number, target in enumerate(documents, start=1):
        for position in range(len(target.value)):
            for bit in (0x01, 0x20, 0x80):
                value = bytearray(target.value)
                value[position] ^= bit

                def change(item: Document, key: str = target.key, value: bytes = bytes(value)) -> Document:
                    return item._replace(value=value) if item.key == key else item

                result = await audit.verify(Tampered(store, change))
                assert (result.ok, result.broken_at) == (False, number), (number, position, bit)


async def test_a_changed_head_is_found(filled: StoreOperations, store: SqliteStore) -> None:
    forged = Tampered(
        store, lambda item: item._replace(value=b"\xff" + item.value) if item.key == keys.AUDIT_HEAD else item
    )
    assert not (await audit.verify(forged)).ok


@pytest.mark.parametrize("missing", [1, 2, 3])
async def test_a_removed_entry_is_found(filled: StoreOperations, store: SqliteStore, missing: int) -> None:
    key = keys.audit(missing)
    result = await audit.verify(Tampered(store, lambda item: None if item.key == key else item))
    assert not result.ok
    assert result.broken_at == missing


async def test_a_head_that_was_set_back_is_found(filled: StoreOperations, store: SqliteStore) -> None:
    second = await store.get(keys.audit(2))
    assert second is not None
    forged = Tampered(
        store, lambda item: item._replace(value=second.value) if item.key == keys.AUDIT_HEAD else item
    )
    result = await audit.verify(forged)
    assert (result.ok, result.broken_at) == (False, 3)


async def test_a_missing_head_is_found(filled: StoreOperations, store: SqliteStore) -> None:
    forged = Tampered(store, lambda item: None if item.key == keys.AUDIT_HEAD else item)
    assert not (await audit.verify(forged)).ok


async def test_an_empty_log_is_intact(store: SqliteStore) -> None:
    assert await audit.verify(store) == audit.Verification(True, 0)


async def test_pages_of_verification(operations: StoreOperations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE", 2)
    for number in range(5):
        await operations.push(prompt_text(f"body {number}"), "a", ANN)
        result = await operations.verify_audit()
        assert (result.ok, result.entries) == (True, number + 1)


async def test_pages_newest_first(operations: StoreOperations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE", 3)
    for number in range(7):
        await operations.push(prompt_text(f"body {number}", name=f"p{number % 2}"), "a", ANN)
    for prompt, expected in (("", [7, 6, 5, 4, 3, 2, 1]), ("p0", [7, 5, 3, 1]), ("p9", [])):
        found: list[int] = []
        before: int | None = None
        for _ in range(10):
            page = await operations.audit(before=before, limit=2, prompt=prompt)
            found += [entry.sequence for entry in page.entries]
            before = page.next
            if before is None:
                break
        assert found == expected


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_page_has_limits(operations: StoreOperations, limit: int) -> None:
    with pytest.raises(InvalidValue, match="from 1 to 1000"):
        await operations.audit(limit=limit)
