"""Connections of the simulated provider, and how it is started.

A client that closes, even one direction only, has left: the reply it waits for is cancelled and counted so.
"""

import asyncio
import socket
import ssl
import struct
from collections import deque
from hashlib import sha256
from pathlib import Path
from time import time
from typing import cast

import httptools
import uvloop

from gateway.errors import ConfigError
from gateway.simulator.faults import EARLY
from gateway.simulator.listener import Listener
from gateway.simulator.provider import ENDPOINTS, INSPECTION, Provider
from gateway.simulator.reply import PAUSE, End, Request, Steps, error_reply, head
from gateway.simulator.scenario import Scenario, load_scenario

MOST_BODY = 64 * 1024 * 1024  # longer bodies are counted and hashed, not kept
MOST_WAITING = 16  # pipelined requests; beyond it reading pauses
LINGER_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close sends RST


class Connection(asyncio.Protocol):
    """One client: requests are parsed as they come and answered one after the other."""

    def __init__(self, provider: Provider, connections: set["Connection"]) -> None:
        self._provider = provider
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._nth = 0
        self._uploading = False
        self._request: Request | None = None  # being answered
        self._steps: Steps | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._full = self._blocked = self._paused = self._ending = False
        self._deaf = False  # an early fault has begun: nothing that still comes is listened to

    # --- the transport
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._connections.add(self)
        self._provider.journal.connections_accepted += 1
        self._provider.journal.connections_open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._provider.journal.connections_open -= 1
        if self._uploading:
            self._provider.journal.truncated += 1
        self._ending = True
        self._over("cancelled")
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        if self._ending or self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered as HTTP/1.1; what follows is not understood, `keep_alive` is off
        except httptools.HttpParserError as error:
            self._refuse(str(error))
        if self._steps is None:
            self._run()
        if len(self._waiting) > MOST_WAITING and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._blocked:
            self._blocked = False
            self._run()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    # --- the parser
    def on_message_begin(self) -> None:
        self._uploading = True
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._sim: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        if name[:2] in (b"x-", b"X-"):
            lower = name.lower()
            if lower.startswith((b"x-sim-", b"x-stainless-retry")):
                self._sim[lower] = value
        elif len(name) == 6 and name.lower() == b"expect" and value.lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_headers_complete(self) -> None:
        path = self._target.partition(b"?")[0]
        self._hash = None if path in ENDPOINTS or path.startswith(INSPECTION) else sha256()
        if self._sim.get(b"x-sim-fault", b"").decode("latin-1") in EARLY:
            self.on_message_complete()
            self._deaf = True

    def on_body(self, part: bytes) -> None:
        if self._deaf:
            return
        self._size += len(part)
        if self._size <= MOST_BODY:
            self._body.append(part)
        else:
            self._body.clear()
        if self._hash is not None:
            self._hash.update(part)

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        self._uploading = False
        self._nth += 1
        parser, version = self._parser, self._parser.get_http_version().encode()
        keep_alive = parser.should_keep_alive() and version == b"1.1" and not parser.should_upgrade()
        inspecting = self._target.startswith(INSPECTION)
        self._waiting.append(
            Request(
                0 if inspecting else self._provider.journal.number(),
                parser.get_method(),
                self._target,
                version,
                tuple(self._headers),
                self._sim,
                keep_alive,
                self._nth,
                b"".join(self._body),
                self._size,
                "" if self._hash is None else self._hash.hexdigest(),
                time(),
            )
        )

    # --- the reply
    def _run(self) -> None:
        """Play replies until one must wait for time, for the peer, or for ever."""
        while not self._ending:
            if self._steps is None:
                if not self._waiting:
                    self._read_on()
                    return
                self._request = self._waiting.popleft()
                self._steps = self._provider.play(self._request)
            for step in self._steps:
                if isinstance(step, bytes):
                    self._transport.write(step)
                    if self._full:
                        self._blocked = True
                        return
                elif isinstance(step, End):
                    if step is End.STALL:
                        return
                    self._end(step)
                    break
                elif step > 0:
                    self._timer = self._loop.call_later(step, self._run)
                    return

    def _end(self, end: End) -> None:
        self._over("reset" if end is End.RESET else "completed")
        if end is End.RESET:
            self._ending = True
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            self._transport.abort()
        elif end is End.CLOSE:
            self._ending = True
            self._transport.close()

    def _over(self, outcome: str) -> None:
        request, self._request, self._steps = self._request, None, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if request is not None and request.number:
            self._provider.journal.ended(request, outcome)

    def _read_on(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _refuse(self, why: str) -> None:
        """Answer bytes that are not HTTP, unless earlier requests still wait for theirs."""
        if self._steps is None and not self._waiting:
            request = Request(0, b"", b"", b"1.1", (), {}, False, 0)
            reply = error_reply(400, f"not HTTP: {why}", code="malformed_request")
            self._transport.write(head(request, reply, length=len(reply.pieces[0])) + reply.pieces[0])
        self._ending = True
        self._uploading = False
        self._transport.close()


class Simulator:
    """A running simulated provider. `port` is where it listens; `provider` its scenario and journal."""

    def __init__(self, listener: Listener, provider: Provider, connections: set[Connection]) -> None:
        self._listener = listener
        self._connections = connections
        self._outage: asyncio.Task[None] | None = None
        self.provider = provider
        self.host, self.port = listener.address
        provider.on_outage = self._begin_outage

    @property
    def stats(self) -> dict[str, object]:
        """The counts of /__sim/stats."""
        return self.provider.journal.stats()

    async def refuse(self) -> None:
        """Cut all connections and refuse new ones, until `listen`."""
        server = self._listener.refuse()
        for connection in list(self._connections):
            connection.abort()
        if server is not None:
            await server.wait_closed()

    async def listen(self) -> None:
        """Accept connections again. Raises `OSError` where the port was taken meanwhile."""
        await self._listener.open()

    def _begin_outage(self, seconds: float) -> None:
        if self._outage is None or self._outage.done():
            self._outage = asyncio.create_task(self._out(seconds))

    async def _out(self, seconds: float) -> None:
        await asyncio.sleep(PAUSE)  # who asked for it is answered
        await self.refuse()
        await asyncio.sleep(seconds)
        await self.listen()

    async def close(self) -> None:
        """Stop listening and cut all connections."""
        if self._outage is not None:
            self._outage.cancel()
        await self.refuse()
        self._listener.close()


async def start_simulator(
    scenario: Scenario | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    sock: socket.socket | None = None,
    ssl_context: ssl.SSLContext | None = None,
    keep: int = 1000,
) -> Simulator:
    """Start to serve on the running loop.

    Args:
        scenario: default is the built-in one (20 ms to the first token, 5 ms a token).
        host, port: where to listen; port 0 takes a free one. Not used with `sock`.
        sock: a bound socket, listening or not, to use instead.
        ssl_context: serve https with it.
        keep: requests kept for /__sim/requests; 0 is fastest.

    Raises `OSError` where the address is taken.
    """
    provider = Provider(scenario or Scenario(), keep)
    connections: set[Connection] = set()

    def accept() -> Connection:
        return Connection(provider, connections)

    listener = Listener(accept, sock or (host, port), ssl_context)
    await listener.open()
    return Simulator(listener, provider, connections)


def run_simulator(
    host: str = "127.0.0.1",
    port: int = 8089,
    scenario_path: str | None = None,
    *,
    sock: socket.socket | None = None,
    keep: int = 1000,
) -> None:
    """Serve in this process, on uvloop, until interrupted. Raises `ConfigError` for a bad scenario file."""
    scenario = read_scenario(scenario_path) if scenario_path else Scenario()

    async def serve() -> None:
        simulator = await start_simulator(scenario, host, port, sock=sock, keep=keep)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await simulator.close()

    uvloop.run(serve())


def read_scenario(path: str) -> Scenario:
    """Read a scenario file. Raises `ConfigError`."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return load_scenario(text, source=path)
