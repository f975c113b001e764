"""A rollout as people watch it: where it stands, how far each gate is, every metric with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.analysis.verdict import FamilyView, MetricView, Verdict
from gateway.cli.output import NOTHING, shadow, stage_of, weight_of, when
from gateway.control.views import RolloutView

WIDTH = 24  # cells of a bar
AXIS = 33  # cells of an interval's axis, zero in the middle
PHASES = {"promoted": "green", "rolled_back": "red", "aborted": "yellow", "paused": "yellow"}


def rollout(view: RolloutView) -> RenderableType:
    """The whole screen."""
    parts: list[RenderableType] = [*_head(view)]
    if view.evidence is None:
        return Group(*parts, Text("no evidence yet" if view.policy else "by hand: no evidence is gathered"))
    verdict = view.evidence.verdict
    parts += [_progress(view, verdict), _said(view, verdict)]
    if verdict.shadow is not None:
        parts += shadow(verdict.shadow)
    shown = [metric for metric in verdict.metrics if any(metric.units)]
    if shown:
        parts += [Text(), _metrics(shown)]
    return Group(*parts)


def sentence(view: RolloutView) -> str:
    """The same in one line, for logs."""
    if view.ended_at:
        return f"{view.phase.upper()} by {view.ended_by}: {view.end_reason or 'no reason given'}"
    where = f"{view.phase}, {stage(view)}, weight {weight_of(view)}"
    if view.hold is not None:
        return f"{where}; holds ({view.hold.reason}): {view.hold.detail}"
    if view.evidence is None:
        return where
    verdict = view.evidence.verdict
    return f"{where}; {verdict.action}: {verdict.reason}"


def stage(view: RolloutView) -> str:
    if not view.policy:
        return "by hand"
    return stage_of(view)


def bar(share: float, width: int = WIDTH) -> str:
    """`share` of `width` cells; never full before it is, and never empty once it is begun."""
    share = min(max(share, 0.0), 1.0)
    full = round(share * width)
    full = min(full, width - 1) if share < 1.0 else width
    return "█" * max(full, share > 0.0) + "░" * (width - max(full, share > 0.0))


def axis(low: float, at: float, high: float, tolerance: float, width: int = AXIS) -> str:
    """An interval on a line with zero in the middle (`│`) and the tolerance (`┊`); worse is to the right.

    >>> axis(-0.01, 0.0, 0.03, 0.05, 11)
    '    ─●─── ┊'
    >>> axis(0.0, 0.0, 0.0, 0.0, 5)
    '  ●  '
    """
    reach = max(abs(low), abs(high), tolerance) or 1.0
    middle = width // 2

    def cell(value: float) -> int:
        return middle + round(value / reach * middle)

    cells = [" "] * width
    cells[cell(tolerance)] = "┊"
    cells[middle] = "│"
    for index in range(cell(low), cell(high) + 1):
        cells[index] = "─"
    cells[cell(at)] = "●"
    return "".join(cells)


def toward(e: float, needs: float) -> float:
    """How far an e-value is on its way, in evidence (logarithms): 0 at E ≤ 1, 1 at `needs`."""
    return math.log(max(e, 1.0)) / math.log(needs) if needs > 1.0 else 1.0


def _head(view: RolloutView) -> Iterator[Text]:
    policy = f"policy {view.policy}" if view.policy else "by hand"
    yield Text(f"{view.prompt}/{view.candidate} against {view.prompt}/{view.baseline}", style="bold")
    yield Text(f"rollout {view.id}, {policy}, started {when(view.started_at)} by {view.started_by}")
    yield Text.assemble((view.phase, PHASES.get(view.phase, "cyan")), f", {stage(view)}")
    yield Text(f"weight   {bar(view.weight)} {weight_of(view)}")
    if view.ended_at:
        yield Text(f"ended {when(view.ended_at)} by {view.ended_by}: {view.end_reason or 'no reason given'}")


def _progress(view: RolloutView, verdict: Verdict) -> Text:
    lines = []
    if verdict.bake_needs:
        share = verdict.bake / verdict.bake_needs
        lines.append(f"bake     {bar(share)} {_lasting(verdict.bake)} of {_lasting(verdict.bake_needs)}")
    if verdict.units_need:
        share = verdict.canary_units / verdict.units_need
        lines.append(f"sessions {bar(share)} {verdict.canary_units} of {verdict.units_need}")
    lines += [_family(family) for family in verdict.families]
    return Text("\n".join(lines))


def _family(family: FamilyView) -> str:
    crossed = f", crossed {when(family.crossed_at)}" if family.crossed_at is not None else ""
    share = toward(family.e, family.needs)
    return f"harm     {bar(share)} {family.name}: E {family.e:.3g} of {family.needs:.3g}{crossed}"


def _said(view: RolloutView, verdict: Verdict) -> Text:
    lines = [f"{verdict.action}: {verdict.reason}"]
    if view.hold is not None:
        lines.append(f"holds since {when(view.hold.since)} ({view.hold.reason}): {view.hold.detail}")
    return Text("\n".join([*lines, *(f"warning: {each}" for each in view.warnings)]))


def _metrics(metrics: list[MetricView]) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("metric", "units", "stable", "canary", "better ← 95 % → worse", "", "gate"):
        made.add_column(title, no_wrap=True)
    for metric in metrics:
        made.add_row(*_metric(metric))
    return made


def _metric(metric: MetricView) -> tuple[Text, ...]:
    means = [NOTHING if mean is None else f"{mean:.4g}" for mean in metric.means]
    units = f"{metric.units[0]} / {metric.units[1]}"
    gate = Text()
    if metric.gate_e is not None and metric.gate_needs is not None:
        share = 1.0 if metric.gate_passed_at is not None else toward(metric.gate_e, metric.gate_needs)
        gate = Text(bar(share, 10), style="green" if share >= 1.0 else "")
    if metric.difference is None or metric.low is None or metric.high is None:
        return Text(metric.name), Text(units), *map(Text, means), Text(), Text(NOTHING), gate
    drawn = axis(metric.low, metric.difference, metric.high, metric.tolerance)
    said = f"{metric.difference:+.3f} ({metric.low:+.3f} … {metric.high:+.3f})"
    return (
        Text(metric.name),
        Text(units),
        *map(Text, means),
        Text(drawn, style=_style(metric)),
        Text(said),
        gate,
    )


def _style(metric: MetricView) -> str:
    if metric.low is not None and metric.low > 0.0:
        return "red"
    return "green" if metric.high is not None and metric.high < metric.tolerance else ""


def _lasting(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
