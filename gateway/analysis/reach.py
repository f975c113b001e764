"""Can a policy decide at this traffic, when, and what could it decide instead?"""

from __future__ import annotations

from math import inf

from gateway.analysis.evidence import Evidence
from gateway.analysis.verdict import Position
from gateway.domain.policy import Policy
from gateway.stats.eprocess import measured_share
from gateway.stats.power import ALL_GATES, canary_units, raised_weight

WORTH = 1.1  # a raise by less is not worth a new weight
SMALLEST_VARIANCE = 1e-4


def needed_weight(policy: Policy, position: Position, evidence: Evidence, now: float) -> float | None:
    """The weight at which the missing sessions come before the maximum bake ends, never above the last
    stage's; None where the present one will do, or while any harm E is above the policy's.

    w = (n_plan − n) / (R q T_left); n_plan is `ALL_GATES` × n0 of the slowest gate in the last stage, the
    minimum units in an earlier one.
    """
    state = evidence.state
    if any(e >= policy.max_harm_e for _, e in evidence.harms()):
        return None
    left = (position.started_at + policy.max_bake - now) / 3600.0
    hours = (state.clock - state.started_at) / 3600.0
    highest = policy.stages[-1].max
    if left <= 0.0 or hours <= 0.0 or position.weight >= highest:
        return None
    stable, canary = evidence.sessions
    served = canary / position.q1 + (stable / position.q0 if position.q0 else 0.0)
    rate = served / hours * position.q1  # sessions per hour that would be measured in the canary
    last = position.stage >= len(policy.stages) - 1
    if last:
        missing = _missing_units(policy, position, evidence)
    else:
        missing = policy.min_units - state.canaries[position.stage]
    weight = min(raised_weight(missing, 0.0, rate, left), highest)
    return weight if weight > position.weight * WORTH else None


def _missing_units(policy: Policy, position: Position, evidence: Evidence) -> float:
    """Canary sessions until the slowest gate has passed, as far as one can plan."""
    share = measured_share(position.weight, position.q1, position.q0) if position.q0 else 0.5
    missing = 0.0
    for name in policy.gates:
        comparison = evidence.state.comparisons.get(name)
        if comparison is None:
            return inf
        if comparison.passed_at is not None:
            continue
        effect = comparison.effect
        variance = effect.squares / effect.information if effect.information else SMALLEST_VARIANCE
        planned = ALL_GATES * canary_units(
            max(variance, SMALLEST_VARIANCE), comparison.tolerance, share, policy.alpha_promote
        )
        missing = max(missing, planned - effect.units[1])
    return missing
