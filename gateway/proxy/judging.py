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
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from gateway.domain.judging import Item, encode_item, encode_words
from gateway.domain.safety import is_severe
from gateway.errors import ConfigError, GatewayError, InvalidValue
from gateway.evals.flags import Rule, own_rule
from gateway.evals.redaction import Redaction
from gateway.settings import Settings
from gateway.storage import keys
from gateway.storage.base import Queue

logger = logging.getLogger(__name__)

MOST = 1000  # items that wait, at most 64 KiB each
MOST_DOUBTS, MOST_ROLLOUTS = 500, 256
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
    """Items on their way to a queue of the store. `pack`: what goes out, and words that stay there for `keep`
    s at most. `now`: store time, s."""

    def __init__(
        self,
        store: Queue,
        queue: str,
        pack: Callable[[Sent], tuple[bytes, bytes]],
        *,
        keep: float,
        now: Callable[[], float],
        most: int = MOST,
    ) -> None:
        self.given_up = 0  # items that came too late
        self.lost: Callable[[Sent, str], None] = lambda item, cause: None  # told of those that never went out
        self._tried = False  # the oldest: whether the store has it then nobody knows
        self._store = store
        self._queue = queue
        self._pack = pack
        self._keep = keep
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
                value, words = self._pack(item)
                await self._store.enqueue(self._queue_of(item), item.id, value, text=words, keep=self._keep)
            except GatewayError as error:
                self._tried = True
                logger.warning("items for the queue %s wait: %s", self._queue, error.message)
                return False
        else:
            self.given_up += 1
            if not self._tried and self._is_lost(item):
                self.lost(item, "late")
        self._waiting.popleft()
        self._tried = False
        return True

    def _queue_of(self, item: Sent) -> str:
        return self._queue

    def _is_lost(self, item: Sent) -> bool:
        return True

    async def close(self) -> None:
        """Those that still wait, as far as the store takes them."""
        while self._waiting and await self.send():
            pass


class Outbox(Sender[Item]):
    """`redact` are RE2 expressions; what they find goes no further. Raises `ConfigError` for an expression
    that is none."""

    def __init__(self, queue: Queue, *, redaction: Redaction, keep: float, now: Callable[[], float]) -> None:
        super().__init__(queue, keys.JUDGING, self._packed, keep=keep, now=now)
        self._redaction = redaction

    def offer(self, item: Item) -> str:
        """Why it cannot be judged; "" if it can."""
        if not item.answer.strip():
            return "empty"
        return "" if self.put(item) else "overflow"

    def _packed(self, item: Item) -> tuple[bytes, bytes]:
        question, answer = self._redaction.of(item.question), self._redaction.of(item.answer)
        sent = msgspec.structs.replace(item, question=question, answer=answer)
        return encode_item(sent), encode_words(sent)

    def _queue_of(self, item: Item) -> str:
        return keys.TRIAGE if item.flags else self._queue

    def _is_lost(self, item: Item) -> bool:
        return not item.flags  # only the judge owes a record


def looks_again(settings: Settings) -> bool:
    """Whether there is a process that looks at flagged answers again."""
    return settings.judge is not None or settings.evals is not None or settings.safety.moderation is not None


class Doubts:
    """Flagged answers that are looked at again: severe flags of both arms, any of the canary's, of one
    rollout at most `MOST_DOUBTS` by this worker."""

    def __init__(self) -> None:
        self._sent: dict[str, int] = {}

    def has(self, rollout: str, flags: tuple[str, ...], *, canary: bool) -> bool:
        wanted = bool(flags) and (canary or any(is_severe(flag) for flag in flags))
        return wanted and self._sent.get(rollout, 0) < MOST_DOUBTS

    def sent(self, rollout: str) -> None:
        if rollout not in self._sent and len(self._sent) >= MOST_ROLLOUTS:
            self._sent.clear()
        self._sent[rollout] = self._sent.get(rollout, 0) + 1


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """The configuration's own. Raises `ConfigError`."""
    try:
        return tuple(own_rule(rule.name, rule.pattern, severe=rule.severe) for rule in settings.safety.rules)
    except InvalidValue as error:
        raise ConfigError(f"safety.rules: {error.message}") from error
