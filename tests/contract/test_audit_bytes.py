"""A byte that is changed in the store's own copy of the audit log is found, wherever it is.

tests/control/test_audit.py changes every byte of what is read; here bytes are changed where they are kept, in
either store, a few of each entry and of the head.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.control import audit
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.storage import keys
from gateway.storage.base import Document, Put, Store
from tests.support.prompts import prompt_text

PLACES = 12  # of each document


def flips(document: Document) -> Iterator[bytes]:
    step = max(len(document.value) // PLACES, 1)
    for number, position in enumerate(range(0, len(document.value), step)):
        value = bytearray(document.value)
        value[position] ^= (0x01, 0x20, 0x80)[number % 3]
        yield bytes(value)


async def test_a_changed_byte_is_found_where_it_is_kept(store: Store) -> None:
    operations = StoreOperations(store)
    for body in ("one", "two", "three"):
        await operations.push(prompt_text(body), "file", By("ann", "why: 'ä' 🐤"))
    documents = [*await store.list(keys.AUDIT), await store.get(keys.AUDIT_HEAD)]
    assert len(documents) == 4
    for document in documents:
        assert document is not None
        for value in flips(document):
            await store.commit([Put(document.key, value, None)])
            proof = await audit.verify(store)
            assert not proof.ok, (document.key, value)
            if document.key != keys.AUDIT_HEAD:
                assert document.key == keys.audit(proof.broken_at or 0)
        await store.commit([Put(document.key, document.value, None)])
        assert (await audit.verify(store)).ok
