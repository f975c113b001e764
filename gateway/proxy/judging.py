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
from typing import NamedTuple

import msgspec

from gateway.domain.judging import Item, encode_item, encode_words
from gateway.domain.safety import is_severe
from gateway.errors import ConfigError, GatewayError, InvalidValue
from gateway.evals.flags import Rule, own_rule
from gateway.proxy.redaction import Redaction
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


class Outbox:
    """What `redaction` finds goes no further; words stay in the queue for `keep` s at most. `now`: store
    time, s."""

    def __init__(self, queue: Queue, *, redaction: Redaction, keep: float, now: Callable[[], float]) -> None:
        self.given_up = 0  # items that came too late
        self.lost: Callable[[Item, str], None] = lambda item, cause: None  # told of those that never went out
        self._tried = False  # the oldest: whether the store has it then nobody knows
        self._queue = queue
        self._redaction = redaction
        self._keep = keep
        self._now = now
        self._waiting: deque[Item] = deque()
        self._news = asyncio.Event()

    def offer(self, item: Item) -> str:
        """Why it cannot be judged; "" if it can."""
        if not item.answer.strip():
            return "empty"
        if len(self._waiting) >= MOST:
            return "overflow"
        self._waiting.append(item)
        self._news.set()
        return ""

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
                await self._enqueue(self._redacted(item))
            except GatewayError as error:
                self._tried = True
                logger.warning("answers to be judged wait: %s", error.message)
                return False
        else:
            self.given_up += 1
            if not self._tried and not item.flags:
                self.lost(item, "late")
        self._waiting.popleft()
        self._tried = False
        return True

    async def _enqueue(self, item: Item) -> None:
        words = encode_words(item)
        queue = keys.TRIAGE if item.flags else keys.JUDGING
        await self._queue.enqueue(queue, item.id, encode_item(item), text=words, keep=self._keep)

    async def close(self) -> None:
        """Those that still wait, as far as the store takes them."""
        while self._waiting and await self.send():
            pass

    def _redacted(self, item: Item) -> Item:
        question, answer = self._redaction.of(item.question), self._redaction.of(item.answer)
        return msgspec.structs.replace(item, question=question, answer=answer)


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
