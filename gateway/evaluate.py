"""`prompt-canary eval`, in a process of its own because it loads the OpenAI SDK: a suite on prompt files.

It needs no store: pipelines run it before anything is pushed. Exit codes are those of the command line: 0
passed, 1 failed, 2 usage, configuration or suite, 3 no data.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gateway.control.cases import CaseBook
from gateway.domain.prompt import Version, digest
from gateway.errors import GatewayError, InvalidValue
from gateway.evals.imports.formats import name_of, read_any
from gateway.evals.regression import joined
from gateway.evals.report import Report
from gateway.evals.suite import Suite
from gateway.evals.written import junit, markdown
from gateway.judge import build_trier
from gateway.promptfiles import prompty
from gateway.settings import Settings
from gateway.storage.create import store_of
from gateway.supervisor import read_settings

CODES = {"passed": 0, "failed": 1, "incomplete": 3}
USAGE = 2


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    try:
        suite = read_any(_text(options.suite), name_of(options.suite.name), str(options.suite))
        version = read_version(options.file, 1)
        suite = asyncio.run(with_cases(options, suite, version.prompt))
        against = None if options.against is None else read_version(options.against, 2)
        report = asyncio.run(
            evaluate(read_settings(options.config), suite, version, against, options.as_json)
        )
    except GatewayError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return USAGE
    if options.junit is not None:
        options.junit.write_text(junit(report), encoding="utf-8")
    if options.markdown is not None:
        options.markdown.write_text(markdown(report), encoding="utf-8")
    if options.as_json:
        print(json.dumps({"state": report.state, "summary": report.summary, **msgspec.to_builtins(report)}))
    else:
        Console().print(table(report))
        print(report.summary)
    return CODES[report.state]


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="prompt-canary eval")
    parser.add_argument("file", type=Path)
    parser.add_argument("--suite", type=Path, required=True)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--junit", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--cases", action="store_true")
    parser.add_argument("--json", action="store_true", dest="as_json")
    return parser.parse_args(arguments)


async def with_cases(options: argparse.Namespace, suite: Suite, prompt: str) -> Suite:
    """With --cases, the regression cases that people have accepted, from the configuration's store."""
    if not options.cases:
        return suite
    store = store_of(read_settings(options.config), patient=True)
    await store.open()
    try:
        return joined(suite, await CaseBook(store).tests(prompt), f"cases of {prompt}")
    finally:
        await store.close()


async def evaluate(
    settings: Settings, suite: Suite, version: Version, against: Version | None, quiet: bool
) -> Report:
    """Raises `InvalidValue` for a suite that cannot be asked of these versions."""
    trier = build_trier(settings)
    runs = sum(case.repeat for case in suite.cases) * (1 if against is None else 2)
    try:
        with Progress(
            console=Console(stderr=True), disable=quiet or not sys.stderr.isatty(), transient=True
        ) as progress:
            bar = progress.add_task(suite.reference, total=runs)
            return await trier.run(suite, version, against, lambda: progress.advance(bar))
    finally:
        await trier.close()


def read_version(path: Path, number: int) -> Version:
    """Raises `InvalidValue` or `PromptFileError`."""
    file = prompty.parse(_text(path), source=str(path))
    return Version(file.name, number, digest(file.content), file.content, 0.0, "file")


def table(report: Report) -> Table:
    shown = Table("case", "state", "passed", "score", "why", title=report.suite, title_justify="left")
    for case in report.cases:
        passed = f"{sum(run.passed for run in case.runs)} of {len(case.runs)}"
        shown.add_row(case.name, case.state, passed, f"{case.score:.2f}", case.why)
    return shown


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{path} cannot be read: {error}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
