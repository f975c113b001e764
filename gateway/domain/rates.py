"""Which share of sessions is measured, and of those judged: the sample rates that stand beside a weight.

Only so many sessions are measured a second (`cap`). Below it all are; above it the stable arm comes first,
because a control that is small costs two to four times the exposure: all stable sessions, or at least
`stable_per_canary` for each canary one.
"""

from __future__ import annotations

from typing import NamedTuple

WHOLE = 1.0


class Rates(NamedTuple):
    """Shares of canary (`q1`) and stable (`q0`) sessions."""

    q1: float = WHOLE
    q0: float = WHOLE


def measured(sessions: float, weight: float, *, cap: float, stable_per_canary: float) -> Rates:
    """`sessions` a second, of which the share `weight` is canary, at most `cap` measured.

    >>> measured(400, 0.05, cap=500, stable_per_canary=9)
    Rates(q1=1.0, q0=1.0)
    >>> tuple(round(rate, 3) for rate in measured(1000, 0.5, cap=500, stable_per_canary=9))
    (0.1, 0.9)
    """
    canary, stable = sessions * weight, sessions * (WHOLE - weight)
    if canary + stable <= cap:
        return Rates()
    most_stable = cap * stable_per_canary / (stable_per_canary + 1.0)
    if stable <= most_stable:
        return Rates(min(WHOLE, (cap - stable) / canary), WHOLE)
    # A canary arm too small for its part leaves its room to the control.
    few = min(canary, cap - most_stable)
    return Rates(few / canary if canary > 0.0 else WHOLE, min(WHOLE, (cap - few) / stable))


def judged(weight: float, rates: Rates, stable_per_canary: float) -> Rates:
    """Of the measured sessions: all canary ones, and `stable_per_canary` stable ones for each.

    >>> tuple(round(rate, 3) for rate in judged(0.1, Rates(), 3.0))
    (1.0, 0.333)
    """
    canary, stable = weight * rates.q1, (WHOLE - weight) * rates.q0
    if stable <= 0.0 or canary <= 0.0:
        return Rates()
    return Rates(WHOLE, min(WHOLE, stable_per_canary * canary / stable))
