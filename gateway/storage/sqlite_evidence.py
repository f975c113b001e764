"""Statements of evidence.db: keys with a time to live, logs, queues. Each runs inside a transaction of
`SqliteFile`; `now` is in seconds since the epoch. Sweeps take bounded pieces, so that no pin waits for one.

A key is kept by a hash of 16 bytes, and expired ones are not found by an index, which would be a second page,
but among the neighbours of new ones: hashes fall anywhere, so every place is visited in turn. Pins and
aliases, which come by the thousand in a second, are not here but in `key_table`.
"""

from collections.abc import Sequence
from pathlib import Path
from sqlite3 import Connection

from gateway.storage.base import QUEUE_MEMORY, Claim, Record
from gateway.storage.key_table import VALUE_BYTES, KeyTable, key_id

SCHEMA = (
    "CREATE TABLE pairs (id BLOB PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE logs (log TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE records (log TEXT NOT NULL, position INTEGER NOT NULL, value BLOB NOT NULL)",
    "CREATE UNIQUE INDEX records_by_position ON records (log, position)",
    # `at` is when a claim runs out or the item ended; free items have 0, so that they sort by sequence.
    """CREATE TABLE items (
        sequence INTEGER PRIMARY KEY, queue TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL,
        state TEXT NOT NULL DEFAULT 'free', at REAL NOT NULL DEFAULT 0, owner TEXT,
        attempt INTEGER NOT NULL DEFAULT 0, reason TEXT, text BLOB, text_until REAL NOT NULL DEFAULT 0,
        UNIQUE (queue, id)
    )""",
    "CREATE INDEX items_by_state ON items (queue, state, at)",
    "CREATE INDEX items_by_text ON items (queue, text_until) WHERE text IS NOT NULL",
)
VISIT = 4  # neighbours looked at for each new key: of all keys, about one in so many has expired
BATCHES = (64, 8, 1)  # keys set by one statement
TRIM = 1000  # log records deleted at once
FORGET = 10  # ended queue items deleted with each one that ends


def upgrade_keys(db: Connection) -> None:
    """Layout 1 kept keys by their text and had an index of when they end."""
    db.execute(SCHEMA[0])
    rows = db.execute("SELECT key, value, expires FROM keys")
    db.executemany("INSERT INTO pairs VALUES (?, ?, ?)", ((key_id(key), *rest) for key, *rest in rows))
    db.execute("DROP TABLE keys")


def upgrade_items(db: Connection) -> None:
    """Layout 2 kept an item's words in its value, for as long as the item."""
    db.execute("ALTER TABLE items ADD COLUMN text BLOB")
    db.execute("ALTER TABLE items ADD COLUMN text_until REAL NOT NULL DEFAULT 0")
    db.execute(SCHEMA[-1])


UPGRADES = (upgrade_keys, upgrade_items)


def upgrade_small(db: Connection, path: Path) -> None:
    """Layout 3 kept pins here. Whose a key is, its id does not tell: all that fit go to the table."""
    table = KeyTable(path, patience=1.0)
    rows = db.execute("SELECT id, value, expires FROM pairs WHERE length(value) <= ?", (VALUE_BYTES,))
    try:
        table.open()
        table.put_all(rows.fetchall(), now=0.0)
    finally:
        table.close()


def get_key(db: Connection, key: str, now: float) -> bytes | None:
    row = db.execute("SELECT value FROM pairs WHERE id = ? AND expires > ?", (key_id(key), now)).fetchone()
    return None if row is None else row[0]


def set_all_if_absent(
    db: Connection, items: Sequence[tuple[str, bytes, float]], now: float
) -> tuple[bytes, ...]:
    """The values that stand afterwards. Statements of a few sizes only, so that they stay prepared."""
    hashed = [(key_id(key), value, now + ttl) for key, value, ttl in items]
    winners: list[bytes] = []
    while len(winners) < len(hashed):
        start = len(winners)
        size = next(size for size in BATCHES if size <= len(hashed) - start)
        winners += _set_some(db, hashed[start : start + size], now)
    if hashed:
        _sweep(db, hashed[0][0], now, VISIT * len(hashed))
    return tuple(winners)


def _set_some(db: Connection, items: Sequence[tuple[bytes, bytes, float]], now: float) -> list[bytes]:
    rows = ", ".join(["(?, ?, ?)"] * len(items))
    changed = db.execute(
        f"""INSERT INTO pairs (id, value, expires) VALUES {rows} ON CONFLICT (id)
        DO UPDATE SET value = excluded.value, expires = excluded.expires WHERE expires <= ?""",
        [part for item in items for part in item] + [now],
    ).rowcount
    if changed == len(items):
        return [value for _, value, _ in items]
    return [db.execute("SELECT value FROM pairs WHERE id = ?", item[:1]).fetchone()[0] for item in items]


def touch(db: Connection, keys: Sequence[tuple[str, float]], now: float) -> None:
    db.executemany(
        "UPDATE pairs SET expires = ? WHERE id = ? AND expires > ?",
        [(now + ttl, key_id(key), now) for key, ttl in keys],
    )


def delete_key(db: Connection, key: str) -> None:
    db.execute("DELETE FROM pairs WHERE id = ?", (key_id(key),))


def _sweep(db: Connection, start: bytes, now: float, visit: int) -> None:
    db.execute(
        """DELETE FROM pairs WHERE id IN (
            SELECT id FROM (SELECT id, expires FROM pairs WHERE id >= ? ORDER BY id LIMIT ?)
            WHERE expires <= ?)""",
        (start, visit, now),
    )


def append(db: Connection, log: str, values: Sequence[bytes]) -> int:
    (last,) = db.execute(
        """INSERT INTO logs (log, last) VALUES (?, ?) ON CONFLICT (log)
        DO UPDATE SET last = last + excluded.last RETURNING last""",
        (log, len(values)),
    ).fetchone()
    first = last - len(values) + 1
    db.executemany(
        "INSERT INTO records (log, position, value) VALUES (?, ?, ?)",
        [(log, position, value) for position, value in enumerate(values, first)],
    )
    return int(last)


def read(db: Connection, log: str, after: int, limit: int) -> tuple[Record, ...]:
    rows = db.execute(
        "SELECT position, value FROM records WHERE log = ? AND position > ? ORDER BY position LIMIT ?",
        (log, after, limit),
    )
    return tuple(Record(*row) for row in rows)


def trim(db: Connection, log: str, through: int) -> int:
    """Delete some of the records up to `through`; returns how many. `TRIM` means that there may be more."""
    return db.execute(
        """DELETE FROM records WHERE rowid IN (
            SELECT rowid FROM records WHERE log = ? AND position <= ? ORDER BY position LIMIT ?)""",
        (log, through, TRIM),
    ).rowcount


def enqueue(db: Connection, queue: str, id: str, value: bytes, text: bytes, until: float) -> bool:
    return (
        db.execute(
            """INSERT INTO items (queue, id, value, text, text_until) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (queue, id) DO NOTHING""",
            (queue, id, value, text or None, until),
        ).rowcount
        == 1
    )


def forget_texts(db: Connection, queue: str, now: float) -> int:
    """Some of them; `TRIM` means that there may be more."""
    return db.execute(
        """UPDATE items SET text = NULL WHERE sequence IN (
            SELECT sequence FROM items WHERE queue = ? AND text IS NOT NULL AND text_until <= ? LIMIT ?)""",
        (queue, now, TRIM),
    ).rowcount


def claim(db: Connection, queue: str, owner: str, limit: int, lease: float, now: float) -> tuple[Claim, ...]:
    select = (
        "SELECT sequence FROM items WHERE queue = ? AND state = ? AND at <= ? ORDER BY at, sequence LIMIT ?"
    )
    taken = db.execute(select, (queue, "claimed", now, limit)).fetchall()
    taken += db.execute(select, (queue, "free", now, limit - len(taken))).fetchall()
    claims = []
    for (sequence,) in taken:
        row = db.execute(
            """UPDATE items SET state = 'claimed', at = ?, owner = ?, attempt = attempt + 1
            WHERE sequence = ?
            RETURNING id, value, attempt, CASE WHEN text_until > ? THEN coalesce(text, x'') ELSE x'' END""",
            (now + lease, owner, sequence, now),
        ).fetchone()
        claims.append(Claim(*row))
    return tuple(claims)


def acknowledge(
    db: Connection, queue: str, owner: str, id: str, now: float, log: str, values: Sequence[bytes]
) -> bool:
    ended = db.execute(
        """UPDATE items SET state = 'done', at = ?, value = x'', text = NULL
        WHERE queue = ? AND id = ? AND state = 'claimed' AND owner = ?""",
        (now, queue, id, owner),
    ).rowcount
    _forget(db, queue, "done", now)
    if ended and values:
        append(db, log, values)
    return ended == 1


def bury(db: Connection, queue: str, owner: str, id: str, reason: str, now: float) -> bool:
    ended = db.execute(
        """UPDATE items SET state = 'dead', at = ?, reason = ?
        WHERE queue = ? AND id = ? AND state = 'claimed' AND owner = ?""",
        (now, reason, queue, id, owner),
    ).rowcount
    _forget(db, queue, "dead", now)
    return ended == 1


def _forget(db: Connection, queue: str, state: str, now: float) -> None:
    db.execute(
        """DELETE FROM items WHERE sequence IN (
            SELECT sequence FROM items WHERE queue = ? AND state = ? AND at <= ? ORDER BY at LIMIT ?)""",
        (queue, state, now - QUEUE_MEMORY, FORGET),
    )


def depth(db: Connection, queue: str, now: float) -> tuple[int, int, int]:
    row = db.execute(
        """SELECT coalesce(sum(state = 'free' OR (state = 'claimed' AND at <= ?)), 0),
            coalesce(sum(state = 'claimed' AND at > ?), 0), coalesce(sum(state = 'dead'), 0)
        FROM items WHERE queue = ? AND state IN ('free', 'claimed', 'dead')""",
        (now, now, queue),
    ).fetchone()
    return (row[0], row[1], row[2])
