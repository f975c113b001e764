"""Can a policy decide at this traffic, when, and what could it decide instead?

Every gate needs information n0 (1 − π) = 2 ln(1/α) σ²/δ², times `ALL_GATES`, because all gates of a rollout
must pass; see `stats.power`. Gates of rare events need half of that: their σ² is taken half way to the
tolerance, and where nothing happens it is smaller (simulated: 80 % pass alone at 1.05 n0, against 2.1). What
is not known of stable is taken from `Stable`.
"""

from __future__ import annotations

from math import inf, isfinite, sqrt

import msgspec

from gateway.analysis.evidence import Evidence
from gateway.analysis.sampling import rates
from gateway.analysis.shadow_reach import ShadowPlan, decided, shadow_plan
from gateway.analysis.verdict import Position
from gateway.domain.policy import SHADOWED, Policy
from gateway.stats.eprocess import measured_share
from gateway.stats.power import (
    ALL_GATES,
    Step,
    binary_variance,
    canary_units,
    expected_hours,
    information_needed,
    raised_weight,
)

EVENTS = 0.5  # of ALL_GATES, for safety and errors
WORTH = 1.1  # a raise by less is not worth a new weight
SMALLEST_VARIANCE = 1e-4
HOUR = 3600.0


class Stable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the baseline is like. `judge_sd`: of its scores; `safety`, `errors`: shares of sessions with one;
    `cost_mean`, `cost_sd`: of min(cost / cap, 1), as for log-normal costs whose logarithm has sd .5."""

    judge_sd: float = 0.25
    safety: float = 0.005
    errors: float = 0.005
    cost_mean: float = 0.17
    cost_sd: float = 0.085


class GatePlan(msgspec.Struct, frozen=True):
    """`tolerance` in badness, as the policy has it. `canary_units`: in the last stage, all gates to pass in
    80 % of rollouts without a difference. `hours`: until then, None: never. `decidable`: the smallest
    tolerance that the maximum bake allows, None if it allows none."""

    name: str
    tolerance: float
    canary_units: float
    hours: float | None
    decidable: float | None


class Plan(msgspec.Struct, frozen=True):
    """`weights` of the stages at this traffic. `hours`: until promotion, None: never; without the watch.
    `reachable`: within the maximum bake. `gates`: those that sessions decide. `shadow`: of a policy that
    begins so; its hours are in `hours`. `advice`: what to change, in words."""

    sessions_per_hour: float
    weights: tuple[float, ...]
    hours: float | None
    max_hours: float
    reachable: bool
    gates: tuple[GatePlan, ...]
    advice: tuple[str, ...]
    shadow: ShadowPlan | None = None


def plan(
    policy: Policy, sessions_per_hour: float, stable: Stable | None = None, *, cap: float = 500.0
) -> Plan:
    """What a policy takes at this traffic. `cap`: measured sessions/s."""
    known = stable or Stable()
    weights = tuple(stage.weight(sessions_per_hour) for stage in policy.stages)
    plain = _steps(policy, weights, sessions_per_hour, cap, judged=False)
    judged = _steps(policy, weights, sessions_per_hour, cap, judged=True)
    limit = policy.max_bake / HOUR
    gates = tuple(
        _gate(name, policy, known, judged if name == "judge" else plain, sessions_per_hour)
        for name in policy.gates
        if name not in decided(policy)
    )
    slowest = max((inf if gate.hours is None else gate.hours for gate in gates), default=0.0)
    hours = max(slowest, expected_hours(0.0, plain, sessions_per_hour))
    shadow = shadow_plan(policy, sessions_per_hour, safety=known.safety, errors=known.errors)
    before = 0.0 if shadow is None else inf if shadow.hours is None else shadow.hours
    whole = before + hours
    return Plan(
        sessions_per_hour,
        weights,
        whole if isfinite(whole) else None,
        limit,
        hours <= limit and (shadow is None or shadow.reachable),
        gates,
        (*_shadow_advice(shadow), *_advice(gates, limit, hours, policy)),
        shadow,
    )


def _steps(
    policy: Policy, weights: tuple[float, ...], per_hour: float, cap: float, *, judged: bool
) -> tuple[Step, ...]:
    """The stages as `expected_hours` takes them; above the cap a part of the traffic is as good as all."""
    steps = []
    for index, weight in enumerate(weights):
        found = rates(policy, weight, per_hour / HOUR, cap, first_stage=index == 0)
        stable_rate = found.q0 / found.q1 * (found.j0 if judged else 1.0)
        steps.append(Step(weight, policy.min_bake[index] / HOUR, policy.min_units, stable_rate))
    return tuple(steps)


def _gate(name: str, policy: Policy, stable: Stable, steps: tuple[Step, ...], per_hour: float) -> GatePlan:
    variance, tolerance = _variance(name, policy, stable)
    needed = ALL_GATES * information_needed(variance, tolerance, policy.alpha_promote)
    hours = expected_hours(needed, steps, per_hour)
    last = steps[-1]
    share = measured_share(last.weight, 1.0, last.stable_rate)
    return GatePlan(
        name,
        tolerance,
        ALL_GATES * canary_units(variance, tolerance, share, policy.alpha_promote),
        hours if isfinite(hours) else None,
        _decidable(variance, policy, steps, per_hour),
    )


def _variance(name: str, policy: Policy, stable: Stable) -> tuple[float, float]:
    """σ² (× `EVENTS`) and δ of a gate, in badness."""
    allowed = policy.tolerance[name.removeprefix("latency_")]
    if name == "judge":
        return stable.judge_sd**2, allowed
    if name == "cost":
        return stable.cost_sd**2, allowed * stable.cost_mean
    if name in ("safety", "errors"):
        rate = stable.safety if name == "safety" else stable.errors
        return EVENTS * binary_variance(rate, allowed), allowed
    return binary_variance({"latency_p50": 0.5, "latency_p90": 0.1}[name], allowed), allowed


def _decidable(variance: float, policy: Policy, steps: tuple[Step, ...], per_hour: float) -> float | None:
    """δ for which the information of the maximum bake is enough, the variance taken as it is."""
    if per_hour <= 0.0:
        return None
    lasts = [max(step.bake, step.units / (per_hour * step.weight)) for step in steps]
    left = policy.max_bake / HOUR - sum(lasts[:-1])
    if left <= 0.0:
        return None
    lasts[-1] = left
    gained = sum([_per_hour(step, per_hour) * hours for step, hours in zip(steps, lasts, strict=True)])
    return sqrt(ALL_GATES * information_needed(variance, 1.0, policy.alpha_promote) / gained)


def _per_hour(step: Step, per_hour: float) -> float:
    canaries, stable = per_hour * step.weight, per_hour * (1.0 - step.weight) * step.stable_rate
    return canaries * stable / (canaries + stable)


def _shadow_advice(shadow: ShadowPlan | None) -> tuple[str, ...]:
    if shadow is None or shadow.reachable:
        return ()
    takes = "never ends" if shadow.hours is None else f"takes {shadow.hours:.3g} h"
    return (
        f"the shadow stage {takes}, its maximum is {shadow.max_hours:g} h: more tolerance, or a longer "
        "shadow.max_bake",
    )


def _advice(gates: tuple[GatePlan, ...], limit: float, hours: float, policy: Policy) -> tuple[str, ...]:
    if hours <= limit:
        return ()
    advice = []
    for gate in gates:
        if gate.hours is not None and gate.hours <= limit:
            continue
        if gate.decidable is None:
            advice.append(f"{gate.name}: the stages alone take longer than {limit:g} h")
        else:
            advice.append(
                f"{gate.name}: a difference of {gate.tolerance:.3g} takes longer than {limit:g} h; "
                f"{gate.decidable:.3g} could be decided"
            )
    if policy.shadow is None:
        advice.append("below about 200 sessions/h a shadow stage decides sooner than live traffic")
    elif any(gate.name not in SHADOWED for gate in gates):
        advice.append("latency and cost are compared by sessions alone: leave out their gates")
    return tuple(advice)


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
        if evidence.passed(name):
            continue
        comparison = evidence.state.comparisons.get(name)
        if comparison is None:
            return inf
        effect = comparison.effect
        variance = effect.squares / effect.information if effect.information else SMALLEST_VARIANCE
        planned = ALL_GATES * canary_units(
            max(variance, SMALLEST_VARIANCE), comparison.tolerance, share, policy.alpha_promote
        )
        missing = max(missing, planned - effect.units[1])
    return missing
