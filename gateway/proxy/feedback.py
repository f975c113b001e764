"""`POST /v1/feedback`: what was said of an answer, into the log of the rollout that it was part of.

The signed request id says which answer, version and arm it was, so nothing is looked up and nothing can be
forged. It is answered once it is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.domain.feedback import encode_feedback, feedback_of, read_body
from gateway.domain.observation import Told
from gateway.domain.request_id import RequestId, verify
from gateway.errors import BodyTooLarge, Forbidden, GatewayError
from gateway.evals.redaction import Redaction
from gateway.proxy.base import Head, Link, unforeseen
from gateway.storage import keys

if TYPE_CHECKING:
    from gateway.storage.base import Logs

PATH = b"/v1/feedback"
MOST_BYTES = 16 * 1024
AHEAD = 60.0  # s that a request id may lie in the future: machines' clocks
STORED = b'{"stored":true}'


class Desk:
    """Where feedback is written; what `redaction` finds in a comment is not. `max_age`: s after its
    answer."""

    def __init__(
        self,
        store: Logs,
        signing_keys: Sequence[bytes],
        redaction: Redaction,
        max_age: float,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._keys = signing_keys
        self._redaction = redaction
        self._max_age = max_age
        self._now = now
        self.told: Callable[[str, Told], None] = lambda rollout, told: None
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, raw: bytes, link: Link) -> None:
        """Raises `InvalidValue` or `Forbidden`; else the link is answered later."""
        body = read_body(raw)
        id = self._verified(body.request_id)
        told = feedback_of(body, id, self._now())
        self.told(id.rollout, Told(told.session, told.outcome, told.score, told.told_at))
        value = encode_feedback(replace(told, comment=self._redaction.of(told.comment)))
        task = asyncio.get_running_loop().create_task(self._write(keys.feedback(id.rollout), value, link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _verified(self, token: str) -> RequestId:
        id = verify(token, self._keys)
        if id is None:
            raise Forbidden(
                "request_id is not one that this gateway has signed: send the x-request-id of the answer",
                param="request_id",
            )
        age = self._now() - id.at
        if not -AHEAD <= age <= self._max_age:
            raise Forbidden(
                f"request_id has expired: feedback is taken for {self._max_age / 86_400.0:g} days",
                param="request_id",
            )
        return id

    async def _write(self, log: str, value: bytes, link: Link) -> None:
        try:
            await self._store.append(log, [value])
        except GatewayError as error:
            link.fail(error)
            return
        except Exception:  # noqa: BLE001  (logged; the client gets an answer)
            link.fail(unforeseen())
            return
        link.respond(200, b"OK", [(b"content-type", b"application/json")], len(STORED))
        link.send(STORED)
        link.end()

    async def close(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)


class FeedbackRequest:
    """Holds the body until it is complete."""

    def __init__(self, desk: Desk, head: Head, link: Link) -> None:
        self._desk = desk
        self._link = link
        self._pieces: list[bytes] = []
        self._size = 0
        self._over = False
        if head.length is not None and head.length > MOST_BYTES:
            raise BodyTooLarge(f"feedback has at most {MOST_BYTES} bytes")

    def body(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._over:
            return
        if self._size > MOST_BYTES:
            self._over = True
            self._pieces.clear()
            self._link.fail(BodyTooLarge(f"feedback has at most {MOST_BYTES} bytes"))
            return
        self._pieces.append(chunk)

    def body_end(self) -> None:
        if self._over:
            return
        try:
            self._desk.take(b"".join(self._pieces), self._link)
        except GatewayError as error:
            self._link.fail(error)
        except Exception:  # noqa: BLE001  (logged; the client gets an answer)
            self._link.fail(unforeseen())

    def client_gone(self) -> None:
        self._over = True

    def client_writable(self, writable: bool) -> None: ...
