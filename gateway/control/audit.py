"""The audit log: every change of what may be served, in one order, as a hash chain.

An entry is written in the commit of the change that it tells of. Its order is a compare-and-set on the
chain's head (a copy of the last entry) and on the entry's own key, which must not exist: of two writers
one tries again. The proof is by bytes, not by meaning: an entry must be stored exactly as it was written.
What is cut off at the end shows against the head; who rewrites the whole chain and the head is found only
by comparing the last hash with one noted elsewhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from gateway.control.plan import By
from gateway.domain import audit as chain
from gateway.domain.audit import AuditEntry
from gateway.errors import GatewayError
from gateway.storage import codec, keys
from gateway.storage.base import Document, Documents, Put

PAGE = 500  # entries read at once while verifying


class Head(NamedTuple):
    """The chain's end; `revision` is what the next entry is compared with (0: the chain is empty)."""

    entry: AuditEntry | None
    revision: int


class AuditPage(msgspec.Struct, frozen=True):
    """Newest first; `next` is the `before` of the following page, None at the end."""

    entries: tuple[AuditEntry, ...]
    next: int | None = None


class Verification(msgspec.Struct, frozen=True):
    """`intact`, or the sequence of the first entry that is not as it was written. `hash` is the last one's:
    worth noting elsewhere."""

    intact: bool
    entries: int
    hash: str = ""
    broken_at: int | None = None
    problem: str = ""


async def read_head(store: Documents) -> Head:
    document = await store.get(keys.AUDIT_HEAD)
    if document is None:
        return Head(None, 0)
    return Head(codec.decode_document(document, AuditEntry), document.revision)


def appended(
    head: Head, *, at: float, by: By, action: str, subject: str, before: Any = None, after: Any = None
) -> tuple[Put, Put]:
    """The two puts that add an entry; they belong into the commit of the change."""
    entry = chain.append(
        head.entry,
        at=at,
        actor=by.actor,
        action=action,
        subject=subject,
        reason=by.reason,
        before=before,
        after=after,
    )
    value = codec.encode(entry)
    return Put(keys.audit(entry.sequence), value, 0), Put(keys.AUDIT_HEAD, value, head.revision)


async def read_page(
    store: Documents, *, before: int | None = None, limit: int = 50, subject: str = ""
) -> AuditPage:
    """Up to `limit` entries below sequence `before` (None: from the end), newest first."""
    top = before
    if top is None:
        entry = (await read_head(store)).entry
        top = 1 if entry is None else entry.sequence + 1
    found: list[AuditEntry] = []
    while top > 1 and len(found) < limit:
        size = max(limit, PAGE) if subject else limit - len(found)
        bottom = max(top - size, 1)
        documents = await store.list(keys.AUDIT, after=keys.audit(bottom - 1), limit=top - bottom)
        entries = [codec.decode_document(document, AuditEntry) for document in reversed(documents)]
        entries = [entry for entry in entries if entry.sequence < top]
        found += [entry for entry in entries if not subject or entry.subject == subject]
        top = bottom
    found = found[:limit]
    more = bool(found) and found[-1].sequence > 1 and len(found) == limit
    return AuditPage(tuple(found), found[-1].sequence if more else None)


async def verify(store: Documents) -> Verification:
    """Read the whole chain and prove it. Entries that are added meanwhile are not looked at."""
    head = (await read_head(store)).entry
    last: AuditEntry | None = None
    count = 0
    after = ""
    while head is not None and count < head.sequence:
        documents = await store.list(keys.AUDIT, after=after or keys.AUDIT, limit=PAGE)
        for document in documents[: head.sequence - count]:
            entry = _as_written(document)
            sequence = count + 1
            if entry is None:
                return _broken(count, sequence, "it is not as it was written")
            if document.key != keys.audit(sequence) or chain.verify((entry,), previous=last) is not None:
                return _broken(count, sequence, "it does not follow from the entry before it")
            last, count = entry, sequence
        if not documents:
            return _broken(count, count + 1, "it is missing")
        after = documents[-1].key
    if last != head:
        return _broken(count, count, "the chain's head tells of another last entry")
    if head is None and await store.list(keys.AUDIT, limit=1):
        return _broken(0, 1, "the chain's head is missing")
    return Verification(True, count, "" if last is None else last.hash)


def _broken(count: int, sequence: int, problem: str) -> Verification:
    return Verification(False, count, broken_at=sequence, problem=f"entry {sequence}: {problem}")


def _as_written(document: Document) -> AuditEntry | None:
    try:
        entry = codec.decode_document(document, AuditEntry)
    except GatewayError:
        return None
    return entry if codec.encode(entry) == document.value else None
