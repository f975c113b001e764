"""Spans on their way to a collector, in a queue that never grows beyond its size."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

Value = str | bool | int | float | list[str]
Attributes = dict[str, Value]  # of OpenTelemetry
INTERNAL, CLIENT = 1, 3  # SpanKind
LINK_BYTES = 24  # a link as bytes: trace, then span


class Event(NamedTuple):
    """`at`: ns since the epoch."""

    name: str
    at: int
    attributes: Attributes


class Link(NamedTuple):
    """Another span that this one is about: 16 and 8 bytes."""

    trace: bytes
    span: bytes


class Span(NamedTuple):
    """One finished span. `parent` empty: it begins its trace. Times: ns since the epoch. `error`: what
    failed, in words; None: nothing did. `kind`: OpenTelemetry's number."""

    trace: bytes
    span: bytes
    parent: bytes
    state: str
    name: str
    start: int
    end: int
    attributes: Attributes
    events: tuple[Event, ...] = ()
    error: str | None = None
    kind: int = CLIENT
    links: tuple[Link, ...] = ()


class SpanQueue:
    """New spans are dropped while it is full."""

    def __init__(self, size: int) -> None:
        self.dropped = 0  # since the start
        self._size = size
        self._spans: deque[Span] = deque()

    def __len__(self) -> int:
        return len(self._spans)

    def put(self, span: Span) -> None:
        if len(self._spans) >= self._size:
            self.dropped += 1
        else:
            self._spans.append(span)

    def take(self, most: int) -> list[Span]:
        """The oldest."""
        return [self._spans.popleft() for _ in range(min(most, len(self._spans)))]

    def give_back(self, spans: Sequence[Span]) -> None:
        """They were not sent."""
        self._spans.extendleft(reversed(spans))
