"""First answers of judged sessions, from this worker to the judge's queue.

    offered by the recorder, once it is known whose pin stands   → waiting, at most `MOST`
    redacted, enqueued off the path                              → the store's queue, set if absent

What cannot be handed on is told to the recorder as a cause: the session then counts as judged without a
score. An item that waits through an outage of the store is given up once its score would come too late.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from gateway.domain.judging import Item, encode_item
from gateway.errors import GatewayError
from gateway.evals.redaction import Redaction
from gateway.storage import keys
from gateway.storage.base import Queue

logger = logging.getLogger(__name__)

MOST = 1000  # items that wait, at most 64 KiB each
AGAIN = 1.0  # s between attempts while the store is down


class Said(NamedTuple):
    """A request's conversation and its answer, in words; the span of the request (`Item.trace`)."""

    question: str
    answer: str
    trace: bytes = b""


class Waiting(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def due_at(self) -> float: ...


Sent = TypeVar("Sent", bound=Waiting)


class Sender(Generic[Sent]):
    """Items on their way to a queue of the store. `pack`: as they go out. `now`: store time, s."""

    def __init__(
        self,
        store: Queue,
        queue: str,
        pack: Callable[[Sent], bytes],
        *,
        now: Callable[[], float],
        most: int = MOST,
    ) -> None:
        self.given_up = 0  # items that came too late
        self.lost: Callable[[Sent, str], None] = lambda item, cause: None  # told of those that never went out
        self._tried = False  # the oldest: whether the store has it then nobody knows
        self._store = store
        self._queue = queue
        self._pack = pack
        self._now = now
        self._most = most
        self._waiting: deque[Sent] = deque()
        self._news = asyncio.Event()

    def put(self, item: Sent) -> bool:
        """False if there is no room."""
        if len(self._waiting) >= self._most:
            return False
        self._waiting.append(item)
        self._news.set()
        return True

    async def run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                if not await self.send():
                    await asyncio.sleep(AGAIN)

    async def send(self) -> bool:
        """Hand the oldest item on; False if the store did not take it now."""
        item = self._waiting[0]
        if self._now() < item.due_at:
            try:
                await self._store.enqueue(self._queue, item.id, self._pack(item))
            except GatewayError as error:
                self._tried = True
                logger.warning("items for the queue %s wait: %s", self._queue, error.message)
                return False
        else:
            self.given_up += 1
            if not self._tried:
                self.lost(item, "late")
        self._waiting.popleft()
        self._tried = False
        return True

    async def close(self) -> None:
        """Those that still wait, as far as the store takes them."""
        while self._waiting and await self.send():
            pass


class Outbox(Sender[Item]):
    """`redact` are RE2 expressions; what they find goes no further. Raises `ConfigError` for an expression
    that is none."""

    def __init__(self, queue: Queue, *, redact: Sequence[str], now: Callable[[], float]) -> None:
        super().__init__(queue, keys.JUDGING, self._packed, now=now)
        self._redaction = Redaction(redact)

    def offer(self, item: Item) -> str:
        """Why it cannot be judged; "" if it can."""
        if not item.answer.strip():
            return "empty"
        return "" if self.put(item) else "overflow"

    def _packed(self, item: Item) -> bytes:
        question, answer = self._redaction.applied(item.question), self._redaction.applied(item.answer)
        sent = Item(item.prompt, item.rollout, item.unit, item.due_at, question, answer, item.trace)
        return encode_item(sent)
