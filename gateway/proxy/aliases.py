"""Which session a response belongs to, for requests that name it as their `previous_response_id`.

    request   previous_response_id ── look-up ──▶ the session that got that response
    answer    its id ── written at once or in a batch ──▶ alias → session, settled before the last byte

Both only while a rollout runs: without one there is nothing to keep a session to. A look-up that finds
nothing (the conversation is older than the rollout, or than a pin's life) makes the named response itself the
session. One that fails tells nothing: such a request is assigned without a session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Literal

from gateway.errors import GatewayError
from gateway.storage import keys
from gateway.storage.base import Keys, Later
from gateway.wire.sse import EventScanner
from gateway.wire.usage import Answer

logger = logging.getLogger(__name__)

WRITE_EVERY = 0.01  # s, as new pins
MOST_BYTES = 1024 * 1024  # of an answer that is not streamed and is read for its id

Known = bytes | Literal["failed"] | None
Found = Callable[[Known], None]


class Aliasing:
    """One answer whose id is to be remembered. `wanted`: it is not known yet; `settled`: the answer may
    end."""

    __slots__ = ("_board", "_body", "_done", "_name", "_size", "session", "settled", "wanted")

    def __init__(
        self, board: AliasBoard, session: bytes, name: Callable[[str], bytes], done: Callable[[], None]
    ) -> None:
        self._board = board
        self._name = name  # a response's id → the alias
        self._done: Callable[[], None] | None = done
        self._body: list[bytes] = []
        self._size = 0
        self.session = session
        self.wanted = True
        self.settled = False

    def hear(self, data: bytes, scanner: EventScanner | None) -> None:
        """A piece of the answer has come, and passed through the scanner if it is a stream."""
        if scanner is not None:
            if scanner.response_id is not None:
                self.write(scanner.response_id)
            return
        self._size += len(data)
        if self._size > MOST_BYTES:
            self.give_up()
        else:
            self._body.append(data)

    def end(self, scanner: EventScanner | None, read: Callable[[bytes], Answer | None]) -> None:
        """Nothing more will come; `read` reads an answer that is not a stream."""
        answer = read(b"".join(self._body)) if scanner is None else None
        if answer is not None and answer.id is not None:
            self.write(answer.id)
        else:
            self.give_up()

    def write(self, id: str) -> None:
        """The id is known; once what stands is known too, or cannot be in time, `done` is called."""
        self.wanted = False
        self._body.clear()
        self._board.write(self._name(id), self)

    def give_up(self) -> None:
        """There is no id, or no time."""
        self.wanted = False
        self._body.clear()
        if self.settled:
            return
        self.settled = True
        done, self._done = self._done, None  # it holds the exchange, which holds this: a cycle
        if done is not None:
            done()


class AliasBoard:
    """`ttl` s is how long an alias lives; `patience` s bounds how long an answer's end waits for one."""

    def __init__(self, store: Keys, *, ttl: float, patience: float) -> None:
        self._store = store
        self._ttl = ttl
        self._patience = patience
        self._new: list[tuple[bytes, Aliasing]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def look_up(self, alias: bytes, found: Found) -> None:
        """Calls `found`, now or later: with the session, None where the store knows of none, or "failed"."""
        session = self._store.get_at_once(keys.alias(alias.hex()))
        if isinstance(session, Later):
            self._spawn(self._ask(alias, found))
        else:
            found(session)

    async def _ask(self, alias: bytes, found: Found) -> None:
        session: Known
        try:
            session = await self._store.get_key(keys.alias(alias.hex()))
        except GatewayError:
            session = "failed"
        except Exception:  # nobody may wait for ever
            logger.exception("an alias could not be looked up")
            session = "failed"
        found(session)

    def write(self, alias: bytes, aliasing: Aliasing) -> None:
        """At once, or with the next batch."""
        stand = self._store.set_all_at_once(((keys.alias(alias.hex()), aliasing.session, self._ttl),))
        if not isinstance(stand, Later):
            aliasing.give_up()
            return
        self._new.append((alias, aliasing))
        if len(self._new) == 1:
            asyncio.get_running_loop().call_later(WRITE_EVERY, self._write_new)

    def _write_new(self) -> None:
        batch, self._new = self._new, []
        if not batch:  # `close` was faster
            return
        self._spawn(self._write_batch(batch))
        asyncio.get_running_loop().call_later(self._patience, _settle, batch)

    async def _write_batch(self, batch: list[tuple[bytes, Aliasing]]) -> None:
        try:
            await self._store.set_all_if_absent(
                [(keys.alias(alias.hex()), aliasing.session, self._ttl) for alias, aliasing in batch]
            )
        except GatewayError as error:
            logger.warning("%d responses will not be known again: %s", len(batch), error.message)
        finally:
            _settle(batch)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for writes under way."""
        self._write_new()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * self._patience)


def _settle(batch: list[tuple[bytes, Aliasing]]) -> None:
    for _, aliasing in batch:
        aliasing.give_up()
