"""One worker in the test's own process, on a real SQLite store, in front of a simulated provider.

What it holds can be looked at: `WorkerStage.assert_empty` says that nothing is left behind.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.control.plan import By
from gateway.control.registry import Registry
from gateway.control.rollouts import Rollouts, Start
from gateway.promptfiles import prompty
from gateway.proxy.worker import Worker, build_worker
from gateway.settings import Settings
from gateway.simulator import Simulator, load_scenario, start_simulator
from gateway.storage.sqlite import SqliteStore
from tests.support.stores import PATIENT

BY = By("tester", "a test")
QUICK = "default: {first_token_ms: 0, gap_ms: 0, tokens: 10}"
CHAT = "/v1/chat/completions"


def prompt_source(name: str, edition: str, *, front: str = "") -> str:
    """A version of a prompt; `edition` makes it another content."""
    return f"---\nname: {name}\n{front}---\nsystem:\nYou are the {edition} one.\n"


def chat_body(user: str = "Hello?", **fields: object) -> bytes:
    return json.dumps({"model": "sim", "messages": [{"role": "user", "content": user}], **fields}).encode()


@dataclass(slots=True)
class Reply:
    """`end` is clean, cut (a close where more was due), or reset."""

    status: int
    headers: dict[str, str]
    body: bytes
    end: str

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error

    @property
    def events(self) -> list[bytes]:
        text = self.body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return [part for part in text.split(b"\n\n") if part]


def request_bytes(
    body: bytes, headers: Mapping[str, str] | None = None, *, path: str = CHAT, chunked: bool = False
) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: test", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += ["transfer-encoding: chunked" if chunked else f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)


class Client:
    """One connection, as plain as a client can be, which sees how an answer ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, raw: bytes) -> Reply:
        self.writer.write(raw)
        return await self.reply()

    async def reply(self) -> Reply:
        status = 0
        headers: dict[str, str] = {}
        body = bytearray()
        try:
            status, headers = await self.head()
            async for piece in self.pieces(status, headers):
                body += piece
        except asyncio.IncompleteReadError as error:
            body += error.partial if headers.get("transfer-encoding") != "chunked" else b""
            return Reply(status, headers, bytes(body), "cut")
        except ConnectionResetError:
            return Reply(status, headers, bytes(body), "reset")
        return Reply(status, headers, bytes(body), "clean")

    async def head(self) -> tuple[int, dict[str, str]]:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        pairs = [line.partition(":") for line in lines]
        return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}

    async def pieces(self, status: int, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        if status == 204:
            return
        if headers.get("transfer-encoding") != "chunked":
            yield await self.reader.readexactly(int(headers["content-length"]))
            return
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class StoreClock:
    """The store's wall clock, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0  # s

    def __call__(self) -> float:
        return time.time() + self.ahead


class WorkerStage:
    def __init__(
        self, worker: Worker, simulator: Simulator, port: int, registry: Registry, clock: StoreClock
    ) -> None:
        self.clock = clock
        self.worker = worker
        self.simulator = simulator
        self.port = port
        self.registry = registry
        self.rollouts = Rollouts(registry.store)

    # --- prompts

    async def push(self, name: str = "greeter", edition: str = "first", *, front: str = "") -> int:
        file = prompty.parse(prompt_source(name, edition, front=front), source=f"{name}.prompty")
        return (await self.registry.push(file, BY)).version

    async def deploy(self, name: str = "greeter", edition: str = "first", *, front: str = "") -> int:
        number = await self.push(name, edition, front=front)
        await self.rollouts.deploy(name, number, BY)
        await self.worker.snapshots.poll()
        return number

    async def roll_out(
        self,
        name: str = "greeter",
        edition: str = "second",
        *,
        weight: float = 0.5,
        policy: str | None = None,
    ) -> int:
        """A rollout whose weight counts already."""
        number = await self.push(name, edition)
        if policy is None:
            await self.rollouts.start(name, Start(number, weight), BY)
        else:
            await self.rollouts.start(name, Start(number, policy=policy), BY)
            await self.rollouts.change(name, "set_weight", BY, weight=weight)
        self.clock.ahead += 2.0
        await self.worker.snapshots.poll()
        return number

    # --- requests

    async def connect(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=2**20))

    async def ask(
        self,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        path: str = CHAT,
        chunked: bool = False,
    ) -> Reply:
        """One request on a connection of its own; never waits for longer than 10 s."""
        client = await self.connect()
        try:
            async with asyncio.timeout(10):
                sent = chat_body() if body is None else body
                return await client.ask(request_bytes(sent, headers, path=path, chunked=chunked))
        finally:
            await client.close()

    def seen(self, last: int = 1) -> list[dict[str, Any]]:
        return self.simulator.provider.journal.last(last)

    def sent_bytes(self) -> bytes:
        """The body that the provider received last."""
        return base64.b64decode(self.seen()[-1]["body"])

    def sent(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.sent_bytes())
        return body

    # --- what is held

    def held(self) -> dict[str, int]:
        """Everything that a request may hold; all 0 when no request is under way."""
        worker = self.worker
        counts = worker.upstream.counts
        return {
            "exchanges": worker.edge.exchanges,
            "buffered": worker.edge.buffered,
            "calls": worker.upstream.calls,
            "queued": counts.queued,
            "connecting": counts.connecting,
            "busy": counts.open - counts.idle - counts.connecting,
            "budget": worker.budget.held,
            "waiting": len(worker.budget._waiting),
            "loads": len(worker.versions._waiting),
            "lookups": len(worker.pins._asking),
            "tasks": len(worker.pins._tasks) + len(worker.versions._tasks) + len(worker.aliases._tasks),
        }

    async def assert_empty(self, limit: float = 2.0) -> None:
        with contextlib.suppress(TimeoutError):
            await until(lambda: not any(self.held().values()), limit)
        left = {name: count for name, count in self.held().items() if count}
        assert not left, f"left behind: {left}"


async def until(condition: Callable[[], bool], limit: float = 5.0) -> None:
    """Look again at each turn of the loop: counts are plain integers, nothing signals them."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Complaints(logging.Handler):
    """Errors and worse of the gateway's loggers, and what the event loop caught: a test expects none."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))


def _note_unhandled(complaints: Complaints) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.seen.append(f"{context.get('message')}: {context.get('exception')!r}")

    return note


@asynccontextmanager
async def worker_stage(
    folder: Path, *, scenario: str = QUICK, quiet: bool = True, **settings: Any
) -> AsyncIterator[WorkerStage]:
    """`settings` are sections of the configuration as mappings. With `quiet`, an error that is logged, or an
    exception that reaches the event loop, fails the test."""
    complaints = Complaints()
    logging.getLogger("gateway").addHandler(complaints)
    asyncio.get_running_loop().set_exception_handler(_note_unhandled(complaints))
    simulator = await start_simulator(load_scenario(scenario))
    clock = StoreClock()
    store = SqliteStore(folder / "store", limits=PATIENT, wall=clock)
    base_url = f"http://127.0.0.1:{simulator.port}/v1"
    worker = build_worker(
        Settings.model_validate(
            {
                "store": {"kind": "sqlite", "directory": str(folder / "store")},
                "data_directory": str(folder / "data"),
                "signing_keys": ["0123456789abcdef0123456789abcdef"],
                **({} if "upstreams" in settings else {"upstream": {"base_url": base_url}}),
                **settings,
            }
        ),
        store,
        slot=1,
        random=random.Random(7).random,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    await worker.start(listener)
    try:
        yield WorkerStage(worker, simulator, listener.getsockname()[1], Registry(store), clock)
        assert not (quiet and complaints.seen), complaints.seen
    finally:
        await worker.drain(0.05)
        await worker.close()
        await simulator.close()
        logging.getLogger("gateway").removeHandler(complaints)
