"""A provider that follows a script, and a pool towards it: dialogues for the upstream's tests.

    @on_uvloop
    async def test_it() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            peer.send(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")

        async with Stage(script) as stage:
            answer = await stage.ask()

On leaving, everything must be gone: connections, tasks, and errors of a script are raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, Self

import uvloop

from gateway.errors import GatewayError
from gateway.proxy.base import Call, ResponseHead
from gateway.proxy.upstream import Pool
from gateway.settings import Limits, Timeouts

P = ParamSpec("P")
PATIENCE = 10.0  # s, for things that take milliseconds
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: provider\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def on_uvloop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test as the gateway runs; no task may outlive it."""

    async def whole(*args: P.args, **kwargs: P.kwargs) -> None:
        async with asyncio.timeout(PATIENCE * 3):
            await test(*args, **kwargs)
            await settle()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left behind: {left}"

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        uvloop.run(whole(*args, **kwargs))

    return run


async def settle(rounds: int = 10) -> None:
    """Let what is due now happen."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the network brings."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@dataclass(frozen=True, slots=True)
class Request:
    head: bytes  # with the blank line
    body: bytes  # without chunk framing


class Peer:
    """The provider's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number  # of this connection, from 0

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> Request:
        head = await self.head()
        if b"transfer-encoding: chunked\r\n" in head:
            return Request(head, await self._chunks())
        _, _, length = head.partition(b"content-length: ")
        return Request(head, await self.reader.readexactly(int(length.split(b"\r\n")[0] or 0)))

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self.reader.readuntil(b"\r\n"))[:-2], 16):
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return body

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def drip(self, data: bytes, at: Sequence[int]) -> None:
        """Send `data` cut at these places; each piece is a read of its own at the other end."""
        for start, end in zip([0, *at], [*at, len(data)], strict=True):
            self.send(data[start:end])
            await self.writer.drain()
            await asyncio.sleep(0.002)

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Close so that the other end reads ECONNRESET."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Until the gateway has closed; what it still sent is dropped."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65536):
                pass


Script = Callable[[Peer], Awaitable[None]]


async def answers(peer: Peer) -> None:
    """The usual script: every request is answered with 200 and `ok`."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            await peer.request()
            peer.send(OK)


class Answer:
    """A receiver that notes what it hears."""

    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.pieces: list[bytes] = []
        self.ended = False
        self.error: GatewayError | None = None
        self.writable: list[bool] = []
        self.flushes = 0
        self.over = asyncio.Event()
        self.begun = asyncio.Event()
        self.heard = asyncio.Event()  # some of the body
        self.call: Call

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def status(self) -> int:
        assert self.head is not None, self.error
        return self.head.status

    def response_head(self, head: ResponseHead) -> None:
        assert self.head is None
        assert not self.over.is_set()
        self.head = head
        self.begun.set()

    def response_data(self, data: bytes) -> None:
        assert self.head is not None
        assert data
        assert not self.over.is_set()
        self.pieces.append(data)
        self.heard.set()

    def response_flush(self) -> None:
        self.flushes += 1

    def response_end(self) -> None:
        assert self.head is not None
        assert not self.over.is_set()
        self.ended = True
        self.over.set()

    def response_failed(self, error: GatewayError) -> None:
        assert not self.over.is_set()
        self.error = error
        self.over.set()

    def upstream_writable(self, writable: bool) -> None:
        assert not self.over.is_set()
        self.writable.append(writable)


class Stage:
    """A scripted provider and a pool towards it. The nth connection follows the nth script, later ones the
    last. `now` is the pool's clock and stands still."""

    def __init__(
        self,
        *scripts: Script,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        server_tls: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
        random: float = 0.0,
    ) -> None:
        self.now = 1000.0
        self.peers: list[Peer] = []
        self._scripts = scripts or (answers,)
        self._limits = limits or Limits()
        self._timeouts = timeouts or Timeouts()
        self._server_tls = server_tls
        self._tls = tls
        self._random = random
        self._running: set[asyncio.Task[None]] = set()
        self._slips: list[BaseException] = []
        self.pool: Pool
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._server_tls)
        self.port = self._server.sockets[0].getsockname()[1]
        scheme = "http" if self._server_tls is None else "https"
        self.pool = Pool(
            f"{scheme}://127.0.0.1:{self.port}/v1",
            self._limits,
            self._timeouts,
            clock=lambda: self.now,
            random=lambda: self._random,
            tls=self._tls,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        async with asyncio.timeout(PATIENCE):
            await self.pool.close()
            while self._running:
                await asyncio.wait(self._running)
        counts = self.pool.counts
        assert (counts.open, counts.idle, counts.connecting, counts.queued) == (0, 0, 0, 0)
        for slip in self._slips:
            raise slip

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        peer = Peer(reader, writer, len(self.peers))
        self.peers.append(peer)
        try:
            await self._scripts[min(peer.number, len(self._scripts) - 1)](peer)
        except (Exception, asyncio.CancelledError) as slip:
            self._slips.append(slip)
        finally:
            self._running.discard(task)
            if not writer.transport.is_closing():
                writer.transport.abort()

    def start(
        self,
        body: Sequence[bytes] | None = (b"{}",),
        *,
        length: int | None = None,
        method: bytes = b"POST",
        first_byte: float | None = None,
    ) -> Answer:
        answer = Answer()
        head = HEAD.replace(b"POST", method)
        answer.call = self.pool.request(
            head, body, answer, length=length, method=method, first_byte=first_byte
        )
        assert not answer.over.is_set(), "failures come from a later callback"
        return answer

    async def ask(self, body: Sequence[bytes] | None = (b"{}",), *, method: bytes = b"POST") -> Answer:
        return await done(self.start(body, method=method))

    def pass_time(self, seconds: float) -> None:
        """Move the clock and enforce the limits."""
        self.now += seconds
        self.pool.sweep(self.now)


async def done(answer: Answer) -> Answer:
    async with asyncio.timeout(PATIENCE):
        await answer.over.wait()
    await settle()
    return answer


@contextlib.asynccontextmanager
async def silent_port() -> AsyncIterator[int]:
    """A port where nobody listens: connecting is refused."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
