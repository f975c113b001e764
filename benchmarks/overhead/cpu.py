"""Processor time from the kernel, and which processor a process may use.

/proc/PID/schedstat counts nanoseconds but not what for; user and system time are in /proc/PID/stat, in ticks.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")  # s
_USABLE = sorted(os.sched_getaffinity(0))
MEASURED = {_USABLE[-1]}  # the processor of what is measured
OTHERS = set(_USABLE[:-1]) or MEASURED  # those of load and provider


@dataclass(frozen=True, slots=True)
class Times:
    """Of all threads of a process so far, s; `user` and `system` are coarse, `total` is exact."""

    total: float
    user: float
    system: float

    def since(self, earlier: Times) -> Times:
        """What was used in between; the exact total is split as the ticks say."""
        total, user, system = (
            self.total - earlier.total,
            self.user - earlier.user,
            self.system - earlier.system,
        )
        share = user / (user + system) if user + system else 0.0
        return Times(total, total * share, total * (1 - share))


def times(pid: int) -> Times:
    total = 0
    user = system = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        total += int((thread / "schedstat").read_text().split()[0])
        numbers = (thread / "stat").read_text().rpartition(")")[2].split()
        user += int(numbers[11])
        system += int(numbers[12])
    return Times(total / 1e9, user * _TICK, system * _TICK)


def pin(pid: int, processors: set[int]) -> None:
    """Keep all threads of a process, those to come included, on these processors."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), processors)


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            found += children(parent)
    return found


def tree_times(pid: int) -> Times:
    """Of a process and all its descendants; one that ends meanwhile is no longer in it."""
    sums = [0.0, 0.0, 0.0]
    for each in tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            own = times(each)
            sums = [sums[0] + own.total, sums[1] + own.user, sums[2] + own.system]
    return Times(*sums)


def pin_tree(pid: int, processors: set[int]) -> None:
    for each in tree(pid):
        with contextlib.suppress(FileNotFoundError):
            pin(each, processors)


def children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
