"""GitHub Models' `.prompt.yml` (docs.github.com/github-models): its `testData` are the cases, its
`evaluators` what is asserted of each. Model and messages but the last are the prompt's: not taken over.

    string: equals, contains, startsWith, endsWith    but for the first without regard to case, as there
    llm: {prompt, choices}                            → llm-rubric
    uses: github/similarity, relevance, …             → the judge, in the same sense
"""

from __future__ import annotations

from typing import Any

import yaml

from gateway.errors import InvalidValue
from gateway.evals.imports.reading import Source, turns_of

STRING = {
    "equals": "equals",
    "contains": "icontains",
    "startsWith": "istarts-with",
    "endsWith": "iends-with",
}
BUILT_IN = {
    "github/similarity": {"type": "factuality", "value": "{{expected}}"},
    "github/relevance": {"type": "llm-rubric", "value": "it is relevant to what was asked, and complete"},
    "github/coherence": {"type": "llm-rubric", "value": "its sentences fit together and read naturally"},
    "github/fluency": {"type": "llm-rubric", "value": "its grammar and choice of words are good"},
    "github/groundedness": {"type": "llm-rubric", "value": "all it claims is in what the user gave"},
}
PASSES = 0.5


def of_github(source: Source) -> dict[str, Any]:
    """Raises `InvalidValue`."""
    try:
        value = yaml.safe_load(source.text)
    except yaml.YAMLError as error:
        raise InvalidValue(f"{source.name}: not YAML: {error}") from error
    if not isinstance(value, dict):
        source.fail(1, "a .prompt.yml is a mapping")
    data = value.get("testData")
    if not isinstance(data, list) or not data or not all(isinstance(row, dict) for row in data):
        source.fail(source.line_of("testData"), "`testData` is a list of mappings")
    asserts = [_assertion(source, each) for each in value.get("evaluators") or []]
    if not asserts:
        source.fail(source.line_of("evaluators"), "there is no evaluator, so nothing would be asserted")
    messages = value.get("messages")
    _, said = (
        turns_of(source, messages, source.line_of("messages")) if isinstance(messages, list) else ([], "")
    )
    return {
        **({"prompts": [said]} if "{{" in said else {}),
        "defaultTest": {"assert": asserts},
        "tests": [{"description": f"row {index}", "vars": row} for index, row in enumerate(data, 1)],
    }


def _assertion(source: Source, evaluator: Any) -> dict[str, Any]:
    if not isinstance(evaluator, dict):
        source.fail(source.line_of("evaluators"), "an evaluator is a mapping")
    line = source.line_of(str(evaluator.get("name") or evaluator.get("uses") or "evaluators"))
    text, uses, llm = evaluator.get("string"), evaluator.get("uses"), evaluator.get("llm")
    if isinstance(text, dict) and len(text) == 1 and set(text) <= set(STRING):
        ((name, value),) = text.items()
        return {"type": STRING[name], "value": value}
    if uses is not None:
        if uses not in BUILT_IN:
            source.fail(line, f"evaluator {uses!r} is not here; there is {', '.join(BUILT_IN)}")
        return dict(BUILT_IN[uses])
    if not isinstance(llm, dict) or not isinstance(llm.get("prompt"), str):
        source.fail(line, f"an evaluator has `string` ({', '.join(STRING)}), `uses` or `llm`")
    return {"type": "llm-rubric", "value": _question(llm), "threshold": PASSES}


def _question(llm: dict[str, Any]) -> str:
    task = " ".join(str(llm.get(name) or "") for name in ("systemPrompt", "prompt")).strip()
    choices = [each for each in llm.get("choices") or [] if isinstance(each, dict)]
    listed = ", ".join(f"{each.get('choice')} = {each.get('score')}" for each in choices)
    task = task.replace("{{completion}}", "(the answer)")
    return f"It earns a high score by these instructions: {task}" + (f" Scores: {listed}" if listed else "")
