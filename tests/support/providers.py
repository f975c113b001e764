"""Several scripted providers behind one worker: what each of them received, and how each of them fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.scripted_provider import Peer, Request, Script
from tests.support.worker import WorkerStage, worker_stage


def answer(status: int = 200, body: bytes = b"{}", *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d X" % status, b"content-type: application/json", b"content-length: %d" % len(body)]
    return b"\r\n".join((*lines, *headers, b"", body))


@dataclass
class Provider:
    """`says` is the answer to every request; None closes without a word. `script` replaces both."""

    says: bytes | None = field(default_factory=answer)
    script: Script | None = None
    seen: list[Request] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _running: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def line(self) -> str:
        """The request line that came last."""
        return self.seen[-1].head.split(b"\r\n")[0].decode()

    @property
    def headers(self) -> dict[str, str]:
        lines = self.seen[-1].head.decode("latin-1").split("\r\n")[1:-2]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections from here on, and cut those that stand."""
        if self._server is not None:
            self._server.close()
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        peer = Peer(reader, writer, len(self.seen))
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await (self.script or self._answer)(peer)
        self._running.discard(task)
        writer.transport.abort()

    async def _answer(self, peer: Peer) -> None:
        while True:
            self.seen.append(await peer.request())
            if self.says is None:
                return
            peer.send(self.says)


@asynccontextmanager
async def providers_stage(
    folder: Path, providers: list[Provider], upstreams: list[dict[str, Any]] | None = None, **settings: Any
) -> AsyncIterator[WorkerStage]:
    """A worker whose nth upstream is the nth provider, with the nth of `upstreams` for its other fields;
    named a, b, c, and in this order of priority unless they say otherwise."""
    for provider in providers:
        await provider.start()
    given = upstreams or [{} for _ in providers]
    made = [
        {
            "name": "abcdef"[number],
            "priority": number,
            **fields,
            "base_url": provider.url + fields.get("base_url", "/v1"),
        }
        for number, (provider, fields) in enumerate(zip(providers, given, strict=True))
    ]
    try:
        async with worker_stage(folder, upstreams=made, **settings) as stage:
            yield stage
    finally:
        for provider in providers:
            await provider.stop()
