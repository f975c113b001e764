"""The audit log as a hash chain: each entry's hash covers its content and the hash before it.

The hash is sha256 over RFC 8785 (canonical JSON) of all fields but itself, so it survives any store and any
spelling of numbers. A chain shows a changed, missing, added or moved entry; that its end was cut off shows
only against a head kept elsewhere (`head`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NotRequired, TypedDict, Unpack

import msgspec
import rfc8785

from gateway.errors import InvalidValue

GENESIS = ""  # what the first entry follows


class AuditEntry(msgspec.Struct, frozen=True):
    """`at` is store time, s; `before` and `after` are JSON values of what changed; `evidence` is what an
    automatic decision rested on. `sequence` counts 1, 2, 3; `hash` and `previous` are 64 hex digits."""

    sequence: int
    at: float
    actor: str
    action: str
    subject: str
    reason: str
    before: Any
    after: Any
    evidence: Any
    previous: str
    hash: str


class Told(TypedDict):
    """What an entry tells, as in `AuditEntry`."""

    at: float
    actor: str
    action: str
    subject: str
    reason: str
    before: NotRequired[Any]
    after: NotRequired[Any]
    evidence: NotRequired[Any]


def append(previous: AuditEntry | None, **told: Unpack[Told]) -> AuditEntry:
    """The entry that follows `previous` (None: the first). Raises `InvalidValue` for what is not JSON."""
    fields: dict[str, Any] = {"before": None, "after": None, "evidence": None, **told}
    entry = AuditEntry(
        sequence=1 if previous is None else previous.sequence + 1,
        previous=GENESIS if previous is None else previous.hash,
        hash="",
        **fields,
    )
    return msgspec.structs.replace(entry, hash=hash_of(entry))


def hash_of(entry: AuditEntry) -> str:
    """What `entry.hash` must be."""
    fields = msgspec.to_builtins(entry)
    del fields["hash"]
    try:
        return hashlib.sha256(rfc8785.dumps(fields)).hexdigest()
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise InvalidValue(f"the audit entry cannot be written as canonical JSON: {error}") from error


def verify(
    entries: Iterable[AuditEntry], *, previous: AuditEntry | None = None, head: str | None = None
) -> int | None:
    """The sequence of the first entry that is not what was appended, or None.

    `previous` is the entry before the first of `entries` (for reading in pages). `head` is the last entry's
    hash as it was noted elsewhere: where the chain ends with another, the sequence after its end is named.
    """
    sequence, last = (0, GENESIS) if previous is None else (previous.sequence, previous.hash)
    for entry in entries:
        sequence += 1
        if entry.sequence != sequence or entry.previous != last or not _is_whole(entry):
            return sequence
        last = entry.hash
    return None if head is None or head == last else sequence + 1


def _is_whole(entry: AuditEntry) -> bool:
    try:
        return entry.hash == hash_of(entry)
    except InvalidValue:
        return False
