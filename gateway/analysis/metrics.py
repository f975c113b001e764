"""The metrics: what one session contributes to each, and how much of a difference is allowed.

A badness is a number in [0, 1], 1 the worst:

    event    1 if one of the session's early requests shows it, else 0
    score    1 − score of its one judged response
    slower   1 if its first request took longer than stable's frozen p-th percentile
    amount   min(x / cap, 1) of its first request, cap = 2 × stable's frozen p99
    above    1 if x is above stable's frozen p95

Tolerances are differences of badness. Those of tokens and cost are given as a share of stable's mean and are
multiplied by its frozen mean; see `tolerance` for the two that a policy does not name.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from gateway.analysis.thresholds import TAIL, Frozen, Source
from gateway.domain.policy import Policy

Kind = Literal["event", "score", "slower", "amount", "above"]
Role = Literal["guardrail", "signal", "observe"]


class Metric(NamedTuple):
    """`tolerance`: key in the policy's tolerances. `gate`: may be one of the policy's gates. `source`,
    `percentile`: of which frozen distribution a threshold is taken, None where none is needed."""

    name: str
    family: str
    kind: Kind
    tolerance: str
    gate: bool = False
    source: Source | None = None
    percentile: int = 0
    role: Role = "guardrail"


METRICS: tuple[Metric, ...] = (
    Metric("judge", "judge", "score", "judge", gate=True),
    Metric("safety", "safety", "event", "safety", gate=True),
    Metric("errors", "errors", "event", "errors", gate=True),
    Metric("latency_p50", "latency", "slower", "p50", True, "total", 50),
    Metric("latency_p90", "latency", "slower", "p90", True, "total", 90),
    Metric("latency_p99", "latency", "slower", "p90", False, "total", 99),
    Metric("first_token_p50", "latency", "slower", "p50", False, "first_token", 50),
    Metric("first_token_p90", "latency", "slower", "p90", False, "first_token", 90),
    Metric("first_token_p99", "latency", "slower", "p90", False, "first_token", 99),
    Metric("tokens", "tokens", "amount", "tokens", False, "tokens"),
    Metric("tokens_above_p95", "tokens", "above", "tokens", False, "tokens", 95),
    Metric("cost", "cost", "amount", "cost", True, "cost"),
    Metric("cost_above_p95", "cost", "above", "cost", False, "cost", 95),
)
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
P99_OF_P90 = 1 / 3  # standard deviations of what is above p99 and above p90: .0995 and .3


def tolerance(metric: Metric, policy: Policy, frozen: Frozen | None) -> float:
    """δ in badness; 0 where the policy allows nothing. `frozen` is needed for amount and above.

    A policy names no tolerance for p99: it is p90's in proportion to the standard deviations. That of
    `above` is what it would be if every answer were longer by the relative tolerance: then mean and tail
    allow the same change. (.20 × .05 instead, a hundredth, calls +10 % tokens harm.)
    """
    allowed = policy.tolerance.get(metric.tolerance, 0.0)
    if metric.kind == "amount" and frozen is not None:
        return allowed * frozen.mean
    if metric.kind == "above" and frozen is not None:
        return max(frozen.longer - (1.0 - TAIL), 0.0)
    return allowed * P99_OF_P90 if metric.percentile == 99 else allowed


def harm_margin(metric: Metric, policy: Policy, frozen: Frozen | None) -> float:
    """ε in badness: a difference that is not called harm."""
    return policy.harm_margin.get(metric.family, 0.0) * tolerance(metric, policy, frozen)


def threshold(metric: Metric, frozen: Frozen) -> float:
    """What a value is compared with: a percentile, or the cap of an amount."""
    if metric.kind == "amount":
        return frozen.cap
    return {50: frozen.p50, 90: frozen.p90, 95: frozen.p95, 99: frozen.p99}[metric.percentile]


def expected(metric: Metric, frozen: Frozen | None) -> float:
    """The badness of stable that a prediction starts from."""
    if metric.kind == "amount" and frozen is not None:
        return frozen.mean
    if metric.kind in ("slower", "above"):
        return 1.0 - metric.percentile / 100.0
    return 0.0
