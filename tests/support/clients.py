"""The real clients of the end-to-end tests: their pinned environments, and how a program is run in one.

`python -m tests.support.clients` builds what is missing of tests/e2e/clients/clients.toml. An environment is
a folder outside of the repository, named after its content, so that checkouts share it and a changed pin is
another folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "e2e" / "clients"
PINS = FOLDER / "clients.toml"
READY = "ready"  # a file in each environment that is complete
PATIENCE = 90.0  # s for one program; litellm alone takes some for being imported


@dataclass(frozen=True, slots=True)
class Client:
    """`interpreter` runs the program; None where the client is not installed."""

    name: str
    program: Path
    environment: Path
    packages: tuple[str, ...] = ()
    npm: tuple[tuple[str, str], ...] = ()
    command: str = ""

    @property
    def interpreter(self) -> str | None:
        if self.command:
            return sys.executable if shutil.which(self.command) else None
        if not (self.environment / READY).exists():
            return None
        return shutil.which("node") if self.npm else str(self.environment / "bin" / "python")


def cache() -> Path:
    """Where environments are: $PROMPT_CANARY_CLIENTS, else the user's cache folder."""
    given = os.environ.get("PROMPT_CANARY_CLIENTS")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "prompt-canary-gateway" / "clients"


def clients() -> dict[str, Client]:
    """All clients of the pins, installed or not, by name."""
    pins = tomllib.loads(PINS.read_text())
    found = {}
    for name, pin in pins["client"].items():
        program = pin.get("program") or name.replace("-", "_") + "_client.py"
        content = [pins["resolved_on"], sys.version_info[:2], pin.get("packages"), pin.get("npm")]
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
        found[name] = Client(
            name,
            FOLDER / "programs" / program,
            cache() / f"{name}-{digest}",
            tuple(pin.get("packages", ())),
            tuple(pin.get("npm", {}).items()),
            pin.get("command", ""),
        )
    return found


def run_program(client: Client, given: dict[str, Any]) -> dict[str, Any]:
    """What the client's program says of each thing that it tried. `given` is its input."""
    interpreter = client.interpreter
    assert interpreter is not None, f"{client.name} is not installed"
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")} | quiet
    if client.npm:
        given = {**given, "modules": str(client.environment / "node_modules")}
    done = subprocess.run(
        [interpreter, str(client.program)],
        input=json.dumps(given),
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{client.name}: {done.stderr[-4000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def build(client: Client, resolved_on: str) -> None:
    """Make the environment beside its place and move it there whole. Raises CalledProcessError."""
    client.environment.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=client.environment.parent) as place:
        made = Path(place) / "made"
        if client.npm:
            made.mkdir()
            (made / "package.json").write_text(
                json.dumps({"private": True, "dependencies": dict(client.npm)})
            )
            _call(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], made)
        else:
            uv = str(Path(sys.executable).parent / "uv")
            _call([uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, str(made)])
            python = str(made / "bin" / "python")
            newest = ["--exclude-newer", resolved_on]
            _call([uv, "pip", "install", "--quiet", "--python", python, *newest, *client.packages])
        (made / READY).touch()
        if not client.environment.exists():  # another checkout may have been faster
            made.rename(client.environment)


def _call(command: list[str], folder: Path | None = None) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


def main() -> int:
    """Build what is missing; a client that cannot be built is named, and its tests are skipped by name."""
    resolved_on = tomllib.loads(PINS.read_text())["resolved_on"]
    missing = []
    for client in clients().values():
        if client.interpreter is not None:
            continue
        started = time.monotonic()
        try:
            if client.command:
                raise FileNotFoundError(f"{client.command} is not on PATH")
            build(client, resolved_on)
            print(f"installed {client.name} for the tests in {time.monotonic() - started:.0f} s")
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            print(f"{client.name} is not installed: {said.strip()[-400:]}")
            missing.append(client.name)
    if missing:
        print(f"their tests are skipped by name: {', '.join(missing)}")
    return 1 if missing and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
