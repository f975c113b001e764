"""The judge's work on a rollout, for people."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from gateway.cli.output import when
from gateway.control.judging.budget import Spent
from gateway.control.quality import JudgeView, Quality
from gateway.evals.calibration import Calibration
from gateway.evals.drift import Anchors


def quality(found: Quality) -> RenderableType:
    lines = ["nothing has been judged yet"] if found.judge is None else _judge(found.judge)
    lines.append(f"this rollout: {_spent(found.spent)}")
    lines.append(f"today: {_spent(found.today)}")
    if found.pace.share < 1.0:
        lines.append(f"it takes {found.pace.share:.3g} of its sessions: {found.pace.why}")
    lines.append(f"queue: {found.waiting} wait, {found.under_way} under way, {found.dead} given up")
    for outcome, arms in found.feedback.items():
        told = ", ".join(f"{arm} {each.mean:.2f} of {each.answers}" for arm, each in arms.items())
        lines.append(f"feedback {outcome}: {told}")
    return Text("\n".join(lines))


def _judge(judge: JudgeView) -> list[str]:
    first = (
        f"{judge.model}, rubric {judge.rubric} ({judge.rubric_digest}), prompt {judge.prompt_digest}; "
        f"together {judge.digest}"
    )
    return [first, _calibration(judge.calibration), *_anchors(judge.anchors)]


def _anchors(found: Anchors | None) -> list[str]:
    if found is None:
        return []
    shift = found.shift
    if shift is None:
        return [f"anchors: {len(found.first)} since {when(found.first_at)}, not scored again yet"]
    verdict = "IT DRIFTS" if found.drifting else "no drift"
    says = f"shifted by {shift.estimate:+.3f} ({shift.low:+.3f} to {shift.high:+.3f})"
    return [f"anchors: {len(found.newest)} {says} at {when(found.at)}: {verdict}"]


def _calibration(found: Calibration | None) -> str:
    if found is None:
        return "not calibrated: nobody has compared it with people (prompt-canary judge calibrate)"
    kappa = "–" if found.kappa is None else f"{found.kappa.estimate:.2f}"
    says = f"kappa {kappa} on {found.counts.pairs} labelled answers"
    return f"calibrated: {says}" if found.calibrated else f"not calibrated: {says}; {found.short}"


def _spent(spent: Spent) -> str:
    unscored = ", ".join(f"{cause} {count}" for cause, count in sorted(spent.unscored.items()))
    without = f", without a score: {unscored}" if unscored else ""
    unpriced = f" ({spent.unpriced} without a price)" if spent.unpriced else ""
    return f"{spent.usd:.4f} USD in {spent.calls} calls{unpriced}, {spent.scored} scores{without}"
