"""Every command through the real process, as people see it: the files in `golden` are sessions of a terminal.

A line that begins with `$` is a command; what follows is what it prints, and `[exit N]` where N is not 0.
What differs each time has a name in brackets, and columns are two spaces apart. With `GOLDEN=write` in the
environment the files are written again.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from gateway.cli import app
from tests.cli.test_documentation import commands

FOLDER = Path(__file__).parent / "golden"
CHAPTERS = sorted(FOLDER.glob("*.txt"))
ELSEWHERE = {"demo", "config reference"}  # tests/e2e/test_demo.py; tests/test_docs.py
CONFIG = """\
listen: {port: 0}
admin: {port: 0}
upstream: {base_url: "http://127.0.0.1:9/v1"}
store: {kind: sqlite, directory: store}
alerts: {targets: [{name: chat, kind: slack, url: "http://127.0.0.1:9/hook"}]}
signing_keys: ["0123456789abcdef0123456789abcdef"]
bindings: {aliases: {helper: support-agent}}
"""
PROMPT = "---\nname: support-agent\nmetadata:\n  change: {change}\n{suite}---\nsystem:\nEdition {edition}.\n"
SUITE = "  canary: {suite: evals/s.yaml}\n"
FILES = {
    "suite.yaml": "tests:\n  - {vars: {input: Hi}, assert: [{type: not-is-refusal}]}\n",
    "broken.yaml": "tests:\n  - {vars: {input: Hi}, assert: [{type: magic}]}\n",
    "samples.jsonl": '{"input": "Capital of France?", "ideal": ["Paris", "paris"]}\n',
    "results.xml": '<testsuite name="s"><testcase name="a return"/><testcase name="a parcel">'
    '<failure message="too long"/></testcase></testsuite>',
}
# What is learned by name at its first appearance, and what is merely covered.
LEARNED = {
    "rollout": r"rollout ([0-9a-f]{12})\b",
    "key": r"pck_([\w-]{12})_",
    "delivery": r"delivery (\d+-\w+)",
}
COVERED = {
    "<time>": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ",
    "<hash>": r"\b[0-9a-f]{64}\b",
    "pck_<key 1>_<secret>": r"pck_<key 1>_[\w-]{43}",
    "pct_\\1.<secret>": r"pct_([\w.-]+)\.[\w-]{43}",
    "<milliseconds> ms": r"\b\d+ ms",
    "bucket is <bucket>": r"bucket is 0\.\d{4}",
    "<bar>": r"[█░]{10,}",
    "\\1": r"\b[\d.]+ → ([\d.]+)",  # a weight that was announced a second ago may be in force
    "  ": r"(?<=\S) {2,}",
}


class Terminal:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, str] = {}  # what it is here → its name
        (folder / "gateway.yaml").write_text(CONFIG)
        (folder / "one.prompty").write_text(PROMPT.format(change="first", suite="", edition=1))
        (folder / "two.prompty").write_text(PROMPT.format(change="shorter", suite=SUITE, edition=2))
        kept = ("PATH", "HOME", "LANG", "PYTHONPATH")
        for name, text in FILES.items():
            (folder / name).write_text(text)
        self.environment = {name: os.environ[name] for name in kept if name in os.environ}
        self.environment |= {"USER": "ann", "PROMPT_CANARY_CONFIG": "gateway.yaml", "COLUMNS": "100"}

    def run(self, line: str) -> str:
        for value, name in self.names.items():
            line = line.replace(name, value)
        program, *arguments = shlex.split(line)
        assert program == "prompt-canary"
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=self.folder,
            env=self.environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )
        said = [text.rstrip() for text in (done.stdout + done.stderr).splitlines()]
        if done.returncode:
            said.append(f"[exit {done.returncode}]")
        return self.covered("\n".join(said))

    def covered(self, text: str) -> str:
        for kind, pattern in LEARNED.items():
            for value in re.findall(pattern, text):
                count = sum(name.startswith(f"<{kind} ") for name in self.names.values())
                self.names.setdefault(value, f"<{kind} {count + 1}>")
        for value, name in self.names.items():
            text = text.replace(value, name)
        for name, pattern in COVERED.items():
            text = re.sub(pattern, name, text)
        return text


@pytest.mark.timeout(300)
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_as_people_see_it(chapter: Path, tmp_path: Path) -> None:
    terminal, text = Terminal(tmp_path), chapter.read_text()
    lines = [line for line in text.splitlines() if line.startswith("$ ")]
    transcript = "".join(f"{line}\n{terminal.run(line[2:])}\n" for line in lines)
    if os.environ.get("GOLDEN") == "write":
        chapter.write_text(transcript)
    assert transcript == text


def test_every_command_is_in_it() -> None:
    text = "".join(chapter.read_text() for chapter in CHAPTERS)
    missing = [
        command
        for command in commands(get_command(app))
        if command not in ELSEWHERE and f"\n$ prompt-canary {command}" not in f"\n{text}"
    ]
    assert not missing
