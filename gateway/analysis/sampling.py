"""Which sessions are measured and judged: the rates of both arms that go with a weight.

All sessions of the prompt are measured, or, above a cap, all canary ones that fit and at least
`stable_per_canary` stable ones for each (a small stable arm costs two to four times the exposure). Among the
measured ones the judge sees all canary sessions and a few stable ones for each.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.domain.policy import Policy
from gateway.errors import InvalidValue


class Rates(NamedTuple):
    """Shares of canary (1) and stable (0) sessions: `q` are measured, `j` of those are judged."""

    q1: float
    q0: float
    j1: float
    j0: float


def rates(policy: Policy, weight: float, sessions: float, cap: float, *, first_stage: bool) -> Rates:
    """The rates at `weight` for `sessions` per second of the prompt, at most `cap` measured per second.

    Once the stable arm has `stable_per_canary` for each canary one, the canary's rate is left alone and the
    stable one falls to that ratio; only then both fall together.

    >>> from gateway.domain.policy import POLICIES
    >>> rates(POLICIES["standard"], 0.05, 10.0, 500.0, first_stage=True)
    Rates(q1=1.0, q0=1.0, j1=1.0, j0=0.15789473684210528)
    >>> [round(rate, 3) for rate in rates(POLICIES["standard"], 0.05, 2000.0, 500.0, first_stage=False)]
    [0.5, 0.237, 1.0, 0.111]
    """
    if not (0.0 <= weight <= 1.0 and sessions >= 0.0 and cap > 0.0):
        raise InvalidValue(f"weight {weight}, {sessions} sessions/s, cap {cap}: no such traffic")
    canary, stable = sessions * weight, sessions * (1.0 - weight)
    q1 = q0 = 1.0
    if canary + stable > cap:
        ratio = min(policy.stable_per_canary, stable / canary) if canary else 0.0
        q1 = min(1.0, cap / (canary * (1.0 + ratio))) if canary else 1.0
        q0 = min(1.0, (cap - canary * q1) / stable) if stable else 1.0
    judged = policy.judged_first if first_stage else policy.judged_later
    measured = (1.0 - weight) * q0
    return Rates(q1, q0, 1.0, min(1.0, judged * weight * q1 / measured) if measured else 1.0)
