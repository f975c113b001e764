"""`python -m benchmarks.overhead [--only SECTION]`: prints tables, writes them to benchmarks/results, the
README and the operations guide. About ten minutes; every section's results are kept as it ends."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks.overhead import cpu, machine, report
from benchmarks.overhead.plan import Plan
from benchmarks.overhead.sections import SECTIONS

RESULTS = report.ROOT / "benchmarks" / "results"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=tuple(SECTIONS), help="may be given again")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved; figures are their medians")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--streams", type=int, default=5000, help="held open for the memory they need")
    parser.add_argument("--scale", type=float, default=1.0, help="of the section on growth; 1 is whole")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help='another gateway; {port}, {upstream} and {folder} are filled in, for example "Bifrost/v1/chat/'
        'completions=bifrost-http -port {port} -app-dir {folder}"',
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    parser.add_argument(
        "--no-publish", action="store_true", help="leave README and operations guide as they are"
    )
    return parser.parse_args()


def main() -> None:
    given = options()
    cpu.pin(os.getpid(), cpu.OTHERS)
    results = report.read(given.results / "overhead.json")
    chosen = given.only or list(SECTIONS)
    if given.only is None:
        results["left_out"], results["sections"] = {}, {}
    results["machine"] = machine.description()
    print(machine.sentence(results["machine"]), flush=True)
    for name, module in SECTIONS.items():
        if name not in chosen:
            continue
        started = time.monotonic()
        print(f"{name}: {module.TITLE}", flush=True)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            plan = Plan(Path(folder), given.rounds, given.seconds, given.streams, given.scale, given.peer)
            try:
                results["sections"][name] = module.run(plan)
                results["left_out"].pop(name, None)
            except Exception as error:  # noqa: BLE001  (said; the other sections go on)
                plan.left_out[name] = repr(error)
                print(f"  left out: {name}: {error}", flush=True)
        results["left_out"] |= plan.left_out
        report.write(results, given.results)
        print(f"  {time.monotonic() - started:.0f} s", flush=True)
    print("\n" + report.write(results, given.results))
    if not given.no_publish:
        report.publish(results)


if __name__ == "__main__":
    main()
