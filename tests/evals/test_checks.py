"""Checks on literal answers; and what a report makes of runs."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import InvalidValue
from gateway.evals.checks import CHECKS, Run, edit_distance, rouge
from gateway.evals.detect import Probes
from gateway.evals.report import CaseResult, Report, RunResult, paired

SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]


@pytest.mark.parametrize(
    ("kind", "value", "threshold", "good", "bad"),
    [
        ("equals", "Yes.", None, "Yes.\n", "Yes"),
        ("equals", {"a": 1}, None, '{"a": 1}', '{"a": 2}'),
        ("contains", "Yes", None, "Oh Yes!", "oh yes!"),
        ("icontains", "Yes", None, "oh yes!", "no"),
        ("contains-all", ["a", "b"], None, "ab", "a"),
        ("contains-all", "a, b", None, "ab", "a"),
        ("contains-any", ["a", "b"], None, "b", "c"),
        ("icontains-all", ["A", "B"], None, "ab", "a"),
        ("icontains-any", ["A", "B"], None, "b", "c"),
        ("starts-with", "Dear", None, "Dear Ann", "Hi, Dear"),
        ("istarts-with", "dear", None, " DEAR Ann", "Hi, Dear"),
        ("ends-with", "Ann", None, "Dear Ann", "Ann!"),
        ("iends-with", "ann", None, "Dear ANN\n", "Ann!"),
        ("fuzzy-match", "kitten", 0.5, "sitting", "a dog"),
        ("rouge-2", "the cat sat down", 0.7, "The cat sat", "sat the cat"),
        ("regex", r"\d+ EUR", None, "It is 20 EUR.", "It is free."),
        ("word-count", 3, None, "one two three", "one two"),
        ("word-count", {"min": 2, "max": 3}, None, "one two", "one"),
        ("max-chars", 5, None, "short", "too long"),
        ("levenshtein", "kitten", 3, "sitting", "a dog"),
        ("rouge-n", "the cat sat down", 0.7, "The cat sat", "A dog ran"),
        ("is-json", None, None, " [1] ", "[1"),
        ("is-json", SCHEMA, None, '{"a": 1}', '{"a": "x"}'),
        ("contains-json", SCHEMA, None, 'Sure: {"b": 1} or {"a": 1}.', "Sure: {a: 1}"),
        ("is-refusal", None, None, "I'm sorry, but I can't help with that.", "Sure."),
        ("no-pii", None, None, "Sure.", "Write to ann@example.org"),
        ("no-secret", None, None, "Sure.", "AKIAIOSFODNN7EXAMPLE"),
    ],
)
def test_checks_of_text(kind: str, value: Any, threshold: float | None, good: str, bad: str) -> None:
    check = CHECKS[kind].check
    assert check(Run(good), value, threshold).passed
    result = check(Run(bad), value, threshold)
    assert not result.passed
    assert result.reason
    assert 0.0 <= result.score < 1.0


def test_checks_of_how_it_was_answered() -> None:
    run = Run("x", finish_reason="stop", latency=0.2, cost=0.001)
    assert CHECKS["finish-reason"].check(run, "stop", None).passed
    assert not CHECKS["finish-reason"].check(run, "length", None).passed
    assert CHECKS["latency"].check(run, None, 250).passed
    assert not CHECKS["latency"].check(run, None, 150).passed
    assert CHECKS["cost"].check(run, None, 0.002).passed
    assert not CHECKS["cost"].check(run, None, 0.0005).passed
    assert CHECKS["guardrails"].check(run, None, None).passed
    assert not CHECKS["guardrails"].check(Run("x", finish_reason="SAFETY"), None, None).passed
    assert CHECKS["tokens"].check(Run("x", tokens=5), None, 5).passed
    assert CHECKS["tokens"].check(Run("x", tokens=6), None, 5).reason == "it has 6 tokens"
    with pytest.raises(InvalidValue, match="the provider does not tell"):
        CHECKS["tokens"].check(Run("x"), None, 5)
    with pytest.raises(InvalidValue, match="the model has no price"):
        CHECKS["cost"].check(Run("x"), None, 1.0)


def test_calls_of_tools() -> None:
    check = CHECKS["is-valid-openai-tools-call"].check
    assert not check(Run("x"), None, None).passed
    assert check(Run("", calls=({"name": "look", "arguments": '{"a": 1}'},)), TOOLS, None).passed
    assert not check(Run("", calls=({"name": "look", "arguments": '{"a"'},)), None, None).passed
    assert not check(Run("", calls=({"name": "look", "arguments": '{"a": "x"}'},)), TOOLS, None).passed
    assert not check(Run("", calls=({"name": "other", "arguments": "{}"},)), TOOLS, None).passed


def test_a_leak_and_what_the_user_sent() -> None:
    rules = "never tell anybody that the warehouse is closed at weekends or on holidays whatever they say"
    check = CHECKS["no-system-prompt-leak"].check
    assert not check(Run(rules, probes=Probes(rules)), None, None).passed
    assert check(Run("Hello.", probes=Probes(rules)), None, None).passed
    assert CHECKS["no-pii"].check(Run("ann@example.org", question="I am ann@example.org"), None, None).passed


def test_what_is_no_expression_or_schema_is_said() -> None:
    with pytest.raises(InvalidValue, match="is no RE2 expression"):
        CHECKS["regex"].check(Run("x"), "(", None)
    with pytest.raises(InvalidValue, match="the schema is none"):
        CHECKS["is-json"].check(Run("1"), {"type": "nonsense"}, None)


def test_arithmetic() -> None:
    assert edit_distance("", "abc") == 3
    assert edit_distance("a" * 3000, "b" * 2000) == 1000
    assert rouge("", "a") == 0.0
    assert rouge("a b", "a b") == 1.0


# --- reports

GOOD, BAD, NONE = (
    RunResult(1.0, True),
    RunResult(0.0, False, ("it is bad",)),
    RunResult(0.0, False, (), "503"),
)


def case(*runs: RunResult, needs: float = 1.0) -> CaseResult:
    return CaseResult("c", 1, needs, runs)


@pytest.mark.parametrize(
    ("runs", "needs", "state"),
    [
        ([GOOD, GOOD], 1.0, "passed"),
        ([GOOD, BAD], 1.0, "failed"),
        ([GOOD, BAD], 0.5, "passed"),
        ([GOOD, NONE], 0.5, "incomplete"),
    ],
)
def test_a_case_passes_in_its_share_of_runs_and_no_data_is_neither(
    runs: list[RunResult], needs: float, state: str
) -> None:
    assert case(*runs, needs=needs).state == state


def test_no_share_of_good_runs_makes_up_for_a_broken_constraint() -> None:
    broken = RunResult(0.9, False, ("no-secret (line 3): a secret is in it",), broken=True)
    assert case(GOOD, GOOD, GOOD, broken, needs=0.5).state == "failed"
    assert case(NONE, broken, needs=0.0).state == "failed"


def test_a_report_fails_with_any_case_and_names_it() -> None:
    report = Report("s@1", (case(GOOD), case(BAD), case(NONE)))
    assert report.state == "failed"
    assert report.summary == "1 of 3 cases passed, mean score 0.33; failed: c (it is bad); c (503)"
    assert Report("s@1", (case(GOOD), case(NONE))).state == "incomplete"
    assert Report("s@1", (case(GOOD),)).state == "passed"


def test_a_candidate_that_is_worse_than_live_fails_from_ten_cases_on() -> None:
    cases = tuple(case(RunResult(0.5 + 0.01 * (n % 3), True)) for n in range(12))
    assert Report("s@1", cases, (0.9,) * 12).state == "failed"
    assert "worse than live: -0.39 to -0.39" in Report("s@1", cases, (0.9,) * 12).summary
    assert Report("s@1", cases, (0.51,) * 12).state == "passed"
    assert Report("s@1", cases[:9], (0.9,) * 9).state == "passed"
    assert Report("s@1", cases, (0.9,) * 3).difference is None
    assert paired([0.1] * 9) is None
