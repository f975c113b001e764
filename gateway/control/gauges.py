"""What a controller tells its supervisor about once a second: rollouts are shown by the holder of the lease
alone, so that a fleet shows each of them once."""

from __future__ import annotations

import time

from gateway.analysis.verdict import Verdict
from gateway.control.case import Case, Decision
from gateway.control.controller import Controller
from gateway.control.oversight import is_judged
from gateway.errors import GatewayError
from gateway.storage import keys
from gateway.storage.base import Store
from gateway.telemetry.metrics import Sample


def decided(controller: Controller) -> list[Sample]:
    """Changes made since the last time; they are forgotten here."""
    found: list[Sample] = [
        ("decisions_total", (event,), (count,)) for event, count in controller.events.items()
    ]
    controller.events.clear()
    return found


async def stored(store: Store) -> list[Sample]:
    """Whether the store answers, and what waits in its queues, which all machines share."""
    asked = time.perf_counter()
    try:
        tick = await store.tick()
        took = time.perf_counter() - asked
        depths = [(queue, await store.depth(queue)) for queue in keys.QUEUES]
    except GatewayError:
        return [("store_up", (), (0,))]
    return [
        ("store_up", (), (1,)),
        ("store_revision", (), (tick.revision,)),
        ("store_answer_seconds", (), (round(took, 6),)),
        *(
            ("queue_items", (queue, state), (count,))
            for queue, depth in depths
            for state, count in zip(("free", "claimed", "dead"), depth, strict=True)
        ),
    ]


def running(controller: Controller) -> list[Sample]:
    """How the rollouts stand."""
    if controller.lease is None:
        return [("controller_leads", (), (0,))]
    found: list[Sample] = [("controller_leads", (), (1,))]
    for case in controller.cases.values():
        found += _case(case)
    return found


def _case(case: Case) -> list[Sample]:
    rollout, newest = case.rollout, case.newest
    prompt = rollout.prompt
    names = (prompt, rollout.id, str(rollout.baseline), str(rollout.candidate), rollout.phase)
    found: list[Sample] = [("rollout_info", names, (1,)), ("rollout_stage", (prompt,), (rollout.stage,))]
    if is_judged(rollout):
        found.append(("rollout_judge_share", (prompt,), (case.standing.share,)))
    return found if newest is None else found + _decision(prompt, newest)


def _decision(prompt: str, decision: Decision) -> list[Sample]:
    verdict = decision.verdict
    said = (prompt, verdict.action, verdict.rule, verdict.hold or "none")
    return [
        ("rollout_weight", (prompt,), (decision.at.weight,)),
        ("rollout_verdict", said, (1,)),
        ("rollout_decided_at_seconds", (prompt,), (decision.now,)),
        ("rollout_evidence_dropped", (prompt,), (verdict.dropped,)),
        ("rollout_open_sessions", (prompt,), (verdict.open_sessions,)),
        *_evidence(prompt, verdict),
        *_shadow(prompt, decision),
    ]


def _evidence(prompt: str, verdict: Verdict) -> list[Sample]:
    found: list[Sample] = [
        ("rollout_srm_e", (prompt, stream.name), (stream.e,)) for stream in verdict.streams
    ]
    for at, arm in enumerate(("stable", "canary")):
        found.append(("rollout_judged_sessions", (prompt, arm), (verdict.sampled[at],)))
        found.append(("rollout_scored_sessions", (prompt, arm), (verdict.scored[at],)))
    for family in verdict.families:
        labels = (prompt, family.name)
        found += [("rollout_harm_e", labels, (family.e,)), ("rollout_harm_needs", labels, (family.needs,))]
    for metric in verdict.metrics:
        stable, canary = metric.units
        found += [
            ("rollout_units", (prompt, "stable", metric.name), (stable,)),
            ("rollout_units", (prompt, "canary", metric.name), (canary,)),
        ]
        if metric.gate_e is not None and metric.gate_needs is not None:
            found.append(("rollout_gate_e", (prompt, metric.name), (metric.gate_e,)))
            found.append(("rollout_gate_needs", (prompt, metric.name), (metric.gate_needs,)))
        if metric.difference is not None:
            found.append(("rollout_difference", (prompt, metric.name), (metric.difference,)))
    return found


def _shadow(prompt: str, decision: Decision) -> list[Sample]:
    shadow = decision.verdict.shadow
    if shadow is None:
        return []
    found: list[Sample] = [("rollout_shadow", (prompt,), (int(decision.at.in_shadow),))]
    missing = shadow.pairs - shadow.complete
    counts = ("complete", shadow.complete), ("missing", missing), ("waiting", shadow.waiting)
    found += [("rollout_shadow_pairs", (prompt, state), (count,)) for state, count in counts]
    for metric in shadow.metrics:
        values = (
            ("harm_e", metric.harm_e),
            ("harm_needs", metric.harm_needs),
            ("gate_e", None if metric.gate_needs is None else metric.gate_e),
            ("gate_needs", metric.gate_needs),
            ("difference", metric.difference),
        )
        for name, value in values:
            if value is not None:
                found.append((f"rollout_shadow_{name}", (prompt, metric.name), (value,)))
    return found
