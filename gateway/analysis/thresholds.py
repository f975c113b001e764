"""Stable's thresholds: frozen once, from stable sessions alone, and then the same for both arms."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf
from typing import Literal

import msgspec

from gateway.errors import InvalidValue

Source = Literal["total", "first_token", "tokens", "cost"]
SOURCES: tuple[Source, ...] = ("total", "first_token", "tokens", "cost")
TAIL = 0.95


class Frozen(msgspec.Struct, frozen=True):
    """Of first requests of stable sessions: percentiles in the source's unit (s, tokens, USD), `mean` of
    min(x / cap, 1), and `longer`: the share that would be above p95 if all were longer by the relative
    tolerance."""

    p50: float
    p90: float
    p95: float
    p99: float
    mean: float
    longer: float = 1.0 - TAIL

    @property
    def cap(self) -> float:
        return 2.0 * self.p99


class Thresholds(msgspec.Struct, frozen=True):
    """What is known of stable before the rollout; None is frozen from the rollout's own stable sessions.
    `judge`: mean badness of stable's scores. `provider_errors`: share of its requests."""

    total: Frozen | None = None
    first_token: Frozen | None = None
    tokens: Frozen | None = None
    cost: Frozen | None = None
    judge: float | None = None
    provider_errors: float = 0.0

    def of(self, source: Source) -> Frozen | None:
        frozen: Frozen | None = getattr(self, source)
        return frozen


def freeze(values: Sequence[float], relative_tolerance: float = 0.0) -> Frozen:
    """Thresholds from stable's values, at least one, in any order.

    >>> frozen = freeze(range(1, 501), 0.2)
    >>> frozen.p50, frozen.p90, frozen.p99, round(frozen.longer, 3)
    (250, 450, 495, 0.21)
    """
    ordered = sorted(values)
    if not ordered or not (ordered[0] >= 0.0 and ordered[-1] < inf):
        raise InvalidValue("thresholds need values, all of them finite and not below 0")
    p50, p90, p95, p99 = [ordered[ceil(part * len(ordered)) - 1] for part in (0.5, 0.9, TAIL, 0.99)]
    cap = 2.0 * p99
    mean = sum([min(value / cap, 1.0) for value in ordered]) / len(ordered) if cap > 0.0 else 0.0
    bar = p95 / (1.0 + relative_tolerance)
    longer = sum([value > bar for value in ordered]) / len(ordered)
    return Frozen(p50, p90, p95, p99, mean, max(longer, 1.0 - TAIL))
