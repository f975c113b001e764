"""`demo`: a whole gateway on this machine, told step by step. The story itself is `gateway.cli.story`, in a
process of its own, because it imports the OpenAI SDK, which no other command should wait for."""

from __future__ import annotations

import subprocess
import sys

import typer

from gateway.cli.session import JsonOption

_EXAMPLE = "Example: prompt-canary demo"


def register(app: typer.Typer) -> None:
    app.command(epilog=_EXAMPLE)(demo)


def demo(as_json: JsonOption = False) -> None:
    """Two minutes without a network: one version that is promoted by itself, and one that is rolled back.
    With --json each step is an object on a line of its own."""
    command = [sys.executable, "-m", "gateway.cli.story", *(["--json"] if as_json else [])]
    raise typer.Exit(subprocess.run(command, check=False).returncode)
