"""The shells themselves complete commands, with what `completion` prints. One that is missing is skipped."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASH = """\
eval "$(prompt-canary completion bash)"
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_prompt_canary_completion prompt-canary
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# zsh completes only where it edits lines, so it is asked on a terminal of its own (zsh/zpty).
ZSH = """\
zmodload zsh/zpty
zpty shell 'PS1="> " zsh -f -i'
zpty -w shell 'autoload -Uz compinit; compinit -u -d {folder}/dump; LISTMAX=1000'
zpty -w shell 'eval "$(prompt-canary completion zsh)"; print READY; stty -echo'
while zpty -r shell line; do [[ $line == READY* ]] && break; done
zpty -w -n shell $'{words}\\t\\t'
while zpty -r shell line; do print -r -- "$line"; [[ $line == *{last}* ]] && break; done
zpty -d shell
"""
FISH = """\
prompt-canary completion fish | source
complete --do-complete '{words}'
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With a `prompt-canary` on the path that is this source tree's."""
    program = tmp_path / "bin" / "prompt-canary"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "TERM": "dumb", "LANG": "C.UTF-8"}


def said(shell: str, script: str, environment: dict[str, str]) -> str:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    quiet = ["--no-rcs"] if shell == "zsh" else ["--no-config"] if shell == "fish" else ["--norc"]
    done = subprocess.run(
        [program, *quiet, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("prompt-canary rollout p", {"pause", "promote"}),
        ("prompt-canary dip", set()),
        ("prompt-canary do", {"doctor"}),
        ("prompt-canary pull --ou", {"--output"}),
    ],
)
def test_a_shell_completes_commands_and_options(
    shell: str, words: str, completed: set[str], environment: dict[str, str]
) -> None:
    script = {"bash": BASH, "fish": FISH}[shell].format(words=words)
    lines = said(shell, script, environment).splitlines()
    assert {line.split("\t")[0] for line in lines if line} == completed


def test_zsh_completes_commands(environment: dict[str, str], tmp_path: Path) -> None:
    script = ZSH.format(folder=tmp_path, words="prompt-canary rollout p", last="promote")
    text = said("zsh", script, environment)
    assert "pause" in text
    assert "promote" in text
