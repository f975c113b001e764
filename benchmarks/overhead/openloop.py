"""An open-loop client: requests are due at a fixed rate, whether the last ones have been answered or not.

A latency counts from when the request was due, so one that waits behind a slow one counts its waiting too (no
coordinated omission). The beat is a timer of the kernel (timerfd), for those of an event loop are rounded to
whole milliseconds. https://man7.org/linux/man-pages/man2/timerfd_create.2.html
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import struct
import time
from collections import deque
from typing import cast

from benchmarks.overhead.load import SESSIONS, Answer
from benchmarks.overhead.peers import Peer
from benchmarks.overhead.requests import TURNS, template

CONNECTIONS = 64
TIMEOUT = 10.0  # s for the last answers

_LIBC = ctypes.CDLL(None, use_errno=True)


class _Spec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns")]


def timer(interval: float) -> int:
    """A descriptor that can be read each `interval` s: 8 bytes, how often it was due since the last read."""
    descriptor: int = _LIBC.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    seconds, ns = divmod(round(interval * 1e9), 1_000_000_000)
    spec = _Spec(seconds, ns, seconds, ns)
    if descriptor < 0 or _LIBC.timerfd_settime(descriptor, 0, ctypes.byref(spec), None) < 0:
        raise OSError(ctypes.get_errno(), "no timer")
    return descriptor


class Beat(asyncio.Protocol):
    """One connection of the pool."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.due = 0.0
        self.busy = False
        self.asked = 0
        self.session = next(SESSIONS)
        self.reading = Answer()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.pool.ready(self)

    def ask(self, due: float) -> None:
        self.due, self.busy = due, True
        turn = self.asked % TURNS
        if turn == 0:
            self.session = next(SESSIONS)
        self.asked += 1
        self.reading = Answer()
        self.transport.write(self.pool.template.filled(self.session, turn))

    def data_received(self, data: bytes) -> None:
        if not self.reading.feed(data):
            return
        self.busy = False
        if self.reading.status == b"200":
            self.pool.latencies.append(time.monotonic() - self.due)
        else:
            self.pool.failures += 1
        self.pool.ready(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.pool.lost(self)


class Pool:
    def __init__(self, peer: Peer) -> None:
        self.template = template(peer, stream=False)
        self.latencies: list[float] = []  # s
        self.failures = 0
        self.closing = False
        self._port = peer.port
        self._left = CONNECTIONS
        self._over = asyncio.Event()
        self._free: deque[Beat] = deque()
        self._waiting: deque[float] = deque()
        self._tasks: set[asyncio.Task[object]] = set()

    def due(self, at: float) -> None:
        if self._free:
            self._free.popleft().ask(at)
        else:
            self._waiting.append(at)

    def ready(self, beat: Beat) -> None:
        if self._waiting:
            beat.ask(self._waiting.popleft())
        elif self.closing:
            beat.transport.close()
        else:
            self._free.append(beat)

    def lost(self, beat: Beat) -> None:
        if beat in self._free:
            self._free.remove(beat)
        self.failures += beat.busy
        if not self.closing:
            self.connect()
            return
        self._left -= 1
        if not self._left:
            self._over.set()

    def connect(self) -> None:
        loop = asyncio.get_running_loop()
        task: asyncio.Task[object] = loop.create_task(
            loop.create_connection(lambda: Beat(self), "127.0.0.1", self._port)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Once every connection's last answer is there, or `TIMEOUT` s have passed."""
        self.closing = True
        for beat in self._free:
            beat.transport.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), TIMEOUT)


async def run(peer: Peer, *, rate: float, seconds: float) -> tuple[list[float], int]:
    """Latencies, s, of the requests of `seconds` s at `rate` a second; and how many failed."""
    loop = asyncio.get_running_loop()
    pool = Pool(peer)
    for _ in range(CONNECTIONS):
        pool.connect()
    await asyncio.sleep(0.2)
    total, sent = round(rate * seconds), 0
    descriptor, started = timer(1.0 / rate), time.monotonic()
    over = asyncio.Event()

    def beat() -> None:
        nonlocal sent
        (times,) = struct.unpack("q", os.read(descriptor, 8))
        for _ in range(min(times, total - sent)):
            sent += 1
            pool.due(started + sent / rate)
        if sent >= total:
            over.set()

    loop.add_reader(descriptor, beat)
    try:
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    await pool.close()
    return pool.latencies, total - len(pool.latencies)
