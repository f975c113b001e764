"""`python -m benchmarks.decisions [--runs N] [--scenario S] [--jobs N]`: prints the table, writes
benchmarks/results and the tables in README.md and docs/decisions.md.

Every run is kept as it ends (`decisions-*.jsonl`), so a benchmark that was stopped goes on where it was;
delete these files after a change of the code that may change a verdict, and raise `report.REVISION`. The
tables and the plot are written once a minute, and at the end. Rows of scenarios without runs stay as they
are, and those of an earlier revision until there are as many runs of this one, or 60 and a quarter.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from math import ceil
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

from benchmarks.decisions.documents import document
from benchmarks.decisions.lines import Lines
from benchmarks.decisions.observe import Watched, observe
from benchmarks.decisions.plot import page
from benchmarks.decisions.report import Row, markdown, ours, theirs
from gateway.simulation.rollout import Run, simulate
from gateway.simulation.scenario import AA, SCENARIOS, Scenario

RESULTS = Path(__file__).resolve().parent.parent / "results"
WRITE_EVERY = 60.0  # s
FAST = 10_000.0  # sessions/h from which on one run takes many seconds: fewer of them
ROUNDS = (1 / 16, 1 / 4, 1.0)  # parts of the runs after which every scenario has had its turn
ENOUGH = 60  # runs that may replace those of an earlier revision
WATCHED = 1000.0  # sessions/h up to which the other rules are looked at too


class Work(NamedTuple):
    """`runs` of this gateway, `others` of the other rules."""

    scenario: Scenario
    runs: int
    others: int


class Task(NamedTuple):
    """One run: of this gateway, or of the other rules."""

    scenario: Scenario
    seed: int
    other: bool


def run(task: Task) -> list[Run] | list[Watched]:
    return observe(task.scenario, task.seed) if task.other else [simulate(task.scenario, task.seed)]


class Bench:
    """Runs of earlier times and of this one. `keep`: where each is written down as it ends."""

    def __init__(self, folder: Path, keep: Path | None = None) -> None:
        self.folder = folder
        kept = keep or folder
        self.runs = Lines(kept / "decisions-runs.jsonl", Run)
        self.others = Lines(kept / "decisions-others.jsonl", Watched)
        self._written = time.monotonic()

    def tasks(self, work: Sequence[Work]) -> list[Task]:
        """What is missing: a few runs of everything first."""
        done = {(each.scenario, each.seed, False) for each in self.runs.values}
        done |= {(each.scenario, each.seed, True) for each in self.others.values}
        found: dict[Task, None] = {}
        for part in ROUNDS:
            for each in work:
                for runs, other in ((each.runs, False), (each.others, True)):
                    for seed in range(ceil(part * runs)):
                        if (each.scenario.name, seed, other) not in done:
                            found[Task(each.scenario, seed, other)] = None
        return list(found)

    def work(self, tasks: Sequence[Task], jobs: int = 1) -> Iterator[Task]:
        """Each task once it has been done and written down."""
        if jobs == 1:
            yield from self._kept(tasks, map(run, tasks))
            return
        with ProcessPoolExecutor(jobs) as pool:
            yield from self._kept(tasks, pool.map(run, tasks))

    def _kept(self, tasks: Sequence[Task], found: Iterator[list[Run] | list[Watched]]) -> Iterator[Task]:
        for task, runs in zip(tasks, found, strict=True):
            for each in runs:
                if isinstance(each, Run):
                    self.runs.add(each)
                else:
                    self.others.add(each)
            if time.monotonic() - self._written > WRITE_EVERY:
                self.write()
            yield task

    def write(self) -> list[Row]:
        self._written = time.monotonic()
        return write(self.rows(), self.folder)

    def rows(self) -> list[Row]:
        rows: list[Row] = []
        for scenario in SCENARIOS:
            runs = [run for run in self.runs.values if run.scenario == scenario.name]
            watched = [each for each in self.others.values if each.scenario == scenario.name]
            rows += [ours(scenario, runs)] if runs else []
            rows += theirs(scenario, watched)
        return rows


def write(rows: Sequence[Row], folder: Path) -> list[Row]:
    """Replace these rows among those that stand, by scenario and rule, in the order of the scenarios."""
    path = folder / "decisions.json"
    before: list[Row] = json.loads(path.read_text()) if path.exists() else []
    stands = {(row["scenario"], row["rule"]): row for row in before}
    rows = [row for row in rows if not _few(row, stands.get((row["scenario"], row["rule"])))]
    new = {(row["scenario"], row["rule"]) for row in rows}
    order = {scenario.name: index for index, scenario in enumerate(SCENARIOS)}
    kept = [row for row in before if (row["scenario"], row["rule"]) not in new and row["scenario"] in order]
    merged = sorted([*rows, *kept], key=lambda row: (order[row["scenario"]], row["rule"] != "this gateway"))
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n")
    (folder / "decisions.md").write_text(markdown(merged) + "\n")
    (folder / "decisions.html").write_text(page(merged))
    return merged


def _few(row: Row, before: Row | None) -> bool:
    """Too few runs to take the place of an earlier revision's."""
    if before is None or before.get("revision") == row["revision"]:
        return False
    return bool(row["runs"] < min(before["runs"], max(ENOUGH, before["runs"] / 4)))


def planned(options: argparse.Namespace) -> list[Work]:
    work = []
    for scenario in SCENARIOS:
        if options.scenario and not any(part in scenario.name for part in options.scenario):
            continue
        runs = options.aa_runs if scenario is AA and options.aa_runs else options.runs
        if scenario.per_hour >= FAST:
            runs = min(runs, options.fast_runs)
        watched = scenario.per_hour <= WATCHED
        work.append(Work(scenario, runs, min(options.others, options.runs) if watched else 0))
    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--aa-runs", type=int, default=0, help="of the A/A, instead of --runs")
    parser.add_argument("--fast-runs", type=int, default=20, help="of those with 10,000 sessions/h")
    parser.add_argument("--others", type=int, default=50, help="runs of the other rules")
    parser.add_argument("--scenario", action="append", help="part of a name; may be given again")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    parser.add_argument("--keep", type=Path, help="folder of the runs, if not that")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    work = planned(options)
    if not work:
        parser.error(f"no scenario is called so; there is {', '.join(s.name for s in SCENARIOS)}")
    bench = Bench(options.results, options.keep)
    tasks = bench.tasks(work)
    with Progress() as progress:
        bar = progress.add_task("runs", total=len(tasks))
        for task in bench.work(tasks, options.jobs):
            progress.update(bar, advance=1, description=task.scenario.name)
    rows = bench.write()
    if options.results == RESULTS:
        document(rows)
    print(markdown(rows))


if __name__ == "__main__":
    main()
