"""What every child of the supervisor is: its settings, how it is told to stop, and what it tells.

It is started as `python -m MODULE ROLE SLOT LISTENER REPORTS`; settings come as the first line of standard
input, whose end means that the supervisor is gone. The modules are `gateway.app`, `gateway.dataplane` and
`gateway.judge`, so that each loads what it needs.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import uvloop

from gateway.errors import ConfigError, Unavailable
from gateway.settings import Settings
from gateway.telemetry.logs import configure
from gateway.telemetry.metrics import Sample
from gateway.telemetry.reports import Reports

logger = logging.getLogger(__name__)

REFUSED_EXIT = 2
TELL_EVERY = 1.0  # s between what a process tells of its counts
METRICS_PATIENCE = 2.0  # s
LONGEST_LINE = 64 * 1024 * 1024  # bytes that the supervisor tells at once


class Process:
    """A child of the supervisor: its settings, its listening socket if it has one, and how it is told to
    stop."""

    def __init__(self, settings: Settings, slot: int, sock: socket.socket | None, reports: int) -> None:
        self.settings = settings
        self.slot = slot
        self._sock = sock
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()  # told twice: cut what is in flight
        self.status: dict[str, Any] = {}  # as the supervisor told it last
        self.informed = asyncio.Event()
        self.store_is_down = False  # it was, when this process first needed it
        self.reports = Reports(reports)
        self.since = 0  # ns since the epoch: when the supervisor began to count
        self._metrics: asyncio.Future[list[Sample]] | None = None  # asked for
        self._lifeline: asyncio.Task[None] | None = None

    @property
    def sock(self) -> socket.socket:
        assert self._sock is not None
        return self._sock

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        self._lifeline = loop.create_task(self._listen())

    def _signalled(self) -> None:
        if self.stop.is_set():
            self.hurry.set()
        self.stop.set()

    def ready(self) -> None:
        self.reports.tell({"ready": True})

    def tell_upstreams(self, states: dict[str, str]) -> None:
        self.reports.tell({"upstreams": states})

    def refuse(self, why: str) -> None:
        self.reports.tell({"refused": why})

    async def metrics(self) -> list[Sample]:
        """Of all processes, from the supervisor. Raises `Unavailable` if it does not answer."""
        if self._metrics is None:
            self._metrics = asyncio.get_running_loop().create_future()
            self.reports.tell({"asks": "metrics"})
        try:
            async with asyncio.timeout(METRICS_PATIENCE):
                return await asyncio.shield(self._metrics)
        except TimeoutError as error:
            self._metrics = None
            raise Unavailable("the supervisor does not answer") from error

    async def _listen(self) -> None:
        """Status lines of the supervisor; the stream's end is its death."""
        reader = asyncio.StreamReader(limit=LONGEST_LINE)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            told = orjson.loads(line)
            if "metrics" in told:
                self.since = told["since"]
                if self._metrics is not None and not self._metrics.done():
                    self._metrics.set_result(told["metrics"])
                self._metrics = None
                continue
            self.status = told
            self.informed.set()
        logger.error("the supervisor is gone")
        self.stop.set()
        self.informed.set()


async def tell(process: Process, news: Callable[[], dict[str, list[Sample]]]) -> None:
    """What a process counts, once a second; later if the supervisor has not read what was told before."""
    while True:
        await asyncio.sleep(TELL_EVERY)
        try:
            if not process.reports.busy:
                process.reports.tell(news())
        except Exception:  # counts are not worth a process
            logger.exception("counts could not be told")


async def _run(process: Process, work: Callable[[Process], Awaitable[None]]) -> None:
    await process.start()
    try:
        await work(process)
    except ConfigError as error:
        process.refuse(error.message)
        sys.exit(REFUSED_EXIT)


def main(arguments: list[str], roles: Mapping[str, Callable[[Process], Awaitable[None]]]) -> None:
    """`arguments` as the supervisor gives them; of the `roles` the one that they name."""
    role, slot, listener, reports = arguments[0], *(int(value) for value in arguments[1:4])
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stream:
        line = stream.readline()  # unbuffered: what follows is for the loop
    if not line:
        return  # the supervisor died before it said a word
    settings = Settings.model_validate_json(line)
    configure(settings.logs, f"{role}-{slot}")
    sock = socket.socket(fileno=listener) if listener >= 0 else None

    async def run() -> None:
        process = Process(settings, slot, sock, reports)
        try:
            await _run(process, roles[role])
        finally:
            process.reports.close()

    uvloop.run(run())
