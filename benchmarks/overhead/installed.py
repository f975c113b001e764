"""Environments of the gateways that are compared with, outside of the repository, built as those of the
tests' clients are. `python -m benchmarks.overhead.installed [NAME …]` (scripts/test-peers) builds what is
missing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.clients import READY, Client, build, cache

PINS = Path(__file__).resolve().parent / "peers.toml"


class Pinned(NamedTuple):
    """`run` is its command: a program of the environment, or one on PATH with a file of the environment."""

    client: Client
    run: tuple[str, ...]
    resolved_on: str

    @property
    def ready(self) -> bool:
        return (self.client.environment / READY).exists()


def pinned() -> dict[str, Pinned]:
    pins = tomllib.loads(PINS.read_text())
    found = {}
    for name, pin in pins["peer"].items():
        content = [pins["resolved_on"], sys.version_info[:2], pin.get("packages"), pin.get("npm")]
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
        packages, npm = tuple(pin.get("packages", ())), tuple(pin.get("npm", {}).items())
        client = Client(name, PINS, cache().parent / "peers" / f"{name}-{digest}", packages, npm)
        found[name] = Pinned(client, tuple(pin["run"]), pins["resolved_on"])
    return found


def command(name: str) -> Sequence[str] | None:
    """What starts it, None where it is not installed."""
    peer = pinned()[name]
    if not peer.ready:
        return None
    folder = peer.client.environment
    made = [str(folder / part) if "/" in part else shutil.which(part) for part in peer.run]
    return None if None in made else [part for part in made if part]


def versions() -> dict[str, str]:
    """Of those that are installed, as pinned."""
    return {
        name: ", ".join([*peer.client.packages, *(version for _, version in peer.client.npm)])
        for name, peer in pinned().items()
        if peer.ready and name != "locust"
    }


def environment() -> dict[str, str]:
    """This process's, without proxies, and with nothing fetched or reported by a peer."""
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "NODE_ENV": "production"}
    return kept | quiet


def main(wanted: Sequence[str]) -> int:
    """All, or those that are `wanted` by name, which must not be missing in CI."""
    missing = []
    for name, peer in pinned().items():
        if peer.ready or (wanted and name not in wanted):
            continue
        started = time.monotonic()
        try:
            build(peer.client, peer.resolved_on)
            print(f"installed {name} for the benchmark in {time.monotonic() - started:.0f} s")
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            print(f"{name} is not installed: {said.strip()[-400:]}")
            missing.append(name)
    if missing:
        print(f"left out: {', '.join(missing)}")
    return 1 if missing and wanted and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
