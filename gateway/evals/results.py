"""What runners other than ours write: which case passed, and why not.

    report      `prompt-canary eval --json`
    promptfoo   `promptfoo eval --output results.json`
    JUnit       XML, as most test runners write it

An error, a case that was skipped, and one without a result are no data: neither passed nor failed.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.errors import InvalidValue
from gateway.evals.report import CaseResult, Report, RunResult
from gateway.evals.suite import MOST_CASES

MOST_WHY, MOST_NAME = 500, 200  # characters
ERRED = 2  # promptfoo's failureReason for what could not be run


class PostedCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`score` in [0, 1], by default 1 or 0; `why` it failed; `error`: why there is no data."""

    name: str
    passed: bool
    score: float | None = None
    why: str = ""
    error: str = ""


class Posted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A suite that ran elsewhere. `runner` says what ran it: a name, its version, a job. `live`: scores of
    the live version in the same cases, where they were run."""

    runner: str
    suite: str
    cases: tuple[PostedCase, ...]
    live: tuple[float, ...] = ()
    reason: str = ""


def report_of(posted: Posted) -> Report:
    """Raises `InvalidValue` for what is no result."""
    if not 1 <= len(posted.cases) <= MOST_CASES:
        raise InvalidValue(f"a run has 1 to {MOST_CASES} cases, not {len(posted.cases)}", param="cases")
    if not 1 <= len(posted.runner) <= MOST_NAME or not posted.runner.isprintable():
        raise InvalidValue(f"a runner is 1 to {MOST_NAME} printable characters", param="runner")
    if posted.live and len(posted.live) != len(posted.cases):
        raise InvalidValue("`live` has a score for each case, or none", param="live")
    scores = [each.score for each in posted.cases if each.score is not None]
    if not all(0.0 <= score <= 1.0 for score in (*scores, *posted.live)):
        raise InvalidValue("a score is a number from 0 to 1", param="cases")
    return Report(posted.suite, tuple(map(_result, posted.cases)), posted.live)


def _result(case: PostedCase) -> CaseResult:
    score = float(case.passed) if case.score is None else case.score
    failures = () if case.passed else (case.why[:MOST_WHY] or "it failed",)
    run = RunResult(score, case.passed and not case.error, failures, case.error[:MOST_WHY])
    return CaseResult(case.name[:MOST_NAME], 0, 1.0, (run,))


def read_results(text: str, source: str) -> tuple[str, tuple[PostedCase, ...], tuple[float, ...]]:
    """Suite ("" where the file does not name it), cases, and the live version's scores. Raises
    `InvalidValue`."""
    if text.lstrip().startswith("<"):
        return _junit(text, source)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise InvalidValue(f"{source}: neither JSON nor JUnit's XML: {error}") from error
    if isinstance(value, dict) and "cases" in value:
        return _own(value, source)
    found = value.get("results") if isinstance(value, dict) else None
    listed = found.get("results") if isinstance(found, dict) else found
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise InvalidValue(
            f"{source}: no results that are known here: those of `prompt-canary eval --json`, of "
            "`promptfoo eval --output results.json`, or JUnit's XML"
        )
    return "", tuple(_promptfoo(each, index) for index, each in enumerate(listed, 1)), ()


def _own(value: dict[str, Any], source: str) -> tuple[str, tuple[PostedCase, ...], tuple[float, ...]]:
    try:
        report = msgspec.convert(value, Report)
    except msgspec.ValidationError as error:
        raise InvalidValue(f"{source}: no report of `prompt-canary eval --json`: {error}") from error
    cases = [
        PostedCase(
            case.name,
            case.state == "passed",
            case.score,
            case.why if case.state == "failed" else "",
            case.why if case.state == "incomplete" else "",
        )
        for case in report.cases
    ]
    return report.suite, tuple(cases), report.live


def _promptfoo(result: Mapping[str, Any], index: int) -> PostedCase:
    test, graded = result.get("testCase"), result.get("gradingResult")
    described = result.get("description") or (test.get("description") if isinstance(test, dict) else "")
    reason = graded.get("reason") if isinstance(graded, dict) else ""
    passed, score = result.get("success"), result.get("score")
    error = str(result.get("error") or "it could not be run")
    erred = result.get("failureReason") == ERRED or not isinstance(passed, bool)
    return PostedCase(
        name=str(described or f"test {index}"),
        passed=passed is True,
        score=min(max(float(score), 0.0), 1.0) if isinstance(score, int | float) else None,
        why="" if passed else str(reason or result.get("error") or ""),
        error=error if erred else "",
    )


def _junit(text: str, source: str) -> tuple[str, tuple[PostedCase, ...], tuple[float, ...]]:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InvalidValue(f"{source}: not XML: {error}") from error
    suite = root if root.tag == "testsuite" else root.find("testsuite")
    cases = []
    for case in root.iter("testcase"):
        failure, erred = case.find("failure"), case.find("error")
        erred = case.find("skipped") if erred is None else erred
        cases.append(
            PostedCase(
                name=case.get("name") or "a case",
                passed=failure is None and erred is None,
                why="" if failure is None else _said(failure),
                error="" if erred is None else _said(erred),
            )
        )
    return "" if suite is None else suite.get("name") or "", tuple(cases), ()


def _said(element: ElementTree.Element) -> str:
    return (element.get("message") or (element.text or "").strip() or element.tag)[:MOST_WHY]
