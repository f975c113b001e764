"""Suites in promptfoo's dialect: read, merged, and refused by name and line."""

from __future__ import annotations

import pytest

from gateway.errors import InvalidValue
from gateway.evals.suite import Suite, filled, read_suite, user_message

SUITE = """\
description: what support must get right
prompts: ["{{question}}"]
providers: [openai:gpt-4o]
options: {repeat: 2}
defaultTest:
  vars: {tone: warm}
  assert:
    - {type: no-secret}
tests:
  - description: returns
    vars: {question: "Can I return it?"}
    assert:
      - {type: icontains, value: "{{tone}}"}
      - type: not-is-refusal
        weight: 0
      - {type: llm-rubric, value: polite, threshold: 0.5}
    options: {repeat: 5, min_pass_rate: 0.8}
  - vars: {question: Hi, tone: cool}
    threshold: 0.5
    assert: [{type: regex, value: h.llo}]
"""


def read(text: str) -> Suite:
    return read_suite(text, "support", "support.yaml")


def test_a_suite_is_read_with_its_defaults() -> None:
    suite = read(SUITE)
    first, second = suite.cases
    assert (first.name, first.line, first.repeat, first.min_pass_rate) == ("returns", 10, 5, 0.8)
    assert first.vars == {"tone": "warm", "question": "Can I return it?"}
    assert [(each.shown, each.line) for each in first.asserts] == [
        ("no-secret", 8),
        ("icontains", 13),
        ("not-is-refusal", 14),
        ("llm-rubric", 16),
    ]
    assert first.asserts[0].always
    assert (second.name, second.repeat, second.threshold) == ("test 2", 2, 0.5)
    assert second.vars["tone"] == "cool"
    assert user_message(suite, first) == "Can I return it?"


def test_the_digest_is_of_what_is_checked_and_not_of_where_it_stands() -> None:
    assert read(SUITE).digest == read("# a comment\n" + SUITE).digest
    assert read(SUITE).digest != read(SUITE.replace("polite", "kind")).digest
    assert read(SUITE).reference == f"support@{read(SUITE).digest}"


def test_what_the_user_says_without_a_template() -> None:
    suite = read("tests: [{vars: {message: Hello}, assert: [{type: is-json}]}]")
    assert user_message(suite, suite.cases[0]) == "Hello"
    suite = read("tests: [{vars: {tone: warm}, assert: [{type: is-json}]}]")
    with pytest.raises(InvalidValue, match=r"case 'test 1' \(line 1\) does not say what the user says"):
        user_message(suite, suite.cases[0])
    suite = read('prompts: ["{{x}}"]\ntests: [{vars: {}, assert: [{type: is-json}]}]')
    with pytest.raises(InvalidValue, match="has no variable 'x'"):
        user_message(suite, suite.cases[0])


def one(assertion: str, more: str = "") -> str:
    test = f"  - vars: {{input: Hi}}\n{more}    assert:\n      - {{type: is-json}}\n      - {assertion}\n"
    return f"tests:\n{test}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tests: [", "support.yaml: not YAML"),
        ("- 1", "support.yaml:1: a suite is a mapping"),
        ("tests: []", "support.yaml:1: `tests` is a list of 1 to 2000 tests"),
        ("tests: file://cases.yaml", "`tests` is a list"),
        ("scenarios: []\ntests: [{}]", "a suite has no 'scenarios' here"),
        ("prompts: [a, b]\ntests: [{assert: [{type: is-json}]}]", "`prompts` is a list of one template"),
        ("tests:\n  - vars: {a: 1}", "support.yaml:2: a test needs something to assert"),
        ("tests:\n  - assert: {type: is-json}", "support.yaml:2: `assert` is a list"),
        (one("{type: similar, value: x}"), "support.yaml:5: there is no check 'similar'; there is contains"),
        (one("{type: not-javascript, value: x}"), "support.yaml:5: there is no check 'not-javascript'"),
        (one("{value: x}"), "support.yaml:5: an assertion has a `type`"),
        (one("{type: contains}"), "support.yaml:5: contains needs a `value`"),
        (one("{type: latency, value: 5}"), "support.yaml:5: latency needs a `threshold`"),
        (one("{type: llm-rubric}"), "support.yaml:5: llm-rubric needs a `value`"),
        (
            one("{type: contains, value: x, provider: y}"),
            "an assertion has no 'provider' here",
        ),
        (one("{type: contains, value: x, weight: -1}"), "weight is a number from 0 up, not -1"),
        (one("{type: is-json, threshold: high}"), "threshold is a number, not 'high'"),
        (one("{type: regex, value: '('}"), "support.yaml:5: regex: .* is no RE2 expression"),
        (one("{type: is-json, value: {type: nonsense}}"), "support.yaml:5: the schema is none"),
        (one("{type: word-count, value: many}"), "support.yaml:5: word-count: 'many' is no number"),
        (one("{type: is-json, constraint: often}"), "support.yaml:5: constraint is true or false"),
        (
            one("{type: is-json}", "    options: {repeat: 0}\n"),
            "repeat is a whole number from 1 to 50",
        ),
        (
            one("{type: is-json}", "    options: {min_pass_rate: 2}\n"),
            "min_pass_rate is a number from",
        ),
        (one("{type: is-json}", "    provider: x\n"), "support.yaml:2: a test has no 'provider' here"),
    ],
)
def test_what_is_not_known_is_refused_by_name_and_line(text: str, complaint: str) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        read(text)


def test_variables_are_filled_in_and_others_stay() -> None:
    assert filled("{{a}} {{ b }} {{c}}", {"a": 1, "b": "two"}) == "1 two {{c}}"


NAMED = """\
equals contains contains-all contains-any icontains icontains-all icontains-any starts-with regex is-json
contains-json is-refusal word-count latency cost finish-reason levenshtein rouge-n is-valid-openai-tools-call
no-pii no-secret no-system-prompt-leak llm-rubric g-eval factuality select-best guardrails max-chars tokens"""


@pytest.mark.parametrize("negated", ["", "not-"])
def test_every_check_is_known_by_its_name_and_with_not(negated: str) -> None:
    for kind in NAMED.split():
        value = "threshold: 5" if kind in ("latency", "cost", "tokens") else "value: 5"
        (case,) = read(one(f"{{type: {negated}{kind}, {value}}}")).cases
        assert (case.asserts[1].type, case.asserts[1].negated) == (kind, bool(negated))


def test_constraints_are_the_safety_checks_and_what_is_said_to_be_one() -> None:
    (case,) = read(one("{type: contains, value: x, constraint: true}")).cases
    assert [each.always for each in case.asserts] == [False, True]
    (case,) = read(one("{type: guardrails}")).cases
    assert case.asserts[1].always


def test_what_was_said_before_is_part_of_a_case() -> None:
    suite = read(one("{type: is-json}", "    messages: [{role: user, content: Hi}]\n"))
    assert suite.cases[0].messages == ({"role": "user", "content": "Hi"},)
    for wrong in ("[{role: system, content: x}]", "[{role: user}]", "Hi", "[1]"):
        with pytest.raises(InvalidValue, match=r"support\.yaml:2: "):
            read(one("{type: is-json}", f"    messages: {wrong}\n"))
