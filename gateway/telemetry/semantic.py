"""What the metrics of /metrics are called as OpenTelemetry: GenAI conventions v1.41, or as proposed after it
(`latest`: https://github.com/open-telemetry/semantic-conventions-genai, pull requests 374 and 521), and
`promptcanary.*` for what no convention names.

Names are such that a collector's Prometheus exporter gives `promptcanary.*` the names of /metrics again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from gateway.telemetry.metrics import METRICS, Metric
from gateway.telemetry.spans import Attributes

Conventions = Literal["v1.41", "latest"]
PREFIX = "promptcanary."
OPERATION = {"gen_ai.operation.name": "chat"}
ATTRIBUTES = {
    "prompt": "gen_ai.prompt.name",
    "version": "gen_ai.prompt.version",
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
}
GEN_AI: dict[Conventions, dict[str, str]] = {
    "v1.41": {
        "total_seconds": "gen_ai.client.operation.duration",
        "first_token_seconds": "gen_ai.client.operation.time_to_first_chunk",
        "gap_seconds": "gen_ai.client.operation.time_per_output_chunk",
        "answer_tokens": "gen_ai.client.token.usage",
    },
    "latest": {
        "total_seconds": "gen_ai.client.inference.duration",
        "first_token_seconds": "gen_ai.client.inference.time_to_first_chunk",
        "gap_seconds": "gen_ai.client.inference.time_per_output_chunk",
        "answer_tokens": "gen_ai.client.inference.operation.{kind}_tokens",
    },
}
UNITS = (("_seconds", "s"), ("_bytes", "By"), ("_usd", "{USD}"), ("_tokens", "{token}"), ("_ratio", "1"))


class Named(NamedTuple):
    """`attributes`: a name for each label, "" for one that is in the metric's name."""

    name: str
    unit: str
    attributes: tuple[str, ...]
    more: Attributes


def named(metric: Metric, labels: Sequence[str], conventions: Conventions) -> Named:
    """Of a sample's metric. `labels` are its values."""
    stem = metric.name.removesuffix("_total")
    unit = next((unit for end, unit in UNITS if stem.endswith(end)), "")
    known = GEN_AI[conventions].get(metric.name)
    if known is None:
        attributes = tuple(ATTRIBUTES.get(label, PREFIX + label) for label in metric.labels)
        return Named(PREFIX + stem.removesuffix("_seconds"), unit, attributes, {})
    values = dict(zip(metric.labels, labels, strict=True))
    kind = "" if "{kind}" in known else "gen_ai.token.type"
    attributes = tuple(kind if label == "kind" else ATTRIBUTES[label] for label in metric.labels)
    return Named(known.format(**values), unit, attributes, dict(OPERATION))


def table() -> str:
    """The table of docs/metrics.md."""
    lines = ["| of /metrics | v1.41 | latest | unit |", "|---|---|---|---|"]
    for metric in METRICS:
        if metric.name in GEN_AI["v1.41"]:
            older, newer = GEN_AI["v1.41"][metric.name], GEN_AI["latest"][metric.name]
            unit = named(metric, ("",) * len(metric.labels), "v1.41").unit
            lines.append(f"| `promptcanary_{metric.name}` | `{older}` | `{newer}` | {unit} |")
    return "\n".join(lines) + "\n"
