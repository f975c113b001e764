"""OpenAI evals (github.com/openai/evals): a line holds `input`, messages or text, and `ideal`, one answer or
several. Which of its classes compares them stands in a registry beside the file, so it is an argument:

    match      Match: the answer begins with one of them
    includes   Includes: one of them is in it
    equals     it is one of them
    json       JsonMatch: it is the same JSON
"""

from __future__ import annotations

import re
from typing import Any

from gateway.evals.imports.reading import Source, decoded, turns_of

HOW = ("match", "includes", "equals", "json")
FIELDS = {"input", "ideal", "metadata", "id"}


def of_samples(source: Source, how: str = "match") -> dict[str, Any]:
    """Raises `InvalidValue`."""
    if how not in HOW:
        source.fail(1, f"ideals are compared by {', '.join(HOW)}, not {how!r}")
    tests = [_test(source, line, sample, how) for line, sample in source.lines()]
    if not tests:
        source.fail(1, "there is no sample in it")
    return {"prompts": ["{{input}}"], "tests": tests}


def _test(source: Source, line: int, sample: dict[str, Any], how: str) -> dict[str, Any]:
    if unknown := sorted(set(sample) - FIELDS):
        source.fail(line, f"a sample has no {unknown[0]!r} here; there is input, ideal")
    given = sample.get("input")
    before: list[dict[str, str]] = []
    if isinstance(given, str):
        said = given
    elif isinstance(given, list):
        before, said = turns_of(source, given, line)
    else:
        source.fail(line, "a sample has `input`: messages, or what the user says")
    ideal = sample.get("ideal")
    ideals: list[Any] = ideal if isinstance(ideal, list) else [ideal]
    if not ideals or not all(isinstance(each, str) for each in ideals):
        source.fail(line, "a sample has `ideal`: an answer, or a list of them")
    test: dict[str, Any] = {"description": f"line {line}", "vars": {"input": said}}
    if before:
        test["messages"] = before
    return {**test, "assert": [_assertion(source, line, ideals, how)]}


def _assertion(source: Source, line: int, ideals: list[str], how: str) -> dict[str, Any]:
    if how == "includes":
        return {"type": "contains-any", "value": ideals}
    if how == "json":
        if len(ideals) > 1:
            source.fail(line, "one JSON ideal can be compared, not several")
        value = decoded(source, ideals[0], line)
        if not isinstance(value, dict | list):
            source.fail(line, "a JSON ideal is an object or a list")
        return {"type": "equals", "value": value}
    if len(ideals) == 1:
        return {"type": "equals" if how == "equals" else "starts-with", "value": ideals[0]}
    end = r"\s*\z" if how == "equals" else ""
    return {"type": "regex", "value": rf"\A(?:{'|'.join(map(re.escape, ideals))}){end}"}
