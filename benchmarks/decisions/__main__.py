"""`python -m benchmarks.decisions [--runs N] [--scenario S]`: prints the table, writes benchmarks/results.

Every run is kept as it ends (`decisions-*.jsonl`), so a benchmark that was stopped goes on where it was;
delete these files after a change of the code. The tables and the plot are written once a minute, and at the
end; the rows of scenarios without runs stay as they are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

from benchmarks.decisions.lines import Lines
from benchmarks.decisions.observe import Watched, observe
from benchmarks.decisions.plot import page
from benchmarks.decisions.report import Row, markdown, ours, theirs
from gateway.simulation.rollout import Run, simulate
from gateway.simulation.scenario import AA, SCENARIOS, Scenario

RESULTS = Path(__file__).resolve().parent.parent / "results"
WRITE_EVERY = 60.0  # s
FAST = 10_000.0  # sessions/h from which on one run takes many seconds: fewer of them
WATCHED = 1000.0  # sessions/h up to which the other rules are looked at too


class Work(NamedTuple):
    """`runs` of this gateway, `others` of the other rules."""

    scenario: Scenario
    runs: int
    others: int


class Bench:
    """Runs of earlier times and of this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = Lines(folder / "decisions-runs.jsonl", Run)
        self.others = Lines(folder / "decisions-others.jsonl", Watched)
        self._written = time.monotonic()

    def work(self, work: Work) -> Iterator[None]:
        """What is missing of it, a step for each run."""
        name = work.scenario.name
        done = {run.seed for run in self.runs.values if run.scenario == name}
        for seed in range(work.runs):
            if seed not in done:
                self.runs.add(simulate(work.scenario, seed))
            self._tick()
            yield
        seen = {watched.seed for watched in self.others.values if watched.scenario == name}
        for seed in range(work.others):
            if seed not in seen:
                self.others.add(*observe(work.scenario, seed))
            self._tick()
            yield

    def _tick(self) -> None:
        if time.monotonic() - self._written > WRITE_EVERY:
            self.write()

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
    new = {(row["scenario"], row["rule"]) for row in rows}
    order = {scenario.name: index for index, scenario in enumerate(SCENARIOS)}
    kept = [row for row in before if (row["scenario"], row["rule"]) not in new and row["scenario"] in order]
    merged = sorted([*rows, *kept], key=lambda row: (order[row["scenario"]], row["rule"] != "this gateway"))
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n")
    (folder / "decisions.md").write_text(markdown(merged) + "\n")
    (folder / "decisions.html").write_text(page(merged))
    return merged


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
    options = parser.parse_args()
    work = planned(options)
    if not work:
        parser.error(f"no scenario is called so; there is {', '.join(s.name for s in SCENARIOS)}")
    bench = Bench(options.results)
    with Progress() as progress:
        for each in work:
            task = progress.add_task(each.scenario.name, total=each.runs + each.others)
            for _ in bench.work(each):
                progress.advance(task)
    print(markdown(bench.write()))


if __name__ == "__main__":
    main()
