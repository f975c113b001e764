"""Requests that a verdict is about, as far as they have a span: the newest of the canary that count against
it, then other new ones. They are shown and decide nothing, so a controller that takes over begins without."""

from __future__ import annotations

from collections import deque

from gateway.domain.observation import Batch, Observed

MOST = 8  # of each kind, and in all


class Exemplars:
    def __init__(self) -> None:
        self._against: deque[bytes] = deque(maxlen=MOST)
        self._other: deque[bytes] = deque(maxlen=MOST)

    def add(self, batch: Batch) -> None:
        for record in batch.records:
            if isinstance(record, Observed) and record.trace:
                against = record.unit.canary and (record.outcome == "prompt" or bool(record.flags))
                (self._against if against else self._other).append(record.trace)

    def newest(self) -> list[bytes]:
        """Spans as `telemetry.spans.Link` has them, `MOST` of them."""
        return [*reversed(self._against), *reversed(self._other)][:MOST]
