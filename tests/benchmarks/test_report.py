"""What the decision benchmark writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from benchmarks.decisions.__main__ import Bench, Work, write
from benchmarks.decisions.hours import Reference, row
from benchmarks.decisions.hours import markdown as hours_table
from benchmarks.decisions.observe import Watched
from benchmarks.decisions.plot import overview
from benchmarks.decisions.report import ours, theirs
from gateway.simulation.rollout import Run, simulate
from gateway.simulation.scenario import AA, BY_NAME


def run(seed: int, outcome: str, canary_sessions: int) -> Run:
    rule = "harm:judge" if outcome == "rolled_back" else "gates"
    return Run("A/A", seed, outcome, rule, 3600.0, canary_sessions, 3 * canary_sessions, 40, ("incident",))


def test_a_row_counts_with_its_interval() -> None:
    row = ours(AA, [run(0, "rolled_back", 10), run(1, "promoted", 99), run(2, "promoted", 98)])
    assert row["rolled_back"] == {"hits": 1, "runs": 3, "rate": 0.3333, "low": 0.0615, "high": 0.7923}
    assert row["promoted"]["rate"] == 0.6667
    assert row["canary_sessions"] == (10, 10)
    assert (row["because"], row["held"]) == ({"harm:judge": 1}, {"incident": 3})


def test_files_keep_the_scenarios_that_were_not_run_again(tmp_path: Path) -> None:
    watched = [Watched("A/A", seed, "t-test, peeked", seed == 1, 60.0, 5, 9) for seed in range(4)]
    other = replace(BY_NAME["judge -.10"])
    write([ours(AA, [run(0, "promoted", 1)]), *theirs(AA, watched)], tmp_path)
    write([ours(other, [run(0, "rolled_back", 1)])], tmp_path)
    write([ours(AA, [run(0, "rolled_back", 1)])], tmp_path)
    rows = json.loads((tmp_path / "decisions.json").read_text())
    assert [(row["scenario"], row["rule"], row["rolled_back"]["rate"]) for row in rows] == [
        ("A/A", "this gateway", 1.0),
        ("A/A", "t-test, peeked", 0.25),
        ("judge -.10", "this gateway", 1.0),
    ]
    assert "| judge -.10 | harmful | this gateway | 1 | 100.0%" in (tmp_path / "decisions.md").read_text()
    page = (tmp_path / "decisions.html").read_text()
    assert page.count(">missed regression<") == page.count(">false rollback<") == 1
    assert "t-test, peeked, 4 runs" in page
    assert page.count("25.0%") == 1


def test_the_overview_counts_each_scenario_once_where_every_rule_was_tried() -> None:
    bad, late = BY_NAME["judge -.10"], BY_NAME["A/A late scores"]
    watched = [Watched("A/A", seed, "t-test, peeked", seed == 1, 60.0, 5, 9) for seed in range(4)]
    missed = [Watched(bad.name, 0, "t-test, peeked", False, 60.0, 5, 9)]
    rows = [
        *[ours(AA, [run(0, "promoted", 1)]), *theirs(AA, watched)],
        *[ours(bad, [run(0, "rolled_back", 50)]), *theirs(bad, missed)],
        ours(late, [run(0, "rolled_back", 1)]),
    ]
    mine, other = overview(rows)
    assert mine["scenario"] == other["scenario"] == "mean of 2 scenarios"
    assert (mine["rolled_back"]["rate"], mine["missed"]["rate"]) == (0.0, 0.0)
    assert (other["rolled_back"]["rate"], other["missed"]["rate"]) == (0.25, 1.0)
    assert (mine["canary_sessions"], other["canary_sessions"]) == ([50, 50], None)
    assert overview([ours(late, [run(0, "promoted", 1)])]) == []


def test_a_benchmark_that_was_stopped_goes_on(tmp_path: Path) -> None:
    scenario = replace(AA, hours=0.05)
    work = [Work(scenario, 3, 1)]
    bench = Bench(tmp_path)
    steps = bench.work(bench.tasks(work))
    next(steps)
    next(steps)
    with (tmp_path / "decisions-runs.jsonl").open("a") as file:
        file.write('{"scenario":"A/A","se')
    again = Bench(tmp_path)
    assert [each.seed for each in again.runs.values] == [0]
    assert {each.rule for each in again.others.values} >= {"t-test, peeked"}
    assert len(list(again.work(again.tasks(work), jobs=2))) == 2
    assert [each.seed for each in Bench(tmp_path).runs.values] == [0, 1, 2]
    assert again.runs.values[2] == simulate(scenario, 2)
    assert {row["rule"]: row["runs"] for row in again.write()}["t-test, peeked"] == 1


def test_every_scenario_has_some_runs_before_one_has_all(tmp_path: Path) -> None:
    work = [Work(AA, 32, 0), Work(BY_NAME["judge -.10"], 16, 4)]
    tasks = [(task.scenario.name, task.seed, task.other) for task in Bench(tmp_path).tasks(work)]
    assert tasks[:4] == [
        ("A/A", 0, False),
        ("A/A", 1, False),
        ("judge -.10", 0, False),
        ("judge -.10", 0, True),
    ]
    assert len(set(tasks)) == len(tasks) == 32 + 16 + 4


def test_a_few_runs_do_not_take_the_place_of_many_of_an_earlier_revision(tmp_path: Path) -> None:
    old = {**ours(AA, [run(seed, "promoted", 1) for seed in range(80)])}
    del old["revision"]
    (tmp_path / "decisions.json").write_text(json.dumps([old]))
    few = ours(AA, [run(seed, "promoted", 1) for seed in range(59)])
    assert [row["runs"] for row in write([few], tmp_path)] == [80]
    assert "| A/A | same | this gateway ¹ | 80 |" in (tmp_path / "decisions.md").read_text()
    enough = ours(AA, [run(seed, "promoted", 1) for seed in range(60)])
    assert [row["runs"] for row in write([enough], tmp_path)] == [60]
    assert [row["runs"] for row in write([few], tmp_path)] == [
        59
    ]  # the same revision: what was measured last


def test_hours_count_what_was_never_promoted_as_longest() -> None:
    runs = [run(0, "promoted", 1), run(1, "promoted", 1), run(2, "rolled_back", 1)]
    made = row(Reference("fast", 100, 6.0, float("inf")), runs)
    assert (made["median"], made["eighty"], made["reference_eighty"]) == (1.0, 1.0, None)
    made = row(Reference("fast", 100, 6.0, 8.0), [run(0, "promoted", 1), *[run(1, "undecided", 1)] * 2])
    assert (made["median"], made["eighty"], made["rolled_back"]) == (None, None, 0.0)
    assert hours_table([made]).splitlines()[-1] == "| fast | 100 | 3 | – / – | 6 / 8 | 0.0% |"
