"""The simulated judge: its score follows the quality mark of the answer it is shown, with noise and bias."""

from collections.abc import Mapping
from typing import Any

from gateway.simulator.draws import Draws, normal
from gateway.simulator.scenario import Judge
from gateway.simulator.schema import Known, number_within
from gateway.simulator.text import marked_answers, marked_quality

OWN_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "score": {"type": "number", "minimum": 0, "maximum": 1}},
}


def is_judge(judge: Judge, system: str, schema: Mapping[str, Any] | None) -> bool:
    """True for a request with the marker in its system text, or a schema with a `score` property."""
    properties = (schema or {}).get("properties")
    return judge.marker in system or (isinstance(properties, dict) and "score" in properties)


def judgment(judge: Judge, transcript: str, draws: Draws) -> Known:
    """Return how to fill `score`, `reason`, `pass`, `passed` for the last marked answer of `transcript`."""
    marked = marked_quality(transcript)
    score = perceived(judge, transcript, draws)
    reason = "no quality mark was found" if marked is None else f"the answer reads like quality {marked:.2f}"
    return {
        "score": lambda schema: on_scale(schema, score),
        "reason": lambda schema: reason,
        "pass": lambda schema: score >= 0.5,
        "passed": lambda schema: score >= 0.5,
    }


def perceived(judge: Judge, transcript: str, draws: Draws) -> float:
    """The score before it is put on a scale."""
    marked = marked_quality(transcript)
    seen = judge.unmarked if marked is None else marked
    place = judge.order_bias if marked_answers(transcript) > 1 else 0.0
    return min(max(seen + judge.bias + place + judge.noise * normal(draws.noise), 0.0), 1.0)


def on_scale(schema: Mapping[str, Any], score: float) -> Any:
    """Return a score of 0 to 1 on a schema's scale: enum, bounds, integers 1 to 5, or 0 to 1."""
    choices = schema.get("enum")
    if choices:
        return choices[min(int(score * len(choices)), len(choices) - 1)]
    whole = schema.get("type") == "integer"
    if whole and "minimum" not in schema and "maximum" not in schema:
        schema = {**schema, "minimum": 1, "maximum": 5}
    return round(number_within(schema, score, whole=whole), 4)
