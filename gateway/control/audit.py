"""The audit log: every change of what may be served, in one order, as a hash chain.

An entry is written in the commit of the change that it tells of. Its order is a compare-and-set on the
chain's head (a copy of the last entry) and on the entry's own key, which must not exist: of two writers
one tries again. The proof is by bytes, not by meaning: an entry must be stored exactly as it was written.
What is cut off at the end shows against the head; who rewrites the whole chain and the head is found only
by comparing the last hash with one noted elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
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
    """`ok`, or the sequence of the first entry that is not as it was written. `hash` is the last one's:
    worth noting elsewhere."""

    ok: bool
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
    head: Head,
    *,
    at: float,
    by: By,
    action: str,
    subject: str,
    before: Any = None,
    after: Any = None,
    evidence: Any = None,
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
        evidence=evidence,
    )
    value = codec.encode(entry)
    return Put(keys.audit(entry.sequence), value, 0), Put(keys.AUDIT_HEAD, value, head.revision)


async def read_page(
    store: Documents,
    *,
    before: int | None = None,
    limit: int = 50,
    subject: str = "",
    seen: Callable[[str], bool] = lambda subject: True,
) -> AuditPage:
    """Up to `limit` entries below sequence `before` (None: from the end), newest first: those of `subject`,
    if one is given, and of subjects that `seen` lets through."""
    end = await _end(store) + 1
    top = end if before is None else min(before, end)
    found: list[AuditEntry] = []
    while top > 1 and len(found) < limit:
        size = max(limit - len(found), PAGE)
        bottom = max(top - size, 1)
        documents = await store.list(keys.AUDIT, after=keys.audit(bottom - 1), limit=top - bottom)
        entries = [codec.decode_document(document, AuditEntry) for document in reversed(documents)]
        entries = [entry for entry in entries if entry.sequence < top]
        found += [entry for entry in entries if subject in ("", entry.subject) and seen(entry.subject)]
        top = bottom
    found = found[:limit]
    more = bool(found) and found[-1].sequence > 1 and len(found) == limit
    return AuditPage(tuple(found), found[-1].sequence if more else None)


async def entries_after(store: Documents, sequence: int, limit: int) -> tuple[AuditEntry, ...]:
    """Up to `limit` entries that follow `sequence`, in their order."""
    documents = await store.list(keys.AUDIT, after=keys.audit(sequence), limit=limit)
    return tuple(codec.decode_document(document, AuditEntry) for document in documents)


async def verify(store: Documents) -> Verification:
    """Read the whole chain and prove it. Entries that are added meanwhile are not looked at."""
    document = await store.get(keys.AUDIT_HEAD)
    head = None if document is None else _as_written(document)
    if document is not None and head is None:
        return _broken(0, 0, "the chain's head is not as it was written")
    end = 0 if head is None else head.sequence
    last: AuditEntry | None = None
    count, after = 0, ""
    while count < end:
        documents = await store.list(keys.AUDIT, after=after, limit=PAGE)
        if not documents:
            return _broken(count, count + 1, "it is missing")
        for document in documents[: end - count]:
            entry = _as_written(document)
            if entry is None:
                return _broken(count, count + 1, "it is not as it was written")
            if document.key != keys.audit(count + 1) or chain.verify((entry,), previous=last) is not None:
                return _broken(count, count + 1, "it does not follow from the entry before it")
            last, count = entry, count + 1
        after = documents[-1].key
    if last != head:
        return _broken(count - 1, count, "the chain's head tells of another last entry")
    if await store.get(keys.audit(end + 1)) is not None and await _end(store) <= end:
        return _broken(count, end + 1, "the chain's head does not know it")
    return Verification(True, count, "" if last is None else last.hash)


async def _end(store: Documents) -> int:
    entry = (await read_head(store)).entry
    return 0 if entry is None else entry.sequence


def _broken(count: int, sequence: int, problem: str) -> Verification:
    return Verification(False, count, broken_at=sequence, problem=f"entry {sequence}: {problem}")


def _as_written(document: Document) -> AuditEntry | None:
    try:
        entry = codec.decode_document(document, AuditEntry)
    except GatewayError:
        return None
    return entry if codec.encode(entry) == document.value else None
