"""A span for each verdict that says something new or was acted on, linked to requests that it is about."""

from __future__ import annotations

from collections.abc import Callable

from gateway.analysis.verdict import Verdict
from gateway.control.case import Case, Decision
from gateway.telemetry.spans import Attributes
from gateway.telemetry.tracer import Tracer


def verdicts(tracer: Tracer) -> Callable[[Case, int], None]:
    """What a controller calls with a case and when it was asked, ns since the epoch."""

    def recorded(case: Case, began: int) -> None:
        if tracer.queue is None or case.recorded is None:
            return
        with tracer.work(f"decide {case.rollout.prompt}", about=case.exemplars.newest(), began=began) as work:
            work.attributes |= _of(case, case.recorded)

    return recorded


def _of(case: Case, decision: Decision) -> Attributes:
    verdict, rollout = decision.verdict, case.rollout
    found: Attributes = {
        "gen_ai.prompt.name": rollout.prompt,
        "gen_ai.prompt.version": str(rollout.candidate),
        "promptcanary.baseline": str(rollout.baseline),
        "promptcanary.rollout.id": rollout.id,
        "promptcanary.phase": rollout.phase,
        "promptcanary.stage": rollout.stage,
        "promptcanary.weight": decision.at.weight,
        "promptcanary.verdict.action": verdict.action,
        "promptcanary.verdict.rule": verdict.rule,
        "promptcanary.verdict.reason": verdict.reason,
        "promptcanary.verdict.acted": decision.acted,
        "promptcanary.verdict.position": decision.position,
    }
    if verdict.hold is not None:
        found["promptcanary.verdict.hold"] = verdict.hold
    return found | _numbers(verdict)


def _numbers(verdict: Verdict) -> Attributes:
    found: Attributes = {}
    for family in verdict.families:
        found[f"promptcanary.harm.{family.name}.e"] = family.e
        found[f"promptcanary.harm.{family.name}.needs"] = family.needs
    for metric in verdict.metrics:
        if metric.gate_e is not None and metric.gate_needs is not None:
            found[f"promptcanary.gate.{metric.name}.e"] = metric.gate_e
            found[f"promptcanary.gate.{metric.name}.needs"] = metric.gate_needs
    return found
