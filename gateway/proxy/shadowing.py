"""Stable requests of a shadow stage, from this worker to the queue of copies.

    copied     a session's first request, as it goes to the provider: fit for being asked again, or not at all
    taken      by the recorder, once it is known whose pin stands and how stable has answered
    sent       off the path, into the store's queue, set if absent

A worker hands on at most `shadow.per_minute` of a prompt; what it does not hand on is no pair, neither good
nor bad. A request in which `judge.redact` finds something is not copied: asked without it, it would be
another request.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.analysis.rules import Rules
from gateway.domain.observation import Drawn, Outcome
from gateway.domain.rollout import Rollout
from gateway.domain.shadowing import Copy, encode_copied, encode_copy
from gateway.evals.redaction import Redaction
from gateway.proxy.choice import Choice
from gateway.proxy.judging import Sender
from gateway.settings import ShadowSettings
from gateway.storage import keys
from gateway.storage.base import Queue
from gateway.wire.replay import copied
from gateway.wire.splice import Fields

if TYPE_CHECKING:
    from gateway.proxy.managed import Managed

logger = logging.getLogger(__name__)

MOST = 100  # copies that wait
KEPT_HEADERS = (b"anthropic-version", b"anthropic-beta")
RULES = Rules()


class Copied(NamedTuple):
    """A request on its way, fit for being asked again. `variables` in JSON."""

    path: str
    body: bytes
    variables: bytes
    headers: tuple[tuple[str, str], ...]


class Shadowed(NamedTuple):
    """A copied request, and how it was answered."""

    copied: Copied
    answer: str
    outcome: Outcome
    flags: tuple[str, ...]
    trace: bytes = b""


class Shadowing:
    """`running` are the rollouts under a policy, by id; words stay in the queue for `keep` s at most. `now`:
    store time, s; `clock`: the loop's, s."""

    def __init__(
        self,
        store: Queue,
        settings: ShadowSettings,
        redaction: Redaction,
        *,
        keep: float,
        running: Callable[[], Mapping[str, Rollout]],
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.left_out: Counter[str] = Counter()  # requests that were not copied, by cause
        self.sender: Sender[Copy] = Sender(store, keys.SHADOWING, packed, keep=keep, now=now, most=MOST)
        self._settings = settings
        self._redaction = redaction
        self._running = running
        self._clock = clock
        self._rooms: dict[str, _Room] = {}  # by prompt

    def copy(self, exchange: Managed, choice: Choice, fields: Fields) -> Copied | None:
        """None where nobody wants it, or it cannot be asked again."""
        rollout = self._running().get(choice.rollout)
        if rollout is None or not rollout.in_shadow or choice.arm != "stable":
            return None
        pinning = choice.pinning
        if pinning is None or not pinning.drawn.evidence:
            return None  # not a session's first request
        if not self._room(rollout.prompt).left(self._clock(), self._settings.per_minute):
            return None
        body, cause = copied(exchange.path, fields, self._settings.request_bytes)
        selection = exchange.selection
        variables = {} if selection is None else selection.variables
        if not cause and self._redaction.finds([msgspec.json.decode(body), dict(variables)]):
            cause = "redacted"
        if cause:
            self.left_out[cause] += 1
            return None
        self._room(rollout.prompt).take()
        headers = exchange.headers
        kept = tuple(
            (name.decode(), headers[name].decode("latin-1")) for name in KEPT_HEADERS if name in headers
        )
        return Copied(exchange.path.decode("latin-1"), body, msgspec.json.encode(variables), kept)

    def take(self, rollout: Rollout, unit: Drawn, shadowed: Shadowed) -> None:
        """Once it is known that this is the session's first request. Stable's answer is redacted."""
        if not rollout.in_shadow:
            return
        copied = shadowed.copied
        due_at = unit.pinned_at + rollout.rules.get("judge_limit", RULES.judge_limit)
        item = Copy(
            rollout.prompt,
            rollout.id,
            unit,
            due_at,
            copied.path,
            copied.headers,
            shadowed.outcome,
            shadowed.flags,
            copied.body,
            copied.variables,
            self._redaction.of(shadowed.answer),
            shadowed.trace,
        )
        if not self.sender.put(item):
            self.left_out["overflow"] += 1

    def _room(self, prompt: str) -> _Room:
        room = self._rooms.get(prompt)
        if room is None:
            room = self._rooms[prompt] = _Room(self._clock(), self._settings.per_minute)
        return room


def packed(copy: Copy) -> tuple[bytes, bytes]:
    return encode_copy(copy), encode_copied(copy)


def copy_of(exchange: Managed, fields: Fields) -> Copied | None:
    """As `Shadowing.copy`, where there is one."""
    shadowing, choice = exchange.worker.shadowing, exchange.choice
    return None if shadowing is None or choice is None else shadowing.copy(exchange, choice, fields)


class _Room:
    """So many a minute, and so many at once after a quiet minute."""

    __slots__ = ("_at", "_tokens")

    def __init__(self, now: float, per_minute: float) -> None:
        self._at = now
        self._tokens = max(per_minute, 1.0)

    def left(self, now: float, per_minute: float) -> bool:
        self._tokens = min(max(per_minute, 1.0), self._tokens + (now - self._at) * per_minute / 60.0)
        self._at = now
        return self._tokens >= 1.0

    def take(self) -> None:
        self._tokens -= 1.0
