"""Composition: what each kind of process is made of. `python -m gateway.app ROLE SLOT LISTENER REPORTS` is
how the supervisor starts one; settings come as the first line of standard input, whose end means that the
supervisor is gone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import socket
import sys
from collections.abc import Awaitable, Callable

import orjson
import uvloop
from aiohttp import web

from gateway.control.registry import Registry
from gateway.control.seed import seed
from gateway.errors import ConfigError, GatewayError
from gateway.proxy.worker import Worker, build_worker
from gateway.settings import Settings, SqliteSettings
from gateway.simulator.server import read_scenario, start_simulator
from gateway.storage.base import Store
from gateway.storage.create import create_store
from gateway.storage.limits import Limits
from gateway.web.admin import build_admin

logger = logging.getLogger(__name__)

CONFIG_EXIT = 2  # the supervisor gives up instead of starting this process again


class Process:
    """A child of the supervisor: its settings, its listening socket, and how it is told to stop."""

    def __init__(self, settings: Settings, slot: int, sock: socket.socket | None, reports: int) -> None:
        self.settings = settings
        self.slot = slot
        self.sock = sock
        self.stop = asyncio.Event()
        self.status: dict[str, object] = {}
        self._reports = reports
        self._lifeline: asyncio.Task[None] | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        self._lifeline = loop.create_task(self._listen())

    def ready(self) -> None:
        os.write(self._reports, orjson.dumps({"ready": True}) + b"\n")

    async def _listen(self) -> None:
        """Status lines of the supervisor; the stream's end is its death."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            self.status = orjson.loads(line)
        logger.error("the supervisor is gone")
        self.stop.set()


def make_store(settings: Settings) -> Store:
    limits = Limits(lookup=settings.sessions.lookup_timeout)
    if isinstance(settings.store, SqliteSettings):
        return create_store("sqlite", settings.store.directory, limits=limits)
    redis = settings.store
    return create_store(
        "redis",
        redis.url,
        prefix=redis.prefix,
        accept_data_loss=redis.accept_data_loss,
        limits=limits,
    )


async def run_worker(process: Process) -> None:
    """Data plane. A store that is down at the start does not keep it from serving baselines."""
    assert process.sock is not None
    worker: Worker = build_worker(
        process.settings, make_store(process.settings), slot=process.slot, random=random.SystemRandom().random
    )
    await worker.start(process.sock)
    gc.collect()
    gc.freeze()
    process.ready()
    await process.stop.wait()
    await worker.drain(process.settings.timeouts.drain)
    await worker.close()


async def run_services(process: Process) -> None:
    """Admin API; seeds the prompts of the configuration once the store answers."""
    settings = process.settings
    store = make_store(settings)
    seeding = asyncio.create_task(_seed_when_up(settings, store, process.ready))
    app = build_admin(store, readiness=_readiness(process, store))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert process.sock is not None
    await web.SockSite(runner, process.sock).start()
    await process.stop.wait()
    seeding.cancel()
    await runner.cleanup()
    await store.close()


async def _seed_when_up(settings: Settings, store: Store, done: Callable[[], None]) -> None:
    while True:
        try:
            await store.open()
            if settings.seed is not None:
                await seed(Registry(store), settings.seed)
            break
        except GatewayError as error:
            logger.error("the store is not ready: %s", error.message)
            await asyncio.sleep(1.0)
    done()


def _readiness(process: Process, store: Store) -> Callable[[], Awaitable[dict[str, object]]]:
    async def readiness() -> dict[str, object]:
        try:
            tick = await store.tick()
            health: dict[str, object] = {"ready": True, "revision": tick.revision}
        except GatewayError as error:
            health = {"ready": False, "error": error.message}
        children = process.status.get("children")  # None until the supervisor has told
        stopping = bool(process.status.get("stopping"))
        serving = isinstance(children, dict) and all(child["ready"] for child in children.values())
        return {
            "ready": serving and not stopping,
            "stopping": stopping,
            "children": children,
            "store": health,
        }

    return readiness


async def run_simulator(process: Process) -> None:
    settings = process.settings.simulator
    assert settings is not None
    scenario = read_scenario(settings.scenario) if settings.scenario else None
    simulator = await start_simulator(scenario, sock=process.sock)
    process.ready()
    await process.stop.wait()
    await simulator.close()


ROLES: dict[str, Callable[[Process], Awaitable[None]]] = {
    "worker": run_worker,
    "services": run_services,
    "simulator": run_simulator,
}


def main(arguments: list[str]) -> None:
    role, slot, listener, reports = arguments[0], *(int(value) for value in arguments[1:4])
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s %(levelname)s {role}-{slot} %(name)s: %(message)s"
    )
    line = sys.stdin.buffer.raw.readline() if hasattr(sys.stdin.buffer, "raw") else b""
    settings = Settings.model_validate_json(line)
    sock = socket.socket(fileno=listener) if listener >= 0 else None

    async def run() -> None:
        process = Process(settings, slot, sock, reports)
        await process.start()
        await ROLES[role](process)

    try:
        uvloop.run(run())
    except ConfigError as error:
        print(error.message, file=sys.stderr)
        sys.exit(CONFIG_EXIT)


if __name__ == "__main__":
    main(sys.argv[1:])
