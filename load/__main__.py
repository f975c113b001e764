"""`python -m load locust|k6`: load on the quickstart, or with --url on a gateway that runs. Ends with 1 or
more where requests failed or a threshold was crossed."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.overhead import installed

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "config" / "quickstart.yaml"
URL, ADMIN = "http://127.0.0.1:8080", "http://127.0.0.1:8081"  # as in quickstart.yaml
START_LIMIT = 60.0  # s


@contextlib.contextmanager
def quickstart() -> Iterator[str]:
    """Raises RuntimeError if it does not become ready."""
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(CONFIG)]
    with subprocess.Popen(command, cwd=HERE.parent) as process:
        try:
            limit = time.monotonic() + START_LIMIT
            while not _ready():
                if process.poll() is not None or time.monotonic() > limit:
                    raise RuntimeError("the quickstart does not start; if its ports are taken, use --url")
                time.sleep(0.1)
            yield URL
        finally:
            process.terminate()


def _ready() -> bool:
    try:
        with urllib.request.urlopen(f"{ADMIN}/readyz", timeout=2) as answer:
            return bool(json.load(answer)["ready"])
    except OSError:
        return False


def locust(url: str, options: argparse.Namespace) -> tuple[list[str], Mapping[str, str]]:
    """Raises RuntimeError where it is not installed."""
    command = installed.command("locust")
    if command is None:
        raise RuntimeError("Locust is not installed; run: scripts/test-peers locust")
    people = ["-u", str(options.users), "-r", str(options.users), "-t", f"{options.seconds}s"]
    run = [*command, "-f", str(HERE / "locustfile.py"), "-H", url, "--headless", "--only-summary", *people]
    return [*run, "--stop-timeout", "10", "--exit-code-on-error", "1"], installed.environment()


def k6(url: str, options: argparse.Namespace) -> tuple[list[str], Mapping[str, str]]:
    """k6 where it is on PATH, else what stands in for it. Raises RuntimeError without Node too."""
    script = str(HERE / "chat.k6.js")
    wishes = {"URL": f"{url}/v1", "RATE": str(options.rate), "SECONDS": str(options.seconds)}
    environment = {**installed.environment(), **wishes, "ADDED_MS": str(options.added_ms)}
    if shutil.which("k6"):
        return ["k6", "run", "--quiet", script], environment
    node = shutil.which("node")
    if node is None:
        raise RuntimeError("neither k6 nor Node is on PATH")
    return [node, str(HERE / "k6.mjs"), script], environment


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m load", description=__doc__)
    parser.add_argument("tool", choices=("locust", "k6"))
    parser.add_argument("--url", help="of a gateway that runs; without it the quickstart is started")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--users", type=int, default=20, help="Locust: people at a time")
    parser.add_argument("--rate", type=int, default=20, help="k6: arrivals a second")
    parser.add_argument("--added-ms", type=float, default=50.0, help="k6: most that p95 may add, ms")
    options = parser.parse_args()
    try:
        with quickstart() if options.url is None else contextlib.nullcontext(options.url) as url:
            command, environment = (locust if options.tool == "locust" else k6)(url, options)
            return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
