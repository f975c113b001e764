"""`python -m benchmarks.telemetry`: two minutes; results in benchmarks/results/telemetry.json and .md."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from benchmarks.overhead import cpu, machine
from benchmarks.overhead.plan import Data, Plan
from benchmarks.telemetry.measure import STATES, markdown, run

RESULTS = Path(__file__).resolve().parent.parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="interleaved; figures are their medians")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    parser.add_argument("--state", action="append", choices=STATES, help="may be given again; default: all")
    given = parser.parse_args()
    cpu.pin(os.getpid(), cpu.OTHERS)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = run(Plan(Path(folder), given.rounds, given.seconds), given.state or STATES)
    print(write({"machine": machine.description(), **found}, given.results))


def write(results: Data, folder: Path) -> str:
    """Returns the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    text = f"# Collector down or slow\n\n{machine.sentence(results['machine'])}\n\n{markdown(results)}\n"
    (folder / "telemetry.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    (folder / "telemetry.md").write_text(text)
    return text


if __name__ == "__main__":
    main()
