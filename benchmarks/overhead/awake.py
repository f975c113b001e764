"""Client and provider that do not fall asleep in the middle of a measurement.

The kernel bills the waking of a process to whoever writes to it, and in a virtual machine the interrupt that
another processor is woken by takes 5 µs or more. A fast proxy keeps client and provider busy and pays for it
seldom, a slower one with every write: it would seem slower still, by what depends on this machine and not on
the proxy. So both look for work without pause, and yield their processor to each other meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import time

MOMENT = 0.05  # s without work after which a process may sleep


class Awake:
    """Keeps this process's loop turning for a moment after each call of `stay`."""

    def __init__(self) -> None:
        self._until = 0.0
        self._turning = False

    def stay(self) -> None:
        self._until = time.monotonic() + MOMENT
        if not self._turning:
            self._turning = True
            self._turn()

    def _turn(self) -> None:
        if time.monotonic() > self._until:
            self._turning = False
            return
        os.sched_yield()
        asyncio.get_running_loop().call_soon(self._turn)
