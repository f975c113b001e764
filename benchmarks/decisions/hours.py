"""`python -m benchmarks.decisions.hours [--runs N] [--jobs N]`: hours until an equal candidate is promoted,
by policy and traffic, the judge on every session; writes benchmarks/results/hours.json and .md. Every run is
kept as it ends, so it goes on where it was stopped.

A run lasts three times as long as the reference's 80 % at most; what is not promoted then counts as longer.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import Progress

from benchmarks.decisions.lines import Lines
from gateway.simulation.rollout import Run, simulate
from gateway.simulation.scenario import AA, Scenario
from gateway.simulation.summary import share

TITLE = "Hours until an equal candidate is promoted, median / 80 % of runs; the judge sees every session."
RESULTS = Path(__file__).resolve().parent.parent / "results"


class Reference(NamedTuple):
    """Median and 80 % that the named policies were made for; infinite: longer than the maximum bake."""

    policy: str
    per_hour: float
    median: float
    eighty: float


REFERENCES = (
    Reference("fast", 100, 6.0, inf),
    Reference("fast", 300, 2.1, 2.9),
    Reference("fast", 1000, 1.0, 1.3),
    Reference("fast", 10_000, 0.5, 0.5),
    Reference("standard", 100, 13.8, 18.7),
    Reference("standard", 300, 4.8, 6.6),
    Reference("standard", 1000, 2.0, 2.6),
    Reference("standard", 10_000, 0.8, 0.8),
    Reference("careful", 100, 37.0, 53.0),
    Reference("careful", 300, 13.5, 18.5),
    Reference("careful", 1000, 5.4, 6.9),
    Reference("careful", 10_000, 2.7, 2.8),
)


def row(reference: Reference, runs: Sequence[Run]) -> dict[str, Any]:
    """A run that was rolled back is no promotion at any hour."""
    promoted = sorted([run.seconds / 3600.0 for run in runs if run.outcome == "promoted"])
    hours = promoted + [inf] * (len(runs) - len(promoted))
    median, eighty = [hours[int(part * (len(hours) - 1))] for part in (0.5, 0.8)]
    return {
        "policy": reference.policy,
        "sessions_per_hour": reference.per_hour,
        "runs": len(runs),
        "median": _number(median),
        "eighty": _number(eighty),
        "reference_median": _number(reference.median),
        "reference_eighty": _number(reference.eighty),
        "rolled_back": share(sum(run.outcome == "rolled_back" for run in runs), len(runs)).rate,
    }


def _number(hours: float) -> float | None:
    return None if hours == inf else round(hours, 2)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| policy | sessions/h | runs | hours | reference | rolled back |",
        "|---|---|---|---|---|---|",
    ]
    for each in rows:
        hours, reference = [
            " / ".join(["–" if each[key] is None else f"{each[key]:g}" for key in keys])
            for keys in (("median", "eighty"), ("reference_median", "reference_eighty"))
        ]
        lines.append(
            f"| {each['policy']} | {each['sessions_per_hour']:,.0f} | {each['runs']} | {hours} | {reference} "
            f"| {each['rolled_back']:.1%} |"
        )
    return "\n".join(lines)


def scenario_of(reference: Reference) -> Scenario:
    longest = 3.0 * (reference.median * 1.5 if reference.eighty == inf else reference.eighty)
    return replace(
        AA,
        name=f"A/A {reference.policy}, {reference.per_hour:g}/h",
        policy=reference.policy,
        per_hour=reference.per_hour,
        judge_all=True,
        hours=max(longest, 2.0),
    )


def run(task: tuple[Scenario, int]) -> Run:
    return simulate(*task)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    parser.add_argument("--keep", type=Path, help="folder of the runs, if not that")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    lines = Lines((options.keep or options.results) / "hours-runs.jsonl", Run)
    scenarios = {reference: scenario_of(reference) for reference in REFERENCES}
    done = {(each.scenario, each.seed) for each in lines.values}
    tasks = [
        (scenario, seed)
        for scenario in scenarios.values()
        for seed in range(options.runs)
        if (scenario.name, seed) not in done
    ]
    with Progress() as progress, ProcessPoolExecutor(options.jobs) as pool:
        for found in progress.track(pool.map(run, tasks), total=len(tasks)):
            lines.add(found)
    rows = write(lines.values, options.results)
    print(markdown(rows))


def write(found: Sequence[Run], folder: Path) -> list[dict[str, Any]]:
    rows = []
    for reference in REFERENCES:
        mine = [each for each in found if each.scenario == scenario_of(reference).name]
        rows += [row(reference, mine)] if mine else []
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hours.json").write_text(json.dumps(rows, indent=1) + "\n")
    (folder / "hours.md").write_text(f"{TITLE}\n\n{markdown(rows)}\n")
    return rows


if __name__ == "__main__":
    main()
