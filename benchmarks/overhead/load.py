"""A closed-loop client: `connections` keep-alive connections, each with one request in flight.

Sessions have a few turns, as conversations do: the session header changes every `TURNS` requests.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import cast

TURNS = 4
SDK_HEADERS = (
    "accept: application/json\r\naccept-encoding: gzip, deflate\r\n"
    "user-agent: OpenAI/Python 3.54.0\r\nx-stainless-lang: python\r\n"
    "x-stainless-package-version: 3.54.0\r\nx-stainless-os: Linux\r\nx-stainless-arch: x64\r\n"
    "x-stainless-runtime: CPython\r\nx-stainless-runtime-version: 3.11.7\r\n"
    "x-stainless-async: false\r\nx-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\n"
    "authorization: Bearer sk-benchmark\r\ncontent-type: application/json\r\n"
)
_HISTORY = ",".join(
    f'{{"role":"{role}","content":"{"A turn of the conversation, as people write them. " * 4}"}}'
    for role in ("user", "assistant", "user")
)


def body(stream: bool) -> bytes:
    flag = ',"stream":true' if stream else ""
    return f'{{"model":"gpt-4o-mini","messages":[{_HISTORY}],"temperature":0.2{flag}}}'.encode()


@dataclass(slots=True)
class Outcome:
    requests: int
    events: int
    failures: int
    elapsed: float


class Client(asyncio.Protocol):
    """Counts whole answers; an answer is whole at its length or its last chunk."""

    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.number = number
        self.turn = 0
        self.buffer = b""
        self.needed = -1
        self.status = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self.ask()

    def ask(self) -> None:
        if self.turn % TURNS == 0:
            self.session = next(self.load.sessions)
        self.turn += 1
        self.buffer, self.needed, self.status = b"", -1, b""
        session = b"x-session-id: s-%d\r\n" % self.session
        self.transport.write(self.load.head + session + self.load.rest)

    def data_received(self, data: bytes) -> None:
        if self.load.stream:
            self.load.events += data.count(b"data: ")
            self.status = self.status or data[:12]
            done = data.endswith(b"0\r\n\r\n")
        else:
            done = self.whole(data)
        if done:
            self.load.requests += 1
            self.load.failures += self.status != b"HTTP/1.1 200"
            if self.load.running:
                self.load.next_request(self)

    def whole(self, data: bytes) -> bool:
        self.buffer += data
        if self.needed < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.status = self.buffer[:12]
            head = self.buffer[:end].lower()
            self.needed = end + 4 + int(head[head.find(b"content-length:") + 15 :].split(b"\r", 1)[0])
        return len(self.buffer) >= self.needed

    def connection_lost(self, error: Exception | None) -> None:
        """Servers end a keep-alive connection now and then; the next one goes on."""
        if self.load.running:
            self.load.connect(self.number)


class Load:
    def __init__(self, port: int, *, stream: bool, rate: float) -> None:
        self.port = port
        self.stream = stream
        self.requests = self.events = self.failures = 0
        self.running = True
        self.sessions = itertools.count(time.monotonic_ns() // 1000)
        content = body(stream)
        self.head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{SDK_HEADERS}"
            f"content-length: {len(content)}\r\n"
        ).encode()
        self.rest = b"\r\n" + content
        self._tasks: set[asyncio.Task[object]] = set()
        self._interval = 1.0 / rate if rate else 0.0
        self._due = 0.0

    def next_request(self, client: Client) -> None:
        """At once, or at the next beat of the common rate."""
        if not self._interval:
            client.ask()
            return
        loop = asyncio.get_running_loop()
        self._due = max(self._due + self._interval, loop.time() - 0.01)
        loop.call_at(self._due, client.ask)

    def connect(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        task: asyncio.Task[object] = loop.create_task(
            loop.create_connection(lambda: Client(self, number), "127.0.0.1", self.port)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def run(port: int, *, stream: bool, connections: int, seconds: float, rate: float = 0.0) -> Outcome:
    """`rate` requests/s over all connections; 0 as fast as answers come."""
    load = Load(port, stream=stream, rate=rate)
    started = time.monotonic()
    for number in range(connections):
        load.connect(number)
    await asyncio.sleep(seconds)
    outcome = Outcome(load.requests, load.events, load.failures, time.monotonic() - started)
    load.running = False
    return outcome
