"""Results of other runners: read, and what is no data stays none."""

from __future__ import annotations

import json

import msgspec
import pytest

from gateway.errors import InvalidValue
from gateway.evals.report import CaseResult, Report, RunResult
from gateway.evals.results import Posted, PostedCase, read_results, report_of
from gateway.evals.written import junit

REPORT = Report(
    "support@1",
    (
        CaseResult("a return", 3, 1.0, (RunResult(1.0, True),)),
        CaseResult("a <late> parcel", 5, 1.0, (RunResult(0.5, False, ("contains (line 6): no",)),)),
        CaseResult("a loss", 9, 1.0, (RunResult(0.0, False, (), "503"),)),
    ),
    (1.0, 0.5, 0.5),
)


def test_our_own_report_as_json_and_as_junit() -> None:
    suite, cases, live = read_results(msgspec.json.encode(REPORT).decode(), "r.json")
    assert (suite, live) == ("support@1", REPORT.live)
    assert [(each.name, each.passed, each.why, each.error) for each in cases] == [
        ("a return", True, "", ""),
        ("a <late> parcel", False, "contains (line 6): no", ""),
        ("a loss", False, "", "503"),
    ]
    again, same, _ = read_results(junit(REPORT), "r.xml")
    assert again == "support@1"
    assert [msgspec.structs.replace(each, score=None) for each in cases] == list(same)


def test_results_of_promptfoo() -> None:
    results = [
        {"success": True, "score": 1, "testCase": {"description": "a return"}},
        {"success": False, "score": 0.4, "failureReason": 1, "gradingResult": {"reason": "too long"}},
        {"success": False, "score": 0, "failureReason": 2, "error": "API error: 500"},
    ]
    _, cases, _ = read_results(json.dumps({"evalId": "e", "results": {"results": results}}), "r.json")
    assert cases == (
        PostedCase("a return", True, 1.0),
        PostedCase("test 2", False, 0.4, "too long"),
        PostedCase("test 3", False, 0.0, "API error: 500", "API error: 500"),
    )


@pytest.mark.parametrize("text", ["{", "<a", "[]", '{"results": 1}', '{"cases": [{"name": 1}]}'])
def test_what_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"r\.txt: "):
        read_results(text, "r.txt")


GOOD = PostedCase("a", True)


@pytest.mark.parametrize(
    ("posted", "complaint"),
    [
        (Posted("ci", "s", ()), "a run has 1 to 2000 cases"),
        (Posted("", "s", (GOOD,)), "a runner is 1 to 200 printable"),
        (Posted("ci\n", "s", (GOOD,)), "a runner is 1 to 200 printable"),
        (Posted("ci", "s", (GOOD,), (0.1, 0.2)), "`live` has a score for each case"),
        (Posted("ci", "s", (GOOD,), (1.5,)), "a score is a number from 0 to 1"),
        (Posted("ci", "s", (PostedCase("a", True, float("nan")),)), "a score is a number from 0 to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(posted: Posted, complaint: str) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        report_of(posted)


def test_a_posted_run_is_judged_as_ours_is() -> None:
    bad, lost = PostedCase("b", False, 0.2, "wrong"), PostedCase("c", True, None, "", "timeout")
    assert report_of(Posted("ci", "s", (GOOD,))).state == "passed"
    assert report_of(Posted("ci", "s", (GOOD, lost))).state == "incomplete"
    report = report_of(Posted("ci", "s", (GOOD, bad, lost)))
    assert report.state == "failed"
    assert "failed: b (wrong); c (timeout)" in report.summary
    worse = tuple(PostedCase(str(n), True, 0.5 + 0.01 * (n % 2)) for n in range(12))
    assert report_of(Posted("ci", "s", worse, (0.9,) * 12)).state == "failed"
