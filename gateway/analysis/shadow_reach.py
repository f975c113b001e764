"""How many pairs a shadow stage takes, and how long, if the candidate is no worse.

A bettor with the stake λ gains E log(1 + λ(δ − d)) on a pair; for scores that is about λδ − λ²(σ² + δ²)/2,
for events, where d is 1 or −1 with probability p(1 − p) each, it is exact. The best of the three bettors
reaches ln(1/α) after n0 pairs; chance and the grid cost a factor (simulated: four of five runs pass within
1.6 to 1.8 n0 for scores of sd .15 to .30, 1.2 to 1.75 n0 for events in .1 to 2 % of requests).
"""

from __future__ import annotations

from math import inf, isfinite, log

import msgspec

from gateway.domain.policy import SHADOWED, Policy
from gateway.stats.paired import PAIRED_SD, stakes
from gateway.stats.wealth import evidence_for

POWER_80 = 1.75
PAIRS_PER_HOUR = 240.0  # of one worker with the usual `shadow.per_minute`
HOUR = 3600.0


class ShadowGate(msgspec.Struct, frozen=True):
    """`pairs`: until four of five candidates that are no worse have passed; None: never."""

    name: str
    tolerance: float
    pairs: int | None


class ShadowPlan(msgspec.Struct, frozen=True):
    """`pairs`: of the slowest gate, at least the policy's; `hours` until then, None: never. `reachable`:
    within `max_hours`."""

    pairs: int | None
    hours: float | None
    max_hours: float
    reachable: bool
    gates: tuple[ShadowGate, ...]


def shadow_plan(policy: Policy, per_hour: float, *, safety: float, errors: float) -> ShadowPlan | None:
    """`per_hour`: sessions of the prompt, each of which brings at most one pair. `safety`, `errors`: shares
    of stable's requests with one. None for a policy without such a stage."""
    shadow = policy.shadow
    if shadow is None:
        return None
    rates = {"safety": safety, "errors": errors}
    bar = evidence_for(policy.alpha_promote)
    needs = {name: _pairs(name, policy.tolerance[name], rates, bar) for name in decided(policy)}
    pairs = max(float(shadow.min_pairs), *needs.values())
    rate = min(per_hour, PAIRS_PER_HOUR)
    hours = pairs / rate if rate > 0.0 else inf
    limit = shadow.max_bake / HOUR
    gates = tuple(ShadowGate(name, policy.tolerance[name], _whole(count)) for name, count in needs.items())
    return ShadowPlan(_whole(pairs), hours if isfinite(hours) else None, limit, hours <= limit, gates)


def decided(policy: Policy) -> tuple[str, ...]:
    """The gates that pairs decide, so that sessions need not."""
    return () if policy.shadow is None else tuple(name for name in policy.gates if name in SHADOWED)


def _pairs(name: str, tolerance: float, rates: dict[str, float], bar: float) -> float:
    gain = _event_gain(rates[name], tolerance) if name in rates else _score_gain(PAIRED_SD, tolerance)
    return POWER_80 * bar / gain if gain > 0.0 else inf


def _score_gain(sd: float, tolerance: float) -> float:
    square = sd**2 + tolerance**2
    return max(stake * tolerance - stake**2 * square / 2.0 for stake in stakes(1.0 - tolerance))


def _event_gain(rate: float, tolerance: float) -> float:
    differs = rate * (1.0 - rate)
    return max(
        (1.0 - 2.0 * differs) * log(1.0 + stake * tolerance)
        + differs * (log(1.0 + stake * (tolerance - 1.0)) + log(1.0 + stake * (tolerance + 1.0)))
        for stake in stakes(1.0 - tolerance)
    )


def _whole(pairs: float) -> int | None:
    return round(pairs) if isfinite(pairs) else None
