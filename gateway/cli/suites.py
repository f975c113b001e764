"""Commands on suites: look at them, take them over from others, post what other runners found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from gateway.cli import output
from gateway.cli.prompts import PromptArgument, VersionArgument
from gateway.cli.session import (
    JsonOption,
    ReasonOption,
    RevisionOption,
    Session,
    exit_on_error,
    operation,
    print_value,
)
from gateway.control.assessing import Evaluation
from gateway.errors import ConfigError
from gateway.evals.imports.formats import as_yaml, imported, name_of, read_any
from gateway.evals.imports.reading import Source
from gateway.evals.imports.samples import HOW
from gateway.evals.results import Posted, read_results

app = typer.Typer(help="Suites of the offline gate.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(help="A suite's file.", show_default=False)]


@app.command("check", epilog="Example: prompt-canary suite check config/evals/suites/support.yaml")
def check(file: FileArgument, as_json: JsonOption = False) -> None:
    """Read a suite as the gate would. What is not known in it is named with its line."""
    with exit_on_error(as_json):
        suite = read_any(read(file), name_of(file.name), str(file))
        facts = {
            "suite": suite.reference,
            "cases": [
                {"name": case.name, "line": case.line, "checks": [each.shown for each in case.asserts]}
                for case in suite.cases
            ],
        }
        print_value(facts, lambda _: Text(f"{suite.reference} is valid; cases: {len(suite.cases)}"), as_json)


@app.command("import", epilog="Example: prompt-canary suite import samples.jsonl --ideal includes > s.yaml")
def take_over(
    file: Annotated[
        Path,
        typer.Argument(
            help="OpenAI evals (.jsonl), OpenAI graders (.json) or GitHub's .prompt.yml.", show_default=False
        ),
    ],
    items: Annotated[Path | None, typer.Option(help="Items of graders, a JSONL file.")] = None,
    ideal: Annotated[str, typer.Option(help=f"How ideals are compared: {', '.join(HOW)}.")] = "match",
    out: Annotated[Path | None, typer.Option(help="Write the suite here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print a suite of another form in promptfoo's dialect; what has no counterpart is refused."""
    with exit_on_error(as_json):
        given = None if items is None else Source(read(items), str(items))
        value = imported(read(file), str(file), items=given, how=ideal)
        text = as_yaml(value, file.name)
        read_any(text, name_of(file.name), f"{file} as a suite")
        if out is not None:
            out.write_text(text, encoding="utf-8")
        if out is None or as_json:
            facts = {"file": text, "path": None if out is None else str(out)}
            print_value(facts, lambda _: text, as_json)


def shown(found: Evaluation) -> RenderableType:
    rows = [
        (case.name, case.state, f"{sum(run.passed for run in case.runs)} of {len(case.runs)}", case.why)
        for case in found.cases
    ]
    title = f"{found.prompt}/{found.version}: {found.suite} {found.state}, run by {found.runner}"
    said = f"{title} (recorded by {found.by}, {output.when(found.at)})\n{found.summary}"
    return Group(Text(said), output.table(("case", "state", "passed", "why"), rows))


@app.command("show", epilog="Example: prompt-canary suite show support-agent 3")
@operation(shown)
async def show(session: Session, prompt: PromptArgument, version: VersionArgument) -> Evaluation:
    """What a version's last run of its suite came to, case by case, and who ran it."""
    return await session.assessing.evaluation(prompt, version)


@app.command(
    "post",
    epilog="Example: prompt-canary suite post support-agent 3 results.json --runner 'promptfoo, job 812'",
)
@operation(shown, failed=lambda found: found.state != "passed")
async def post(
    session: Session,
    prompt: PromptArgument,
    version: VersionArgument,
    file: Annotated[
        Path,
        typer.Argument(
            help="Results: of `eval --json`, promptfoo's JSON, or JUnit's XML.", show_default=False
        ),
    ],
    runner: Annotated[str, typer.Option(help="What ran it: a name, its version, a job.", show_default=False)],
    suite: Annotated[str, typer.Option(help="The suite, where the file does not name it.")] = "",
    reason: ReasonOption = "",
    if_revision: RevisionOption = None,
) -> Evaluation:
    """Record a suite that ran elsewhere; the version's gate follows. Exit code 1 if it did not pass."""
    named, cases, live = read_results(read(file), str(file))
    posted = Posted(runner, suite or named, cases, live, reason)
    return await session.assessing.post_evaluation(
        prompt, version, posted, session.by(reason), expected=if_revision
    )


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8: {error}") from error
