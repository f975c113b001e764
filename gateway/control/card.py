"""The card of a version: what it is for, where it comes from, and all that is known of how it did.

Markdown with the front matter of Hugging Face's model cards (`model-index` holds results), so that what reads
those reads this (https://huggingface.co/docs/hub/model-cards). It names the version by number and digest,
never by a label, which moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.control.comparing import VersionDiff
from gateway.control.views import RolloutView, VersionView
from gateway.domain.prompt import Content
from gateway.evals.report import Report
from gateway.promptfiles import front_matter

SHOWN = 10  # rollouts on a card


class Card(msgspec.Struct, frozen=True):
    """`uri` names the version for ever; `evaluation`: what its suite came to last, null if it was not run
    here; `rollouts`: those in which it was the candidate, the newest first; `back_to`: the version that is
    served if it is taken back, null for the first one; `markdown`: the same for people."""

    uri: str
    prompt: str
    version: VersionView
    model: str | None
    evaluation: Report | None
    rollouts: tuple[RolloutView, ...]
    back_to: int | None
    markdown: str = ""


def finished(card: Card, content: Content, change: VersionDiff | None) -> Card:
    """With its `markdown`. `change`: from the version before it."""
    sections = [
        f"# {card.prompt}/{card.version.number}",
        _about(card),
        _section("Change", _change(card, change)),
        _section("Inputs", [_input(item.name, item.kind, item.required) for item in content.inputs]),
        _section("Suite", _suite(card)),
        _section("Rollouts", [_rollout(view) for view in card.rollouts]),
        _section("Way back", [_way_back(card)]),
    ]
    body = "\n\n".join(section for section in sections if section)
    return msgspec.structs.replace(card, markdown=f"---\n{_front(card)}---\n{body}\n")


def _front(card: Card) -> str:
    version = card.version
    front: dict[str, Any] = {"tags": ["prompt-card"]}
    if card.model:
        front["base_model"] = card.model
    if version.metadata.model_card:
        front["model_card"] = version.metadata.model_card
    front |= {"prompt": card.uri, "digest": version.digest}
    if card.evaluation is not None:
        report = card.evaluation
        passed = sum(case.state == "passed" for case in report.cases) / len(report.cases)
        result = {
            "task": {"type": "text-generation"},
            "dataset": {"name": report.suite, "type": "suite"},
            "metrics": [
                {"type": "pass_rate", "value": round(passed, 4)},
                {"type": "mean_score", "value": round(report.score, 4)},
            ],
        }
        front["model-index"] = [{"name": f"{card.prompt}@{version.number}", "results": [result]}]
    return front_matter.dump(front)


def _about(card: Card) -> str:
    version, said = card.version, card.version.metadata
    lines = [said.description] if said.description else []
    lines += [f"- owner: {said.owner}"] if said.owner else []
    lines += [
        f"- state: {version.state}",
        f"- gate: {version.gate.state}, suite {version.gate.suite}",
        f"- made by {version.created_by}",
    ]
    return "\n".join(lines)


def _change(card: Card, change: VersionDiff | None) -> Iterable[str]:
    if card.version.metadata.change:
        yield card.version.metadata.change
    if change is not None:
        yield f"from {card.prompt}/{change.base}:"
        yield from (f"- {part.where} {part.change}" for part in change.parts)


def _input(name: str, kind: str, required: bool) -> str:
    return f"- {name}: {kind}{', required' if required else ''}"


def _suite(card: Card) -> Iterable[str]:
    if card.evaluation is not None:
        yield card.evaluation.summary
    elif card.version.gate.detail:
        yield card.version.gate.detail


def _rollout(view: RolloutView) -> str:
    ended = f" by {view.ended_by}" if view.ended_by else ""
    why = view.end_reason or (view.evidence.verdict.reason if view.evidence else "") or view.reason
    told = [f"- {view.id}: {view.phase}{ended}, against version {view.baseline}{f' ({why})' if why else ''}"]
    told += [
        f"  - {metric.name}: {metric.difference:+.4f} [{metric.low:+.4f}, {metric.high:+.4f}], "
        f"{metric.units[1]} and {metric.units[0]} units"
        for metric in (view.evidence.verdict.metrics if view.evidence else ())
        if metric.difference is not None and metric.low is not None and metric.high is not None
    ]
    return "\n".join(told)


def _way_back(card: Card) -> str:
    return "none: it is the first" if card.back_to is None else f"{card.prompt}/{card.back_to}"


def _section(title: str, lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"## {title}\n\n{text}" if text else ""
