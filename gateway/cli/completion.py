"""`completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]

NAME = "prompt-canary"
VARIABLE = "_PROMPT_CANARY_COMPLETE"
Shell = Literal["bash", "zsh", "fish"]


def register(app: typer.Typer) -> None:
    completion_init()  # the shell asks by the variable; see click's documentation
    app.command(epilog='Example: eval "$(prompt-canary completion bash)"')(completion)


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.", show_default=False)]) -> None:
    """Print what makes a shell complete commands and options."""
    typer.echo(get_completion_script(prog_name=NAME, complete_var=VARIABLE, shell=shell))
