"""What the services process does by itself: alerts go out, emergency deploys are watched and, where they
expire, taken back.

A loop for each, so that a target that is slow to answer holds up nothing else. Any number of machines may run
them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import aiohttp

from gateway.control.alerts.delivery import Deliverer
from gateway.control.alerts.outbox import Outbox
from gateway.control.emergency import Counts, Emergencies
from gateway.control.expiry import Expiries
from gateway.errors import GatewayError
from gateway.settings.alerts import Alerts
from gateway.storage.base import Store

logger = logging.getLogger(__name__)

TURN = 0.5  # s


async def run_duties(store: Store, alerts: Alerts, counts: Counts, stop: asyncio.Event) -> None:
    """Until `stop`. The store is open; `counts` are those of this machine's workers."""
    outbox, expiries = Outbox(store, alerts.targets), Expiries(store)
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        deliverer = Deliverer(store, alerts, http)
        tasks.create_task(every_turn("the outbox", outbox.turn, stop))
        tasks.create_task(every_turn("deliveries", deliverer.turn, stop))
        tasks.create_task(every_turn("expiries", expiries.turn, stop))
        tasks.create_task(every_turn("emergency deploys", Emergencies(store, counts).turn, stop))


async def every_turn(what: str, turn: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """`turn`, again and again; a store that fails is said once, and nothing is given up."""
    failing = False
    while not stop.is_set():
        try:
            await turn()
            failing = False
        except* GatewayError as errors:
            if not failing:
                logger.error("%s: nothing for now: %s", what, errors.exceptions[0])
            failing = True
        try:
            await asyncio.wait_for(stop.wait(), TURN)
        except TimeoutError:
            continue
