"""`prompt-canary demo` to its end: what it claims is what happens."""

import subprocess
import sys

import pytest


@pytest.mark.timeout(300)
def test_the_demo_tells_the_truth() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "demo"], capture_output=True, text=True, check=False, timeout=280
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    said = [line.partition(" s  ")[2] for line in done.stdout.splitlines()]
    assert [line for line in said if line.startswith("✓")] == [
        "✓ the good version went to everyone by itself",
        "✓ the broken version was rolled back by itself",
        "✓ nobody got it any more a second later",
        *(line for line in said if "reached again" in line),
        *(line for line in said if "whole chain" in line),
    ]
    assert "PROMOTED by controller" in said
    assert said[-1] == "done"
