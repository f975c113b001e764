"""The stages of the Dockerfile without an engine: their commands in a directory of the test's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PLACES = ("/opt/venv", "/src", "/etc/prompt-canary", "/var/lib/prompt-canary")
OF_THE_SYSTEM = ("apt-get ", "useradd ")  # what the base image and its packages do


@dataclass
class Image:
    """`folder` stands for /. `ran`: commands, `skipped`: those of the system."""

    folder: Path
    ran: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    entry: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthy: list[str] = field(default_factory=list)
    work: Path = Path()

    @property
    def etc(self) -> Path:
        return self.folder / "etc" / "prompt-canary"

    def inside(self, text: str) -> str:
        for place in PLACES:
            text = re.sub(rf"(?<![\w.-]){re.escape(place)}(?![\w-])", str(self.folder) + place, text)
        return text

    def build(self, **arguments: str) -> None:
        """Both stages. Raises `CalledProcessError`."""
        kept = {"PATH": f"{Path(sys.base_prefix) / 'bin'}:{os.environ['PATH']}", "HOME": os.environ["HOME"]}
        mirrors = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        for word, rest in instructions((ROOT / "Dockerfile").read_text()):
            if word == "WORKDIR":
                self.work = Path(self.inside(rest))
                self.work.mkdir(parents=True, exist_ok=True)
            elif word == "COPY" and not rest.startswith("--from="):
                self._copy(rest.split())
            elif word == "RUN":
                self._run(rest, kept | mirrors | arguments)
            elif word == "ENTRYPOINT":
                self.entry = json.loads(self.inside(rest))
            elif word == "CMD":
                self.command = json.loads(self.inside(rest))
            elif word == "HEALTHCHECK":
                self.healthy = json.loads(self.inside(rest[rest.index("CMD ") + 4 :]))
            elif word == "FROM":  # the next stage has what is copied from this one
                shutil.rmtree(self.folder / "src", ignore_errors=True)

    def _run(self, command: str, environment: dict[str, str]) -> None:
        if command.startswith(OF_THE_SYSTEM):
            self.skipped.append(command)
            return
        self.ran.append(command)
        quick = self.inside(command).replace(" --no-cache-dir", "")
        subprocess.run(["sh", "-ec", quick], cwd=self.work, env=environment, check=True)

    def _copy(self, paths: list[str]) -> None:
        *sources, target = paths
        to = Path(self.inside(target)) if target.startswith("/") else self.work / target
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.so")
                shutil.copytree(ROOT / source, to, dirs_exist_ok=True, ignore=ignored)
            else:
                shutil.copy(ROOT / source, to)


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """
    >>> instructions("# no\\nFROM a AS b\\nRUN one \\\\\\n    two\\n")
    [('FROM', 'a AS b'), ('RUN', 'one two')]
    """
    lines = [line for line in dockerfile.splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = (line.partition(" ") for line in text.splitlines() if line.strip())
    return [(word, rest.strip()) for word, _, rest in pairs]
