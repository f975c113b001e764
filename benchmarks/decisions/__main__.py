"""`python -m benchmarks.decisions [--runs N] [--scenario S]`: prints the table, writes benchmarks/results.

Each scenario's rows are written as soon as they are there, and kept beside those of other scenarios."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from benchmarks.decisions.report import Row, markdown, ours, page, theirs
from benchmarks.decisions.run import observe, simulate
from benchmarks.decisions.scenario import SCENARIOS, Scenario

RESULTS = Path(__file__).resolve().parent.parent / "results"
FAST = 1000.0  # sessions/h above which one run takes seconds: fewer of them, and no other rules beside


def rows_of(scenario: Scenario, runs: int, others: int, progress: Progress) -> list[Row]:
    task = progress.add_task(scenario.name, total=runs + others)
    found = []
    for seed in range(runs):
        found.append(simulate(scenario, seed))
        progress.advance(task)
    watched = []
    for seed in range(others):
        watched.append(observe(scenario, seed))
        progress.advance(task)
    return [ours(scenario, found), *(theirs(scenario, watched) if watched else [])]


def write(rows: Sequence[Row], folder: Path) -> list[Row]:
    """Replace the rows of these scenarios among those that stand, in the order of the scenarios."""
    path = folder / "decisions.json"
    before: list[Row] = json.loads(path.read_text()) if path.exists() else []
    new = {row["scenario"] for row in rows}
    order = {scenario.name: index for index, scenario in enumerate(SCENARIOS)}
    kept = [row for row in before if row["scenario"] not in new and row["scenario"] in order]
    merged = sorted([*kept, *rows], key=lambda row: order[row["scenario"]])
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n")
    (folder / "decisions.md").write_text(markdown(merged) + "\n")
    (folder / "decisions.html").write_text(page(merged))
    return merged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--fast-runs", type=int, default=20, help="of scenarios with thousands of sessions/h")
    parser.add_argument("--others", type=int, default=100, help="runs of the other rules")
    parser.add_argument("--scenario", action="append", help="part of a name; may be given again")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    options = parser.parse_args()
    chosen = [
        scenario
        for scenario in SCENARIOS
        if not options.scenario or any(part in scenario.name for part in options.scenario)
    ]
    if not chosen:
        parser.error(f"no scenario is called so; there is {', '.join(s.name for s in SCENARIOS)}")
    rows: list[Row] = []
    with Progress() as progress:
        for scenario in chosen:
            fast = scenario.per_hour > FAST
            runs = min(options.runs, options.fast_runs) if fast else options.runs
            new = rows_of(scenario, runs, 0 if fast else min(options.others, options.runs), progress)
            write(new, options.results)
            rows += new
    print(markdown(rows))


if __name__ == "__main__":
    main()
