"""One worker: the parts of the data plane put together, and what an exchange may ask of them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from gateway.domain.prompt import Version
from gateway.domain.request_id import sign
from gateway.domain.rollout import Deployment
from gateway.errors import ConfigError, GatewayError, MethodNotAllowed, NotFound
from gateway.proxy.base import Handler, Head, Link
from gateway.proxy.budget import BodyBudget
from gateway.proxy.choice import Choice
from gateway.proxy.edge import Edge
from gateway.proxy.exchange import Exchange, Refusal
from gateway.proxy.hotkeys import HotKeys
from gateway.proxy.managed import Managed
from gateway.proxy.snapshots import Snapshots, Versions
from gateway.proxy.upstream import Pool
from gateway.settings import Settings
from gateway.storage import local
from gateway.storage.base import Store
from gateway.wire.selection import split_path

logger = logging.getLogger(__name__)

SWEEP = 1.0  # s
DRAIN_STEP = 0.05  # s
CHAT = b"/v1/chat/completions"
API = b"/v1/"
START_PATIENCE = 3.0  # s that a start waits for the store before it serves what is kept on disk


class Worker:
    def __init__(
        self, settings: Settings, store: Store, *, slot: int, random: Callable[[], float]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.settings = settings
        self.store = store
        self.slot = slot
        self.clock: Callable[[], float] = loop.time
        self.random = random
        self.keys = tuple(key.encode() for key in settings.signing_keys)
        self.budget = BodyBudget(settings.limits.body_budget_bytes)
        self.hot = HotKeys(share=settings.sessions.hot_share, count=settings.sessions.hot_count)
        self.session_headers = tuple(name.lower().encode() for name in settings.sessions.headers)
        self.versions = Versions(store, settings.limits.prompt_cache)
        self.snapshots = Snapshots(store, self.versions, clock=self.clock)
        self.asks_usage = True
        parts = urlsplit(settings.upstream.base_url)
        self.upstream_host = parts.netloc.encode()
        self._base = parts.path.encode()
        key = settings.upstream.api_key
        self.authorization = None if key is None else b"Bearer " + key.encode()
        self.upstream = Pool(
            parts.hostname or "",
            parts.port or (443 if parts.scheme == "https" else 80),
            tls_context(settings) if parts.scheme == "https" else None,
            settings.limits,
            settings.timeouts,
            clock=self.clock,
            random=random,
        )
        self.edge = Edge(self.open, settings.limits, settings.timeouts, clock=self.clock, random=random)
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # --- what an exchange asks

    def open(self, head: Head, link: Link) -> Handler:
        """The route of a request, as soon as its head is there."""
        try:
            path_prompt, path = split_path(head.path)
            if not path.startswith(API):
                raise NotFound(f"there is nothing at {head.path[:200].decode('latin-1')}; routes begin with /v1/")
            if path == CHAT:
                if head.method != b"POST":
                    raise MethodNotAllowed("chat completions are asked for by POST")
                return Managed(self, head, link, path, path_prompt)
            exchange = Exchange(self, head, link)
            exchange.forward(self.target(path, head.query), None if head.length != 0 else (), head.length)
            return exchange
        except GatewayError as error:
            link.fail(error)
            return Refusal()

    def target(self, path: bytes, query: bytes) -> bytes:
        """The request target at the provider: its base path stands for our /v1."""
        target = self._base + path[len(API) - 1 :]
        return target + b"?" + query if query else target

    def request_id(self, choice: Choice) -> bytes:
        return sign(
            self.keys[0],
            rollout=choice.rollout,
            version=choice.version,
            arm=choice.arm,
            session=choice.session,
            now=self.snapshots.store_time(self.clock()),
            nonce=os.urandom(4),
        )

    # --- its life

    async def start(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await self._first_view()
        self._server = await loop.create_server(self.edge.protocol_factory, sock=sock)
        self._tasks = [loop.create_task(self.snapshots.run()), loop.create_task(self._sweep())]

    async def _first_view(self) -> None:
        """The store's view; if it does not answer, the one kept on disk, which serves baselines only."""
        try:
            async with asyncio.timeout(START_PATIENCE):
                await self.store.open()
                await self.snapshots.poll()
        except (GatewayError, TimeoutError) as error:
            kept = local.read_snapshot(self._directory)
            logger.error("the store is not there (%s); starting from the snapshot on disk", error)
            if kept is not None:
                self.snapshots.restore(kept.deployments, time.time() - self.clock())
                for version in kept.versions:
                    self.versions.add(version)
            self._tasks.append(asyncio.create_task(self._open_later()))

    async def _open_later(self) -> None:
        while True:
            try:
                await self.store.open()
                return
            except GatewayError:
                await asyncio.sleep(1.0)

    @property
    def _directory(self) -> Path:
        return Path(self.settings.data_directory)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            now = self.clock()
            self.edge.sweep(now)
            self.upstream.sweep(now)
            self.budget.sweep(now)
            self.read_overrides()

    def read_overrides(self) -> None:
        try:
            self.snapshots.overrides = local.read_overrides(self._directory)
        except ConfigError as error:
            logger.error("overrides are left as they were: %s", error.message)

    async def drain(self, limit: float) -> None:
        """Stop accepting, finish what is in flight."""
        if self._server is not None:
            self._server.close()
        self.edge.drain()
        deadline = self.clock() + limit
        while self.edge.connections and self.clock() < deadline:
            await asyncio.sleep(DRAIN_STEP)
        self.edge.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.upstream.close()
        await self.store.close()


def tls_context(settings: Settings) -> ssl.SSLContext:
    upstream = settings.upstream
    try:
        context = ssl.create_default_context(cafile=upstream.ca_file)
    except OSError as error:
        raise ConfigError(f"upstream.ca_file: {upstream.ca_file}: {error}") from error
    if not upstream.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def build_worker(settings: Settings, store: Store, *, slot: int, random: Callable[[], float]) -> Worker:
    return Worker(settings, store, slot=slot, random=random)
