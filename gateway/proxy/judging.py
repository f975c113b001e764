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
from typing import Any, NamedTuple

import re2

from gateway.domain.judging import Item, encode_item
from gateway.errors import ConfigError, GatewayError, InvalidValue
from gateway.evals.flags import Rule, own_rule
from gateway.settings import Settings
from gateway.storage import keys
from gateway.storage.base import Queue

logger = logging.getLogger(__name__)

MOST = 1000  # items that wait, at most 64 KiB each
AGAIN = 1.0  # s between attempts while the store is down
INSTEAD = "[redacted]"


class Said(NamedTuple):
    """A request's conversation and its answer, in words; the span of the request (`Item.trace`)."""

    question: str
    answer: str
    trace: bytes = b""


class Outbox:
    """`redact` are RE2 expressions; what they find goes no further. `now`: store time, s. Raises
    `ConfigError` for an expression that is none."""

    def __init__(self, queue: Queue, *, redact: Sequence[str], now: Callable[[], float]) -> None:
        self.given_up = 0  # items that came too late
        self.lost: Callable[[Item, str], None] = lambda item, cause: None  # told of those that never went out
        self._tried = False  # the oldest: whether the store has it then nobody knows
        self._queue = queue
        self._redact = [_compiled(pattern) for pattern in redact]
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
                await self._queue.enqueue(keys.JUDGING, item.id, encode_item(self._redacted(item)))
            except GatewayError as error:
                self._tried = True
                logger.warning("answers to be judged wait: %s", error.message)
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

    def _redacted(self, item: Item) -> Item:
        question, answer = item.question, item.answer
        for pattern in self._redact:
            question, answer = pattern.sub(INSTEAD, question), pattern.sub(INSTEAD, answer)
        return Item(item.prompt, item.rollout, item.unit, item.due_at, question, answer, item.trace)


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """The configuration's own. Raises `ConfigError`."""
    try:
        return tuple(own_rule(rule.name, rule.pattern, severe=rule.severe) for rule in settings.safety.rules)
    except InvalidValue as error:
        raise ConfigError(f"safety.rules: {error.message}") from error


def _compiled(pattern: str) -> Any:
    try:
        return re2.compile(pattern)
    except re2.error as error:
        raise ConfigError(f"judge.redact: {pattern!r} is no RE2 expression: {error}") from error
