"""On what it was measured: every number depends on it."""

from __future__ import annotations

import importlib.util
import platform
import re
import subprocess
from pathlib import Path

from benchmarks.overhead import cpu, installed, peers


def description() -> dict[str, str]:
    return {
        "processor": f"{len(cpu.OTHERS | cpu.MEASURED)} × {_processor()}",
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}",
        "python": f"Python {platform.python_version()}",
        "gateway": "compiled" if compiled() else "interpreted",
        "peers": ", ".join(_versions()),
    }


def sentence(machine: dict[str, str]) -> str:
    return (
        f"{machine['processor']}, {machine['memory']}, {machine['system']}; {machine['python']}, data path "
        f"{machine['gateway']}, SQLite store; {machine['peers']}."
    )


def compiled() -> bool:
    spec = importlib.util.find_spec("gateway.proxy.managed")
    return spec is not None and str(spec.origin).endswith(".so")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "processor"


def _memory() -> str:
    found = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return f"{int(found[1]) / 2**20:.0f} GiB" if found else "memory unknown"


def _versions() -> list[str]:
    found = [_version("nginx", "-v", r"nginx/[\d.]+"), _version("haproxy", "-v", r"version [\d.]+")]
    names = [name.replace("version", "HAProxy").replace("/", " ") for name in found if name]
    return names + [f"{name} {version.rpartition('==')[2]}" for name, version in installed.versions().items()]


def _version(name: str, option: str, pattern: str) -> str:
    try:
        command = [peers.binary(name, name), option]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (peers.Missing, OSError, subprocess.CalledProcessError):
        return ""
    match = re.search(pattern, done.stdout + done.stderr)
    return match[0] if match else ""
