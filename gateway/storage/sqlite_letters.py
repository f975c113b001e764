"""Dead letters of the queue in SQLite: looked at, and set free again (see `sqlite_evidence`)."""

from __future__ import annotations

from sqlite3 import Connection

from gateway.storage.base import Letter


def letters(db: Connection, queue: str, limit: int) -> tuple[Letter, ...]:
    rows = db.execute(
        """SELECT id, at, reason, attempt FROM items WHERE queue = ? AND state = 'dead'
        ORDER BY at DESC, sequence DESC LIMIT ?""",
        (queue, limit),
    )
    return tuple(Letter(id, at, reason or "", attempt) for id, at, reason, attempt in rows)


def revive(db: Connection, queue: str, id: str) -> bool:
    return (
        db.execute(
            """UPDATE items SET state = 'free', at = 0, owner = NULL, attempt = 0, reason = NULL
            WHERE queue = ? AND id = ? AND state = 'dead'""",
            (queue, id),
        ).rowcount
        == 1
    )
