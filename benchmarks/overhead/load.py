"""A closed-loop client on raw protocols: keep-alive connections with one request in flight on each."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from benchmarks.overhead.awake import Awake
from benchmarks.overhead.peers import Peer
from benchmarks.overhead.requests import TURNS, Template, template

SESSIONS = itertools.count(time.monotonic_ns() // 1000)
PATIENCE = 10.0  # s for the answers that are under way at the end


@dataclass(slots=True)
class Outcome:
    requests: int
    events: int
    failures: int
    elapsed: float
    said: bytes = b""  # the first answer that failed

    def check(self, name: str) -> None:
        """Raises RuntimeError where the figures would mean nothing."""
        if self.failures > self.requests * 0.001 or not (self.requests or self.events):
            raise RuntimeError(f"{name}: {self.failures} of {self.requests} failed: {self.said[:500]!r}")


class Answer:
    """Reads one answer: whole at its length or its last chunk."""

    __slots__ = ("buffer", "needed", "status")

    def __init__(self) -> None:
        self.buffer = b""
        self.status = b""
        self.needed = -1  # bytes with the head; -1: not known, -2: chunked

    def feed(self, data: bytes) -> bool:
        if self.needed == -2:
            self.buffer = data
            return data.endswith(b"0\r\n\r\n")
        self.buffer += data
        if self.needed == -1:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.status = self.buffer[9:12]
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            if at < 0:
                self.needed = -2
                return self.buffer.endswith(b"0\r\n\r\n")
            self.needed = end + 4 + int(head[at + 15 :].split(b"\r", 1)[0])
        return len(self.buffer) >= self.needed


class Client(asyncio.Protocol):
    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.number = number
        self.turn = 0
        self.reading = Answer()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self.ask()

    def ask(self) -> None:
        turn = self.turn % TURNS
        if turn == 0:
            self.session = next(SESSIONS)
        self.reading = Answer()
        templates = self.load.templates
        asked = templates[(self.number + self.turn) % len(templates)]
        self.transport.write(asked.filled(self.session, turn))
        self.turn += 1

    def data_received(self, data: bytes) -> None:
        load = self.load
        load.begun.set()
        if load.stream:
            load.events += data.count(b"data: ")
        if not self.reading.feed(data):
            return
        load.requests += 1
        if load.awake is not None:
            load.awake.stay()
        if self.reading.status != b"200":
            load.failures += 1
            load.said = load.said or self.reading.buffer
        if load.running:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Servers end a keep-alive connection now and then; the next one goes on."""
        if self.load.running:
            self.load.connect(self.number)
        else:
            self.load.left -= 1
            if not self.load.left:
                self.load.over.set()


class Load:
    def __init__(self, port: int, templates: Sequence[Template], *, stream: bool, awake: bool) -> None:
        self.port = port
        self.templates = templates
        self.stream = stream
        self.requests = self.events = self.failures = 0
        self.said = b""
        self.running = True
        self.awake = Awake() if awake else None
        self.left = 0
        self.over = asyncio.Event()
        self.begun = asyncio.Event()  # something was answered
        self._tasks: set[asyncio.Task[object]] = set()

    def connect(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        task: asyncio.Task[object] = loop.create_task(
            loop.create_connection(lambda: Client(self, number), "127.0.0.1", self.port)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def run(
    peer: Peer,
    *,
    stream: bool,
    connections: int,
    seconds: float,
    templates: Sequence[Template] = (),
    awake: bool = False,
    at_end: Callable[[], None] = lambda: None,
) -> Outcome:
    """As fast as answers come; `awake`: without sleeping between them. `at_end` is called when the time is
    up; then the last answers are awaited."""
    load = Load(peer.port, templates or [template(peer, stream=stream)], stream=stream, awake=awake)
    started = time.monotonic()
    for number in range(connections):
        load.connect(number)
    await asyncio.sleep(seconds)
    with contextlib.suppress(TimeoutError):  # on a busy machine the first answer may take longer
        await asyncio.wait_for(load.begun.wait(), PATIENCE)
    outcome = Outcome(load.requests, load.events, load.failures, time.monotonic() - started, load.said)
    at_end()
    load.left = connections
    load.running = False
    try:
        await asyncio.wait_for(load.over.wait(), PATIENCE)
    except TimeoutError:
        outcome.failures += load.left
    return outcome
