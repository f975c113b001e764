"""`prompt-canary demo` to its end: what it claims is what happens, and the README shows what it prints."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
LINE = re.compile(r" *[\d.]+ s  (.*)")


def run(*options: str) -> str:
    command = [sys.executable, "-m", "gateway", "demo", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def steps(text: str) -> list[str]:
    """What is said, without the times."""
    return [found[1] for line in text.splitlines() if (found := LINE.fullmatch(line))]


def words(said: list[str]) -> list[str]:
    """Without numbers, and without holds: on a busy machine a rollout may wait for its evidence."""
    kept: list[str] = []
    for line in said:
        plain = re.sub(r"\d+([.,]\d+)*", "N", line)
        if not line.startswith("it holds") and plain not in kept[-1:]:
            kept.append(plain)
    return kept


@pytest.mark.timeout(300)
def test_the_demo_tells_the_truth_and_the_readme_shows_it() -> None:
    said = steps(run())
    assert [line for line in said if line.startswith("✓")] == [
        "✓ the good version went to everyone by itself",
        "✓ the broken version was rolled back by itself",
        "✓ nobody got it any more a second later",
        *(line for line in said if "reached again" in line),
        *(line for line in said if "whole chain" in line),
    ]
    assert "PROMOTED by controller" in said
    assert said[-1] == "done"
    shown = README[README.index("## See it") : README.index("## Change a prompt")]
    assert words(steps(shown)) == words(said)


@pytest.mark.timeout(300)
def test_as_json_each_step_is_an_object() -> None:
    told = [json.loads(line) for line in run("--json").splitlines()]
    assert [set(step) for step in told] == [{"seconds", "says"}] * len(told)
    assert told[-1]["says"] == "done"
    assert [step["seconds"] for step in told] == sorted(step["seconds"] for step in told)
