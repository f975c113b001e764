"""Failed answers as cases: turns, what is asserted, and what redaction leaves."""

from __future__ import annotations

import pytest

from gateway.errors import InvalidValue
from gateway.evals.detect import redacted
from gateway.evals.regression import BY_FLAG, asserted, checked, joined, proposed, turns_of
from gateway.evals.suite import read_suite, user_message
from tests.evals.corpus import NOT_PERSONAL, PERSONAL, SECRETS


def test_each_flag_is_a_check_that_suites_know() -> None:
    for flag in BY_FLAG:
        test = proposed("c", "user: Hi", [flag], None)
        assert checked(test, "c")["assert"] == [BY_FLAG[flag]]
    both = proposed("c", "user: Hi", ["refusal", "moderation:violence"], 0.2)["assert"]
    assert [each["type"] for each in both] == ["not-is-refusal", "llm-rubric"]
    assert proposed("c", "user: Hi", ["rule:x"], None)["assert"][0]["type"] == "llm-rubric"


def test_a_conversation_is_told_apart_into_turns() -> None:
    text = "user: Hi\n\nthere\n\nassistant: Hello\n\nuser: Bye\n\nassistant: [tool look {}]"
    assert [turn["content"] for turn in turns_of(text)] == ["Hi\n\nthere", "Hello", "Bye"]
    assert turns_of("words without a role") == []
    assert proposed("c", "words", ["loop"], None)["vars"] == {"input": "words"}


def test_accepted_cases_come_after_the_suite_s_own_and_speak_for_themselves() -> None:
    text = 'prompts: ["Q: {{question}}"]\ntests: [{vars: {question: Hi}, assert: [{type: is-json}]}]'
    suite = read_suite(text, "s", "s.yaml")
    both = joined(suite, [proposed("c", "user: {{input}}?", ["refusal"], None)], "cases")
    assert [user_message(both, case) for case in both.cases] == ["Q: Hi", "{{input}}?"]
    assert both.reference != suite.reference
    assert joined(suite, [], "cases") is suite


def test_assertions_in_yaml() -> None:
    assert asserted("{type: contains, value: x}", "a") == [{"type": "contains", "value": "x"}]
    assert asserted("- {type: is-json}", "a") == [{"type": "is-json"}]
    with pytest.raises(InvalidValue, match="a: not YAML"):
        asserted("{", "a")


@pytest.mark.parametrize("value", (*PERSONAL, *SECRETS))
def test_personal_data_and_secrets_are_taken_out(value: str) -> None:
    assert value not in redacted(f"Write it down: {value}, please")


@pytest.mark.parametrize("value", NOT_PERSONAL)
def test_what_only_looks_like_it_stays(value: str) -> None:
    assert redacted(f"It is {value} here") == f"It is {value} here"
