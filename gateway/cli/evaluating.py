"""`eval`: a suite on prompt files. The work is `gateway.evaluate`, a process of its own: it loads the OpenAI
SDK, which no other command should wait for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption

_EXAMPLE = (
    "Example: prompt-canary eval config/prompts/support-agent.prompty "
    "--suite config/evals/suites/support.yaml --junit report.xml"
)


def register(app: typer.Typer) -> None:
    app.command("eval", epilog=_EXAMPLE)(evaluate)


def evaluate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The candidate, a .prompty file.")],
    suite: Annotated[Path, typer.Option(help="Suite in promptfoo's YAML dialect (docs/evals.md).")],
    against: Annotated[Path | None, typer.Option(help="The live version's file, to compare with.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit report here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a Markdown report here.")] = None,
    cases: Annotated[
        bool, typer.Option("--cases", help="With the accepted regression cases of the store.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Run a suite on a prompt file, without a store. Exit code 1 if it fails, 3 if there was no data."""
    paths = {"suite": suite, "against": against, "junit": junit, "markdown": markdown, "config": config}
    command = [sys.executable, "-m", "gateway.evaluate"]
    command += [f"--{name}={path}" for name, path in paths.items() if path is not None]
    command += ["--cases"] if cases else []
    command += (["--json"] if as_json else []) + ["--", str(file)]
    raise typer.Exit(subprocess.run(command, check=False).returncode)
