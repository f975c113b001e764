"""What the decision benchmark writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from benchmarks.decisions.__main__ import write
from benchmarks.decisions.report import ours, theirs
from benchmarks.decisions.rules import RULES
from benchmarks.decisions.run import Run
from benchmarks.decisions.scenario import AA, BY_NAME


def run(seed: int, outcome: str, canary_sessions: int) -> Run:
    rule = "harm:judge" if outcome == "rolled_back" else "gates"
    return Run("A/A", seed, outcome, rule, 3600.0, canary_sessions, 3 * canary_sessions, 40, ("incident",))


def test_a_row_counts_with_its_interval() -> None:
    row = ours(AA, [run(0, "rolled_back", 10), run(1, "promoted", 99), run(2, "promoted", 98)])
    assert row["rolled_back"] == {"rate": 0.3333, "low": 0.0615, "high": 0.7923}
    assert row["promoted"]["rate"] == 0.6667
    assert row["canary_sessions"] == [10, 10]
    assert (row["because"], row["held"]) == ({"harm:judge": 1}, {"incident": 3})


def test_files_keep_the_scenarios_that_were_not_run_again(tmp_path: Path) -> None:
    tripped = [rule() for rule in RULES]
    tripped[0].at, tripped[0].canary_sessions = 60.0, 5
    other = replace(BY_NAME["judge -.10"])
    write([ours(AA, [run(0, "promoted", 1)]), *theirs(AA, [tripped])], tmp_path)
    write([ours(other, [run(0, "rolled_back", 1)])], tmp_path)
    write([ours(AA, [run(0, "rolled_back", 1)])], tmp_path)
    rows = json.loads((tmp_path / "decisions.json").read_text())
    assert [(row["scenario"], row["rolled_back"]["rate"]) for row in rows] == [
        ("A/A", 1.0),
        ("judge -.10", 1.0),
    ]
    assert "| judge -.10 | harmful | this gateway | 1 | 100.0%" in (tmp_path / "decisions.md").read_text()
    assert (tmp_path / "decisions.html").read_text().count("<rect") == 2
