"""Single functions: every case runs, and what is slower than its baseline is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.micro import baseline
from benchmarks.micro.baseline import Compared

ROOT = Path(__file__).resolve().parent.parent.parent
CASES = {"splice", "select", "assign", "scan", "observe", "flags", "fold", "decide", "render"}


def test_every_case_runs_and_has_a_baseline() -> None:
    command = [sys.executable, "-m", "benchmarks.micro", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert {line[0].removeprefix("| ") for line in lines} == CASES
    assert set(baseline.stored("interpreted")) == CASES


def test_ratios_do_not_care_how_fast_the_machine_is() -> None:
    before = {"splice": 0.5, "fold": 10.0}
    slow = baseline.compare({"yardstick": 2e-5, "splice": 1e-5, "fold": 3e-4, "scan": 4e-6}, before)
    fast = baseline.compare({"yardstick": 1e-5, "splice": 5e-6, "fold": 1.5e-4, "scan": 2e-6}, before)
    assert [each.change for each in slow] == [each.change for each in fast]
    assert [(each.name, each.slower) for each in slow] == [("splice", False), ("fold", True), ("scan", False)]
    table = baseline.markdown(slow)
    assert "| fold | 300.00 | 15.000 | 10.000 | × 1.50 **slower** |" in table
    assert "| scan | 4.00 | 0.200 | – | new |" in table


def test_compiled_and_interpreted_have_baselines_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    baseline.store([Compared("splice", 10.0, 0.5, None)], "interpreted", path)
    baseline.store([Compared("splice", 5.0, 0.25, 0.5)], "compiled", path)
    assert baseline.stored("interpreted", path) == {"splice": 0.5}
    assert baseline.stored("compiled", path) == {"splice": 0.25}
    assert baseline.stored("compiled", tmp_path / "none.json") == {}
