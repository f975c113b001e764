"""Statements of documents.db: documents and leases. Each function runs inside a transaction of `SqliteFile`.

Commits are serialized by SQLite's one writer, so the order of revisions is the order of commits, and a
reader's snapshot never shows a revision without all revisions before it.
"""

from collections.abc import Sequence
from sqlite3 import Connection

from gateway.errors import FenceLost, StoreRevised
from gateway.storage.base import Document, Feed, Fence, Lease, Put

SCHEMA = (
    "CREATE TABLE documents (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL)",
    "CREATE INDEX documents_by_revision ON documents (revision, key)",
    "CREATE TABLE revision (value INTEGER NOT NULL)",
    "INSERT INTO revision VALUES (0)",
    """CREATE TABLE leases (
        name TEXT PRIMARY KEY, owner TEXT, token INTEGER NOT NULL, expires REAL NOT NULL
    ) WITHOUT ROWID""",
)
AFTER_ALL = "\U0010ffff"  # sorts after every character: the end of a prefix


def get(db: Connection, key: str) -> Document | None:
    row = db.execute("SELECT key, revision, value FROM documents WHERE key = ?", (key,)).fetchone()
    return None if row is None else Document(*row)


def list_documents(db: Connection, prefix: str, after: str, limit: int) -> tuple[Document, ...]:
    rows = db.execute(
        "SELECT key, revision, value FROM documents "
        "WHERE key >= ? AND key > ? AND key < ? ORDER BY key LIMIT ?",
        (prefix, after, prefix + AFTER_ALL, limit),
    )
    return tuple(Document(*row) for row in rows)


def commit(db: Connection, puts: Sequence[Put], fence: Fence | None) -> int:
    if fence is not None:
        _check_fence(db, fence)
    for put in puts:
        _check_revision(db, put)
    (revision,) = db.execute("UPDATE revision SET value = value + 1 RETURNING value").fetchone()
    db.executemany(
        """INSERT INTO documents (key, revision, value) VALUES (?, ?, ?)
        ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, value = excluded.value""",
        [(put.key, revision, put.value) for put in puts],
    )
    return int(revision)


def _check_fence(db: Connection, fence: Fence) -> None:
    row = db.execute("SELECT token FROM leases WHERE name = ?", (fence.lease,)).fetchone()
    newest = 0 if row is None else row[0]
    if newest != fence.token:
        raise FenceLost(f"lease {fence.lease!r} has token {newest} now, not {fence.token}: another holds it")


def _check_revision(db: Connection, put: Put) -> None:
    if put.expected is None:
        return
    row = db.execute("SELECT revision FROM documents WHERE key = ?", (put.key,)).fetchone()
    found = 0 if row is None else row[0]
    if found != put.expected:
        raise StoreRevised(
            f"document {put.key!r} is at revision {found}, not {put.expected}: read it again and decide anew",
            param=put.key,
        )


def revision(db: Connection) -> int:
    return int(db.execute("SELECT value FROM revision").fetchone()[0])


def changes(db: Connection, since: int, prefixes: Sequence[str], limit: int) -> Feed:
    wanted = " OR ".join("(key >= ? AND key < ?)" for _ in prefixes) or "FALSE"
    bounds = [bound for prefix in prefixes for bound in (prefix, prefix + AFTER_ALL)]
    select = f"SELECT key, revision, value FROM documents WHERE ({wanted}) AND"
    order = "ORDER BY revision, key"
    rows = db.execute(f"{select} revision > ? {order} LIMIT ?", (*bounds, since, limit)).fetchall()
    if len(rows) < limit:
        return Feed(revision(db), tuple(Document(*row) for row in rows))
    key, last, _ = rows[-1]
    rows += db.execute(f"{select} revision = ? AND key > ? {order}", (*bounds, last, key))
    return Feed(last, tuple(Document(*row) for row in rows))


def acquire(db: Connection, name: str, owner: str, ttl: float, now: float) -> Lease | None:
    row = db.execute("SELECT owner, token, expires FROM leases WHERE name = ?", (name,)).fetchone()
    holder, token, expires = (None, 0, 0.0) if row is None else row
    if holder not in (None, owner) and expires > now:
        return None
    if holder != owner:
        token += 1
    db.execute(
        """INSERT INTO leases (name, owner, token, expires) VALUES (?, ?, ?, ?) ON CONFLICT (name)
        DO UPDATE SET owner = excluded.owner, token = excluded.token, expires = excluded.expires""",
        (name, owner, token, now + ttl),
    )
    return Lease(name, token, now + ttl)


def release(db: Connection, name: str, owner: str) -> None:
    db.execute("UPDATE leases SET owner = NULL, expires = 0 WHERE name = ? AND owner = ?", (name, owner))
