"""Streams as a client sees them: when the first event came, when each of the others, and how many live."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast

from benchmarks.overhead.load import SESSIONS
from benchmarks.overhead.peers import Peer
from benchmarks.overhead.requests import Template

CONNECT_AT_ONCE = 100
PATIENCE = 20.0  # s for the first events of so many


@dataclass(slots=True)
class Seen:
    """s: from request to first event, between two reads that held events; with the times of the reads."""

    first: list[float] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    whole: int = 0
    broken: int = 0
    open: int = 0
    said: bytes = b""  # the first answer that was no stream


class Stream(asyncio.Protocol):
    """One stream after another while `seen` is being filled, or (`once`) a single one."""

    def __init__(self, template: Template, seen: Seen, *, once: bool) -> None:
        self.template = template
        self.seen = seen
        self.once = once
        self.closing = False
        self.asked = self.last = 0.0
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.ask()

    def ask(self) -> None:
        self.asked, self.last = time.monotonic(), 0.0
        self.transport.write(self.template.filled(next(SESSIONS)))

    def data_received(self, data: bytes) -> None:
        if not self.last and data.startswith(b"HTTP/1.1 ") and data[9:12] != b"200":
            self.seen.said = self.seen.said or data
            self.transport.abort()
            return
        if b"data: " not in data:
            return
        now = time.monotonic()
        if self.last:
            self.seen.gaps.append((now, now - self.last))
        else:
            self.seen.first.append(now - self.asked)
            self.seen.open += 1
            if not self.started.done():
                self.started.set_result(None)
        self.last = now
        if b"data: [DONE]" in data:
            self.seen.whole += 1
            self.seen.open -= 1
            self.last = 0.0
            if self.once or self.closing:
                self.close()
            else:
                self.ask()

    def close(self) -> None:
        self.closing = True
        self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closing:
            self.seen.broken += 1
            self.seen.open -= bool(self.last)
        if not self.started.done():
            self.started.set_result(None)
        self.ended.set_result(None)


async def open_streams(peer: Peer, template: Template, count: int, seen: Seen, *, once: bool) -> list[Stream]:
    """Returns when every stream has had its first event, has broken or has been waited for long enough."""
    loop = asyncio.get_running_loop()
    made: list[Stream] = []
    for start in range(0, count, CONNECT_AT_ONCE):
        size = min(CONNECT_AT_ONCE, count - start)
        connecting = [
            loop.create_connection(lambda: Stream(template, seen, once=once), "127.0.0.1", peer.port)
            for _ in range(size)
        ]
        connected = await asyncio.gather(*connecting, return_exceptions=True)
        batch = [pair[1] for pair in connected if not isinstance(pair, BaseException)]
        seen.broken += size - len(batch)
        await asyncio.wait([stream.started for stream in batch], timeout=PATIENCE)
        made += batch
    return made


def close_all(streams: list[Stream]) -> None:
    for stream in streams:
        if not stream.transport.is_closing():
            stream.close()
