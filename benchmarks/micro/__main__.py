"""`python -m benchmarks.micro [--update] [--quick]` (make micro): prints each function beside its baseline.

Ends with 1 where one is slower than `baseline.SLOWER` times its baseline; `--update` stores a new one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.micro import baseline
from benchmarks.overhead.machine import compiled

HERE = Path(__file__).resolve().parent


def measure(*, quick: bool) -> dict[str, float]:
    """Raises RuntimeError with what pytest said where a case fails."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pytest", "-c", str(HERE / "pytest.ini"), str(HERE / "test_hot.py")]
        options = [f"--benchmark-json={report}", f"--benchmark-max-time={0.02 if quick else 0.5}"]
        options += ["--benchmark-min-rounds=2", "--benchmark-warmup=on", "--benchmark-warmup-iterations=50"]
        alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        done = subprocess.run([*command, *options], env=alone, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return baseline.read(json.loads(report.read_text()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="store what is measured as the baseline")
    parser.add_argument("--quick", action="store_true", help="a moment each: whether they run, not how fast")
    options = parser.parse_args()
    kind = "compiled" if compiled() else "interpreted"
    compared = baseline.compare(measure(quick=options.quick), baseline.stored(kind))
    print(f"{kind}\n\n{baseline.markdown(compared)}")
    if options.update:
        baseline.store(compared, kind)
        return 0
    return 1 if any(each.slower for each in compared) and not options.quick else 0


if __name__ == "__main__":
    sys.exit(main())
