"""Evidence logs by hand: sessions at given times, as the workers would write them."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.analysis.evidence import Evidence
from gateway.analysis.rules import Rules
from gateway.analysis.thresholds import Frozen, Thresholds
from gateway.domain.observation import Assigned, Batch, Drawn, Observed, Scored
from gateway.domain.observation import Evidence as Record
from gateway.domain.policy import POLICIES, Policy

STANDARD = POLICIES["standard"]
TIMES = Frozen(p50=4.0, p90=8.0, p95=10.0, p99=15.0, mean=0.15)
TOKENS = Frozen(p50=300.0, p90=600.0, p95=700.0, p99=1000.0, mean=0.17, longer=0.1)
KNOWN = Thresholds(TIMES, TIMES, TOKENS, TOKENS, judge=0.2, provider_errors=0.001)
COLD = Rules(latency_warmup=0.0)


def evidence(
    policy: Policy = STANDARD, *, thresholds: Thresholds | None = KNOWN, rules: Rules = COLD
) -> Evidence:
    return Evidence.start(policy, 0.0, thresholds, rules)


def pin(number: int, at: float, *, canary: bool = False, weight: float = 0.5, judged: bool = False) -> Drawn:
    return Drawn(number.to_bytes(16, "big"), canary, weight, 1.0, 1.0, at, judged)


def ended(
    unit: Drawn,
    *,
    total: float = 3.0,
    outcome: str = "ok",
    turn: int = 0,
    at: float | None = None,
    flags: tuple[str, ...] = (),
    again: bool = False,
) -> Observed:
    """One request; the first one begins with the pin."""
    started = unit.pinned_at if at is None else at
    return Observed(unit, turn == 0, again, started, outcome, total, 0.5, 250, 0.002, flags)  # type: ignore[arg-type]


def score(unit: Drawn, value: float | None) -> Scored:
    return Scored(unit, value, unit.pinned_at + 10.0)


class Log:
    """One writer."""

    def __init__(self, state: Evidence, name: str = "w") -> None:
        self.state, self.name, self.sequence = state, name, 0

    def write(self, at: float, *records: Record, dropped: int = 0) -> bool:
        self.sequence += 1
        return self.state.fold(Batch(self.name, self.sequence, at, records, dropped))


def whole(unit: Drawn, **how: object) -> Iterable[Record]:
    return Assigned(unit), ended(unit, **how)  # type: ignore[arg-type]
