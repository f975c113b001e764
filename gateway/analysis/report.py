"""Every number behind a verdict."""

from __future__ import annotations

from math import exp

from gateway.analysis import outcomes
from gateway.analysis.blind import without_data
from gateway.analysis.comparison import Comparison
from gateway.analysis.evidence import Evidence
from gateway.analysis.metrics import METRICS, Metric
from gateway.analysis.verdict import FamilyView, MetricView, Position, StreamView, Verdict
from gateway.domain.policy import Policy

TOP = 690.0  # exp of more does not fit a double


def describe(policy: Policy, position: Position, evidence: Evidence, now: float) -> Verdict:
    """The verdict without its decision."""
    state = evidence.state
    stage = position.stage + position.in_watch
    lasted = now - position.stage_since - position.idle - state.stopped[stage]
    incident = ""
    if state.incident.active:
        requests, failed = state.incident.recent(state.clock, state.rules)
        incident = f"{failed} of stable's last {requests} requests failed at the provider"
    metrics = [
        _metric(metric, policy, state.comparisons[metric.name])
        for metric in METRICS
        if metric.name in state.comparisons
    ]
    for name, comparison in state.outcomes.items():
        metrics.append(_metric(outcomes.metric_of(name, policy.outcomes[name]), policy, comparison))
    return Verdict(
        action="bake",
        rule="",
        reason="",
        method=state.method,
        at=state.clock,
        bake=max(0.0, lasted),
        bake_needs=0.0 if position.in_shadow else _bake_needs(policy, position),
        canary_units=state.canaries[stage],
        units_need=0 if position.in_watch or position.in_shadow else policy.min_units,
        metrics=tuple(metrics),
        families=tuple(
            FamilyView(
                family,
                _e(evidence.family_evidence(family)),
                exp(evidence.family_bar(family)),
                state.crossed.get(family),
            )
            for family in policy.alpha_rollback
        ),
        streams=tuple(
            StreamView(name, _e(ratio.get()), ratio.units)
            for name, ratio in (
                ("assigned", state.assigned),
                ("completed", state.completed),
                ("scored", state.scored),
            )
        ),
        scored=(state.completeness.scored[0], state.completeness.scored[1]),
        sampled=(state.completeness.sampled[0], state.completeness.sampled[1]),
        incident=incident,
        open_sessions=evidence.open_sessions,
        left_out=state.left_out,
        lost_batches=state.lost_batches,
        dropped=state.dropped,
        shadow=None if state.shadow is None else state.shadow.view(),
        without_data=without_data(policy, state),
    )


def _bake_needs(policy: Policy, position: Position) -> float:
    return policy.holdback.watch if position.in_watch else policy.min_bake[position.stage]


def _metric(metric: Metric, policy: Policy, comparison: Comparison) -> MetricView:
    effect = comparison.effect
    interval = effect.get()
    means = [
        total / count if count else None for total, count in zip(effect.badness, effect.units, strict=True)
    ]
    gate = comparison.gate
    return MetricView(
        name=metric.name,
        family=metric.family,
        role=metric.role,
        units=(effect.units[0], effect.units[1]),
        means=(means[0], means[1]),
        difference=None if interval is None else interval.estimate,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        tolerance=comparison.tolerance,
        margin=comparison.harm.margin,
        threshold=comparison.limit or None,
        harm_e=_e(comparison.harm.get()),
        gate_e=None if gate is None else _e(gate.get()),
        gate_needs=None if gate is None else 1.0 / policy.alpha_promote,
        gate_passed_at=comparison.passed_at,
    )


def _e(log_e: float) -> float:
    return exp(min(log_e, TOP))
