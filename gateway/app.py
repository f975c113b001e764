"""Composition: what each kind of process is made of, but workers (`gateway.dataplane`) and the judge
(`gateway.judge`). How one is started is told in `gateway.process`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from aiohttp import web

from gateway.control.access import Access
from gateway.control.administration import own_of
from gateway.control.controller import Controller
from gateway.control.duties import every_turn, run_duties
from gateway.control.emergency import Emergencies
from gateway.control.gauges import decided, running, stored
from gateway.control.registry import Registry
from gateway.control.retention import Keep
from gateway.control.seed import seed
from gateway.control.tracing import verdicts
from gateway.errors import ConfigError, GatewayError, PromptError
from gateway.process import Process, main, tell
from gateway.settings import Admin, Settings, policies_of
from gateway.simulator.server import read_scenario, start_simulator
from gateway.storage import local
from gateway.storage.base import Store
from gateway.storage.create import store_of
from gateway.telemetry.delivery import resource
from gateway.telemetry.measured import measured
from gateway.telemetry.metrics import Sample
from gateway.telemetry.tracer import exporting
from gateway.web.admin import Entrance, build_admin, build_health
from gateway.web.metrics import Metrics, metrics_route
from gateway.web.refusals import Budget

logger = logging.getLogger("gateway.app")  # it runs as __main__

OPEN_AGAIN = 1.0  # s between looks at a store that is not there
CHANGE_LIMIT = 0.5  # s in which a change reaches every worker
ADMIN_GRACE = 3.0  # s that admin requests in flight have at the end


async def run_services(process: Process) -> None:
    """Admin API; seeds the prompts of the configuration once the store answers."""
    store = store_of(process.settings, patient=True)
    await process.informed.wait()
    seeding = asyncio.create_task(_seed_when_up(process, store))
    stopped = asyncio.create_task(process.stop.wait())
    entrance = process.settings.admin
    admin = build_admin(
        store,
        _readiness(process, store),
        policies_of(process.settings),
        process.settings.evidence.changes(),
        Entrance(
            loopback=entrance.is_loopback,
            bootstrap=entrance.bootstrap_token,
            refusals=Budget(entrance.refusals_per_minute, entrance.refusals_per_day),
            streams=entrance.event_streams,
        ),
        own_of(process.settings, process.settings.signing_keys),
    )
    metrics = _metrics(process, store)
    admin.add_routes([metrics_route(metrics)])
    async with _site(admin, process.sock), _exported(process, metrics):
        await asyncio.wait((seeding, stopped), return_when=asyncio.FIRST_COMPLETED)
        if seeding.done():
            seeding.result()
            await run_duties(store, process.settings.alerts, process.metrics, process.stop)
        await stopped
        seeding.cancel()
    await store.close()


async def run_controller(process: Process) -> None:
    """Folds, decides, acts; ready though the store is down, because requests are served without it, but not
    before it is known whether the store can be used at all."""
    store = store_of(process.settings)
    await with_store(process, store, lambda: _control(process, store))


async def _control(process: Process, store: Store) -> None:
    controller = build_controller(process.settings, store)
    async with exporting(process.settings, random.SystemRandom()) as tracer:
        controller.on_recorded = verdicts(tracer)

        def news() -> dict[str, list[Sample]]:
            counts, gauges = decided(controller), running(controller)
            return {"counts": counts + tracer.counted(), "gauges": gauges + tracer.standing()}

        telling = asyncio.create_task(tell(process, news))
        await controller.run(process.stop)
        telling.cancel()


async def with_store(process: Process, store: Store, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` once the store answers, unless it is time to stop before. Ready as soon as it is known that
    the store can be used at all."""
    opening = asyncio.create_task(_open_when_up(process, store, process.ready))
    stopped = asyncio.create_task(process.stop.wait())
    await asyncio.wait((opening, stopped), return_when=asyncio.FIRST_COMPLETED)
    if opening.done():
        opening.result()
        process.ready()
        await work()
    opening.cancel()
    stopped.cancel()
    await store.close()


def build_controller(settings: Settings, store: Store) -> Controller:
    evidence = settings.evidence
    keep = Keep(evidence.keep_seconds, evidence.keep_bytes)
    return Controller(store, owner=owner(), cap=evidence.measured_per_second, keep=keep)


def owner() -> str:
    """Names this start of this process in leases, claims and logs."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"


async def run_health(process: Process) -> None:
    """What a machine that only has workers answers on the admin port: whether it can take requests."""
    store = store_of(process.settings)
    await process.informed.wait()
    opening = asyncio.create_task(_open_when_up(process, store))
    readiness = _readiness(process, store)
    health = build_health(readiness)
    metrics = _metrics(process, store)
    health.add_routes([metrics_route(metrics)])
    async with _site(health, process.sock), _exported(process, metrics):
        process.ready()
        watching = asyncio.create_task(_watch_emergencies(process, store, opening))
        stopped = asyncio.create_task(process.stop.wait())
        await asyncio.wait((watching, stopped), return_when=asyncio.FIRST_COMPLETED)
        opening.cancel()
        if watching.done():
            watching.result()
        watching.cancel()
    await store.close()


async def _watch_emergencies(process: Process, store: Store, opening: asyncio.Task[None]) -> None:
    """Where there are workers, there are counts of them; elsewhere it is among the duties."""
    await opening
    await every_turn("emergency deploys", Emergencies(store, process.metrics).turn, process.stop)


@contextlib.asynccontextmanager
async def _site(app: web.Application, sock: socket.socket) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=ADMIN_GRACE)
    await runner.setup()
    try:
        await web.SockSite(runner, sock).start()
        yield
    finally:
        await runner.cleanup()


async def _open_when_up(process: Process, store: Store, waits: Callable[[], None] | None = None) -> None:
    """`waits` is called if the store is down at first. Raises `ConfigError` if the store is there but cannot
    be used."""
    said = False
    while True:
        try:
            await store.open()
            break
        except ConfigError:
            raise
        except GatewayError as error:
            if not said:
                logger.error("waiting for the store: %s", error.message)
                if waits is not None:
                    waits()
            said = process.store_is_down = True
        await asyncio.sleep(OPEN_AGAIN)
    if said:
        logger.info("the store answers")


async def _seed_when_up(process: Process, store: Store) -> None:
    """Raises `ConfigError` for a store or prompt files that cannot be used."""
    await _open_when_up(process, store)
    await _check_entrance(process.settings.admin, store)
    settings = process.settings.seed
    while settings is not None:
        try:
            before = await store.tick()
            await seed(Registry(store), settings)
            if (await store.tick()).revision != before.revision:
                await asyncio.sleep(CHANGE_LIMIT)
            break
        except (ConfigError, PromptError) as error:
            raise ConfigError(f"seed: {error.message}") from error
        except GatewayError as error:
            logger.error("the prompts of the configuration wait: %s", error.message)
        await asyncio.sleep(OPEN_AGAIN)
    process.ready()


async def _check_entrance(admin: Admin, store: Store) -> None:
    """Says how the admin API can be reached. Raises `ConfigError` where everybody could reach it."""
    while True:
        try:
            is_open = await Access(store, admin.bootstrap_token).is_open()
            break
        except GatewayError as error:
            logger.error("whether there are tokens is not known yet: %s", error.message)
        await asyncio.sleep(OPEN_AGAIN)
    if not is_open:
        logger.info("the admin API asks for a token")
    elif admin.is_loopback:
        logger.info("the admin API has no tokens: it answers this machine only, and everybody on it")
    else:
        raise ConfigError(
            f"admin.host: {admin.host} can be reached from other machines, and there is no token: make one "
            "with `prompt-canary token create`, or set admin.bootstrap_token"
        )


def _readiness(process: Process, store: Store) -> Callable[[], Awaitable[dict[str, object]]]:
    """Ready to take requests: every worker is, and the configuration's prompts are there. Workers serve on
    while the store is down, so it does not count, except on a machine that has none."""

    async def readiness() -> dict[str, object]:
        try:
            tick = await store.tick()
            health: dict[str, object] = {"ready": True, "revision": tick.revision}
        except GatewayError as error:
            health = {"ready": False, "error": error.message}
        children = process.status.get("children")
        stopping = bool(process.status.get("stopping"))
        serving = children is not None and all(child["ready"] for child in children.values())
        has_workers = any(name.startswith("worker-") for name in children or ())
        if not process.status.get("seeded"):
            serving = serving and process.store_is_down and has_workers
        elif not has_workers:
            serving = serving and health["ready"] is True
        return {
            "ready": serving and not stopping,
            "stopping": stopping,
            "children": children,
            "store": health,
            "overrides": local.shown_overrides(Path(process.settings.data_directory)),
        }

    return readiness


def _metrics(process: Process, store: Store) -> Metrics:
    """What /metrics answers: what the supervisor knows, and whether the store answers here."""

    async def metrics() -> list[Sample]:
        found = await process.metrics()
        return [*found, *await stored(store)]

    return metrics


def _exported(process: Process, metrics: Metrics) -> contextlib.AbstractAsyncContextManager[None]:
    """The supervisor's counts, which outlive this process, to a collector if there is one."""
    settings = process.settings.metrics
    return measured(settings, metrics, lambda: process.since, resource(settings, os.getppid()))


async def run_simulator(process: Process) -> None:
    settings = process.settings.simulator
    assert settings is not None
    scenario = read_scenario(settings.scenario) if settings.scenario else None
    simulator = await start_simulator(scenario, sock=process.sock)
    process.ready()
    await process.stop.wait()
    await simulator.close()


ROLES: dict[str, Callable[[Process], Awaitable[None]]] = {
    "services": run_services,
    "controller": run_controller,
    "health": run_health,
    "simulator": run_simulator,
}


if __name__ == "__main__":
    main(sys.argv[1:], ROLES)
