"""Suites of OpenAI evals, OpenAI graders and GitHub Models, taken over and then read as our own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import InvalidValue
from gateway.evals.checks import CHECKS, Run
from gateway.evals.imports.formats import as_yaml, imported, name_of, read_any
from gateway.evals.imports.reading import Source
from gateway.evals.suite import Suite, filled, read_suite, user_message

SAMPLES = """\
{"input": [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "2 + 2?"}], "ideal": "4"}

{"input": "Capital of France?", "ideal": ["Paris", "paris."]}
"""
TALK = json.dumps(
    {
        "input": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": [{"type": "text", "text": "Bye"}]},
        ],
        "ideal": '{"said": "bye"}',
    }
)


def read(text: str, file: str, **how: Any) -> Suite:
    return read_suite(as_yaml(imported(text, file, **how), file), "s", file)


def passes(suite: Suite, index: int, answer: str) -> bool:
    case = suite.cases[index]
    results = [
        CHECKS[each.type].check(Run(answer), filled(str(each.value), case.vars), each.threshold).passed
        != each.negated
        for each in case.asserts
    ]
    return all(results)


@pytest.mark.parametrize(
    ("how", "good", "bad"),
    [
        ("match", "Paris, of course", "It is Paris"),
        ("includes", "It is Paris", "It is Rome"),
        ("equals", "Paris\n", "Paris, of course"),
    ],
)
def test_samples_are_compared_as_their_class_would(how: str, good: str, bad: str) -> None:
    suite = read(SAMPLES, "a/samples.jsonl", how=how)
    assert [user_message(suite, case) for case in suite.cases] == ["2 + 2?", "Capital of France?"]
    assert suite.cases[1].name == "line 3"
    check = suite.cases[1].asserts[0]
    assert CHECKS[check.type].check(Run(good), check.value, None).passed
    assert not CHECKS[check.type].check(Run(bad), check.value, None).passed


def test_a_conversation_keeps_its_turns_and_json_is_compared_as_json() -> None:
    (case,) = read(TALK, "samples.jsonl", how="json").cases
    assert case.messages == ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"})
    assert case.vars == {"input": "Bye"}
    assert case.asserts[0].value == {"said": "bye"}


GRADERS = [
    {"type": "string_check", "name": "same", "operation": "ilike", "input": "{{sample.output_text}}",
     "reference": "{{ item.city }}"},
    {"type": "string_check", "name": "other", "operation": "ne", "input": "{{sample.output_text}}",
     "reference": "Rome"},
    {"type": "text_similarity", "name": "near", "input": "{{sample.output_text}}",
     "reference": "{{item.city}} is it", "evaluation_metric": "rouge_2", "pass_threshold": 0.5},
]  # fmt: skip
HOSTED = {
    "testing_criteria": GRADERS,
    "data_source": {
        "type": "completions",
        "input_messages": {
            "type": "template",
            "template": [
                {"role": "developer", "content": "Be terse."},
                {"role": "user", "content": {"type": "input_text", "text": "Capital of {{item.country}}?"}},
            ],
        },
        "source": {
            "type": "file_content",
            "content": [{"item": {"country": "France", "city": "Paris"}}],
        },
    },
}


def test_a_hosted_eval_brings_its_items_and_messages() -> None:
    suite = read(json.dumps(HOSTED), "eval.json")
    (case,) = suite.cases
    assert user_message(suite, case) == "Capital of France?"
    assert [each.shown for each in case.asserts] == ["icontains", "not-equals", "rouge-2"]
    assert passes(suite, 0, "paris is it")
    assert not passes(suite, 0, "Paris")
    assert not passes(suite, 0, "rome is it")


def test_graders_of_models_ask_our_judge() -> None:
    told = [{"role": "user", "content": "Question {{item.q}}. Answer: {{sample.output_text}}. Polite?"}]
    graders = [
        {"type": "label_model", "name": "l", "model": "m", "input": told, "labels": ["polite", "rude"],
         "passing_labels": ["polite"]},
        {"type": "score_model", "name": "s", "model": "m", "input": told, "range": [1, 5],
         "pass_threshold": 4},
    ]  # fmt: skip
    items = Source('{"item": {"q": "Hi?", "input": "Hi?"}}\n{"q": "Ho?", "input": "Ho?"}', "items.jsonl")
    first, second = read(json.dumps(graders), "graders.json", items=items).cases
    assert first.vars["q"] == "Hi?"
    assert second.vars["q"] == "Ho?"
    label, score = first.asserts
    assert label.value == (
        "Of the labels polite, rude it deserves polite, and not rude, by these instructions: "
        "Question {{q}}. Answer: (the answer). Polite?"
    )
    assert (score.type, score.threshold) == ("llm-rubric", 0.75)


def test_a_multi_grader_is_a_weighted_set() -> None:
    multi = {
        "type": "multi",
        "graders": {"a": GRADERS[0], "b": GRADERS[1]},
        "calculate_output": "3 * a + b",
        "pass_threshold": 2,
    }
    items = Source('{"input": "x", "city": "Paris"}', "items.jsonl")
    (case,) = read(json.dumps(multi), "multi.json", items=items).cases
    assert [each.weight for each in case.asserts] == [3.0, 1.0]
    assert case.threshold == 0.5


GITHUB = """\
name: Summary
model: openai/gpt-4o-mini
messages:
  - {role: system, content: You summarise.}
  - {role: user, content: "Summarise: {{input}}"}
testData:
  - {input: a long text, expected: a text}
evaluators:
  - {name: begins, string: {startsWith: "Summary -"}}
  - {name: ends, string: {endsWith: "."}}
  - {name: holds, string: {contains: "{{expected}}"}}
  - {name: like, uses: github/similarity}
  - name: judged
    llm:
      modelId: openai/gpt-4o
      prompt: "Is {{completion}} short?"
      choices: [{choice: "1", score: 0}, {choice: "2", score: 1}]
"""


def test_a_prompt_yml_of_github() -> None:
    suite = read_any(GITHUB, "s", "a/b.prompt.yml")
    (case,) = suite.cases
    assert user_message(suite, case) == "Summarise: a long text"
    kinds = ["istarts-with", "iends-with", "icontains", "factuality", "llm-rubric"]
    assert [each.type for each in case.asserts] == kinds
    own = Suite("s", (type(case)(case.name, case.line, case.vars, case.asserts[:3]),))
    assert passes(own, 0, "summary - A TEXT. ")
    assert not passes(own, 0, "Summary - a text")
    assert "Is (the answer) short? Scores: 1 = 0, 2 = 1" in case.asserts[4].value


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("s.jsonl", "{", "s.jsonl:1: not JSON"),
        ("s.jsonl", "\n[1]", "s.jsonl:2: a line of JSONL is an object"),
        ("s.jsonl", "", "s.jsonl:1: there is no sample in it"),
        ("s.jsonl", '{"input": 1, "ideal": "a"}', "a sample has `input`"),
        ("s.jsonl", '{"input": "a"}', "s.jsonl:1: a sample has `ideal`"),
        ("s.jsonl", '{"input": "a", "ideal": "b", "expected": "c"}', "a sample has no 'expected' here"),
        ("s.jsonl", '{"input": [{"role": "tool", "content": "a"}], "ideal": "b"}', "the last message is the"),
        (
            "g.json",
            '[\n{"type": "python", "name": "run"}]',
            "g.json:2: grader 'python' .* run code",
        ),
        (
            "g.json",
            '{"type": "magic"}',
            "g.json:1: grader 'magic' .*; there is string_check",
        ),
        ("g.json", "[]", "there is no grader in it"),
        ("g.json", json.dumps(GRADERS[0]), "give a JSONL file of them with --items"),
        (
            "g.json",
            json.dumps({**GRADERS[0], "operation": "gt"}),
            "operations eq, ne, like, ilike, not 'gt'",
        ),
        ("g.json", json.dumps({**GRADERS[0], "input": "x"}), "`input` is the whole answer"),
        ("g.json", json.dumps({**GRADERS[0], "reference": "{{env.x}}"}), "knows {{item.name}}"),
        (
            "g.json",
            json.dumps({**GRADERS[2], "evaluation_metric": "bleu"}),
            "similarity by 'bleu' is not",
        ),
        (
            "g.json",
            json.dumps({"type": "multi", "graders": {"a": GRADERS[0]}, "calculate_output": "max(a, 1)"}),
            "calculate_output can be a sum",
        ),
        ("p.prompt.yml", "testData: []", "`testData` is a list of mappings"),
        ("p.prompt.yml", "testData: [{input: a}]", "nothing would be asserted"),
        (
            "p.prompt.yml",
            "testData: [{input: a}]\nevaluators:\n  - {name: x, uses: github/magic}",
            "p.prompt.yml:3: evaluator 'github/magic' is not here; there is github/similarity",
        ),
        ("p.csv", "a,b", "what is taken over ends with .prompt.yml"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name_and_line(file: str, text: str, complaint: str) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        imported(text, file)


def test_names_of_suites() -> None:
    assert name_of("a.b/support.prompt.yml") == "support"
