"""Reports in the forms that pipelines read: JUnit XML and Markdown."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from gateway.evals.report import Report


def junit(report: Report) -> str:
    """A suite of test cases; what is incomplete is an error, not a failure."""
    states = [case.state for case in report.cases]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuite name={quoteattr(report.suite)} tests={quoteattr(str(len(states)))} "
        f'failures="{states.count("failed")}" errors="{states.count("incomplete")}">',
    ]
    for case in report.cases:
        lines.append(f"  <testcase name={quoteattr(case.name)} line={quoteattr(str(case.line))}>")
        said = "\n".join(text for run in case.runs for text in (*run.failures, run.error) if text)
        if case.state == "failed":
            lines.append(f"    <failure message={quoteattr(case.why)}>{escape(said)}</failure>")
        elif case.state == "incomplete":
            lines.append(f"    <error message={quoteattr(case.why)}>{escape(said)}</error>")
        lines.append("  </testcase>")
    return "\n".join((*lines, "</testsuite>", ""))


def markdown(report: Report) -> str:
    lines = [
        f"**{report.suite}: {report.state}**",
        "",
        report.summary.replace("|", "\\|"),
        "",
        "| case | state | passed | score | |",
        "|---|---|---|---|---|",
    ]
    for case in report.cases:
        passed = sum(run.passed for run in case.runs)
        why = case.why.replace("|", "\\|").replace("\n", " ")
        name = case.name.replace("|", "\\|")
        lines.append(f"| {name} | {case.state} | {passed} of {len(case.runs)} | {case.score:.2f} | {why} |")
    return "\n".join((*lines, ""))
