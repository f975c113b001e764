"""OpenAI's graders (platform.openai.com/docs/guides/graders), in one of three shapes:

    {"testing_criteria": [grader, …], "data_source": {…}}   a hosted eval, its items inside or in a JSONL file
    [grader, …] · grader                                     bare, its items in a JSONL file

    string_check     eq, ne, like, ilike → equals, not-equals, contains, icontains
    text_similarity  rouge_1 … rouge_5 → rouge-1 … rouge-5; fuzzy_match → fuzzy-match
    label_model      → llm-rubric: the answer deserves one of the passing labels
    score_model      → llm-rubric with the threshold on its range
    multi            → its graders, weighted as `calculate_output` sums them
    python           refused: it would run code

Graders' own models are not used: the judge of the configuration is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.evals.imports.reading import OUTPUT, Source, content_of, decoded, templated, turns_of

CHECKS = {"eq": "equals", "ne": "not-equals", "like": "contains", "ilike": "icontains"}
SIMILAR = {"fuzzy_match": "fuzzy-match"} | {f"rouge_{n}": f"rouge-{n}" for n in range(1, 6)}
HALF = 0.5
_TERM = re.compile(r"(?:([0-9]*\.?[0-9]+)\*)?([A-Za-z_]\w*)(?:\*([0-9]*\.?[0-9]+))?\Z")


def of_graders(source: Source, items: Source | None = None) -> dict[str, Any]:
    """`items`: JSONL of `{"item": {…}}` or of items themselves. Raises `InvalidValue`."""
    value = decoded(source, source.text)
    hosted = value if isinstance(value, dict) and "testing_criteria" in value else {}
    graders = hosted.get("testing_criteria", value)
    graders = graders if isinstance(graders, list) else [graders]
    asserts, threshold = _asserts(source, graders)
    data = hosted.get("data_source") or {}
    before, said = _said(source, data)
    tests = [
        {"description": f"item {index}", "vars": item, "assert": asserts}
        | ({"messages": before} if before else {})
        | ({} if threshold is None else {"threshold": threshold})
        for index, item in enumerate(_items(source, data, items), 1)
    ]
    return {**({"prompts": [said]} if said else {}), "tests": tests}


def _asserts(source: Source, graders: list[Any]) -> tuple[list[dict[str, Any]], float | None]:
    """And the threshold of a weighted set."""
    if len(graders) == 1 and isinstance(graders[0], dict) and graders[0].get("type") == "multi":
        return _weighted(source, graders[0])
    found = [_assertion(source, grader) for grader in graders]
    if not found:
        source.fail(1, "there is no grader in it")
    return found, None


def _assertion(source: Source, grader: Any) -> dict[str, Any]:
    if not isinstance(grader, dict) or not isinstance(grader.get("type"), str):
        source.fail(1, "a grader is an object with a `type`")
    kind = grader["type"]
    line = source.line_of(f'"{grader["name"]}"' if grader.get("name") else f'"{kind}"')
    reader = _READERS.get(kind)
    if reader is None:
        more = ": it would run code" if kind == "python" else ""
        source.fail(line, f"grader {kind!r} cannot be taken over{more}; there is {', '.join(_READERS)}")
    return reader(source, grader, line)


def _string_check(source: Source, grader: dict[str, Any], line: int) -> dict[str, Any]:
    operation = grader.get("operation")
    if operation not in CHECKS:
        source.fail(line, f"string_check has the operations {', '.join(CHECKS)}, not {operation!r}")
    return {"type": CHECKS[operation], "value": _reference(source, grader, line)}


def _similarity(source: Source, grader: dict[str, Any], line: int) -> dict[str, Any]:
    metric = grader.get("evaluation_metric")
    if metric not in SIMILAR:
        source.fail(line, f"text_similarity by {metric!r} is not here; there is {', '.join(SIMILAR)}")
    value = _reference(source, grader, line)
    return {"type": SIMILAR[metric], "value": value, "threshold": grader.get("pass_threshold", HALF)}


def _label(source: Source, grader: dict[str, Any], line: int) -> dict[str, Any]:
    labels, passing = grader.get("labels"), grader.get("passing_labels")
    if not isinstance(labels, list) or not isinstance(passing, list) or not passing:
        source.fail(line, "label_model has `labels` and `passing_labels`")
    others = [str(label) for label in labels if label not in passing]
    task = f"Of the labels {', '.join(map(str, labels))} it deserves {' or '.join(map(str, passing))}"
    task += f", and not {' or '.join(others)}" if others else ""
    value = f"{task}, by these instructions: {_instructions(source, grader, line)}"
    return {"type": "llm-rubric", "value": value}


def _score(source: Source, grader: dict[str, Any], line: int) -> dict[str, Any]:
    low, high = _numbers(source, grader.get("range", [0, 1]), line)
    (passes,) = _numbers(source, [grader.get("pass_threshold", (low + high) / 2.0)], line)
    if not low < high or not low <= passes <= high:
        source.fail(line, "score_model has a `range` [low, high] and a `pass_threshold` within")
    value = (
        f"It earns the best score of a grader with these instructions: {_instructions(source, grader, line)}"
    )
    return {"type": "llm-rubric", "value": value, "threshold": round((passes - low) / (high - low), 6)}


_READERS = {
    "string_check": _string_check,
    "text_similarity": _similarity,
    "label_model": _label,
    "score_model": _score,
}


def _weighted(source: Source, multi: dict[str, Any]) -> tuple[list[dict[str, Any]], float]:
    graders, formula = multi.get("graders"), multi.get("calculate_output")
    line = source.line_of('"calculate_output"')
    if not isinstance(graders, dict) or not isinstance(formula, str):
        source.fail(line, "multi has `graders` by name and `calculate_output`")
    weights: dict[str, float] = {}
    for term in formula.replace(" ", "").split("+"):
        match = _TERM.match(term)
        if match is None or match[2] not in graders or match[2] in weights:
            source.fail(line, f"calculate_output can be a sum such as 0.7*a + 0.3*b, not {formula!r}")
        weights[match[2]] = float(match[1] or match[3] or 1.0)
    found = [{**_assertion(source, graders[name]), "weight": weight} for name, weight in weights.items()]
    (threshold,) = _numbers(source, [multi.get("pass_threshold", HALF)], line)
    return found, threshold / sum(weights.values())


def _reference(source: Source, grader: dict[str, Any], line: int) -> str:
    if not isinstance(grader.get("input"), str) or not OUTPUT.match(grader["input"]):
        source.fail(line, "the grader's `input` is the whole answer, {{sample.output_text}}")
    if not isinstance(grader.get("reference"), str):
        source.fail(line, "the grader has a `reference`, which is text")
    return templated(source, grader["reference"])


def _instructions(source: Source, grader: dict[str, Any], line: int) -> str:
    """What a grader's model is told, without the answer, which our judge is shown by itself."""
    messages = grader.get("input")
    if isinstance(messages, str):
        messages = [{"content": messages}]
    if not isinstance(messages, list) or not messages:
        source.fail(line, "the grader has `input`: messages to its model")
    text = "\n".join(content_of(source, message, line) for message in messages)
    return templated(source, re.sub(r"\{\{\s*sample\.output_text\s*\}\}", "(the answer)", text)).strip()


def _said(source: Source, data: Any) -> tuple[list[dict[str, str]], str]:
    """The messages of a hosted eval's template: those before, and the user's."""
    messages = data.get("input_messages") if isinstance(data, Mapping) else None
    template = messages.get("template") if isinstance(messages, Mapping) else None
    if not isinstance(template, list):
        return [], ""
    before, said = turns_of(source, template, source.line_of('"template"'))
    return [{**turn, "content": templated(source, turn["content"])} for turn in before], templated(
        source, said
    )


def _items(source: Source, data: Any, items: Source | None) -> list[dict[str, Any]]:
    found = data.get("source") if isinstance(data, Mapping) else None
    content = found.get("content") if isinstance(found, Mapping) else None
    listed = list(enumerate(content, 1)) if isinstance(content, list) else []
    if items is not None:
        listed = [(line, value) for line, value in items.lines()]
    if not listed:
        source.fail(1, "graders need items: give a JSONL file of them with --items")
    return [_item(items or source, line, value) for line, value in listed]


def _item(source: Source, line: int, value: Any) -> dict[str, Any]:
    item = value.get("item", value) if isinstance(value, dict) else None
    if not isinstance(item, dict):
        source.fail(line, "an item is an object")
    return item


def _numbers(source: Source, values: Any, line: int) -> list[float]:
    good = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    if not good or len(values) not in (1, 2):
        source.fail(line, f"{values!r} are no numbers")
    return [float(value) for value in values]
