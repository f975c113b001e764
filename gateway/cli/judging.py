"""`judge`: what concerns the judge. Calibrating is `gateway.calibrate`, a process of its own: it loads the
OpenAI SDK, which no other command should wait for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import judge_output
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ActorOption,
    ConfigOption,
    JsonOption,
    Session,
    operation,
)
from gateway.control.quality import Quality

app = typer.Typer(help="The judge that scores answers (docs/judge.md).", no_args_is_help=True)

_EXAMPLE = "Example: prompt-canary judge calibrate labels.jsonl --rubric helpful --config config/gateway.yaml"


@app.command(epilog=_EXAMPLE)
def calibrate(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Labelled answers, one JSON object a line: question, answer, label."
        ),
    ],
    rubric: Annotated[str | None, typer.Option(help="Default: the configuration's.")] = None,
    threshold: Annotated[float, typer.Option(help="Score, and label, from which an answer is good.")] = 0.5,
    config: ConfigOption = DEFAULT_CONFIG,
    actor: ActorOption = "unknown",
    as_json: JsonOption = False,
) -> None:
    """Compare the judge with people's labels and keep what it comes to. Exit code 1 if that is not enough to
    promote on its scores alone, 3 if there was no data."""
    options = {"rubric": rubric, "threshold": threshold, "config": config, "actor": actor}
    command = [sys.executable, "-m", "gateway.calibrate"]
    command += [f"--{name}={value}" for name, value in options.items() if value is not None]
    command += (["--json"] if as_json else []) + ["--", str(file)]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@app.command(epilog="Example: prompt-canary judge status 0f3a9c1b2d4e")
@operation(judge_output.quality)
async def status(
    session: Session,
    rollout: Annotated[
        str, typer.Argument(help="Id of the rollout (see `rollout status`).", show_default=False)
    ],
) -> Quality:
    """Who judges a rollout, whether it agrees with people, what it costs, what has no score, and feedback."""
    return await session.operations.quality(rollout)
