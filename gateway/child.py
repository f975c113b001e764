"""One child process of the supervisor: started, told, stopped, and started again when it ends unasked.

A child reads its settings from the first line of its standard input, status lines after it, and takes the
end of that stream for the death of the supervisor. It reports on a pipe, one JSON line each:
`{"ready": true}` once it serves, or `{"refused": why}` if its configuration cannot work; a worker also
`{"upstreams": {name: state}}` when an upstream's breaker changes. Workers and controller tell what they
count, `{"counts": [sample…], "gauges": [sample…]}` (`telemetry.metrics`); who answers /metrics asks for the
sum of it all, `{"asks": "metrics"}`, and is told it as a status line.

It leads a session of its own, so that Ctrl-C in a terminal reaches the supervisor alone, which drains.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

import orjson

from gateway.settings import Settings
from gateway.telemetry.metrics import Sample

logger = logging.getLogger(__name__)

RESTART_FIRST, RESTART_MOST = 0.2, 10.0  # s, doubling
STABLE_AFTER = 30.0  # s of life after which the backoff starts anew
KILL_GRACE = 5.0  # s beyond the drain limit
ENTRY = "gateway.app"
# Each loads only what it needs: no worker the control plane, only the judge the OpenAI SDK.
ENTRIES = {"worker": "gateway.dataplane", "judge": "gateway.judge"}
HURRY_GRACE = 2.0  # s after being told twice
LONGEST_REPORT = 16 * 1024 * 1024  # bytes


class Child:
    """A slot's process. `changed` is called whenever `ready`, `restarts`, `refusal` or `pid` may be new."""

    def __init__(
        self,
        role: str,
        slot: int,
        sock: socket.socket | None,
        settings: Settings,
        changed: Callable[[], None],
    ) -> None:
        self.name = f"{role}-{slot}" if role == "worker" else role
        self.role = role
        self.ready = False  # now
        self.been_ready = False
        self.restarts = 0
        self.upstreams: dict[str, str] = {}  # a worker's: state of each breaker
        self.gauges: list[Sample] = []  # as they were told last
        self.counted: Callable[[list[Sample]], None] = nothing  # what was counted since the last time
        self.asked: Callable[[Child], None] = nothing  # the child wants to know the metrics
        self.refusal: str | None = None  # why its configuration cannot work; it is not started again
        self._slot = slot
        self._sock = sock
        self._settings = settings
        self._changed = changed
        self._process: Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def failed(self) -> bool:
        """It has ended without ever having been ready."""
        return not self.been_ready and (self.restarts > 0 or self.refusal is not None)

    async def run(self) -> None:
        """Keep the process alive until `stop`, then until it has ended."""
        loop = asyncio.get_running_loop()
        backoff = RESTART_FIRST
        while True:
            started = loop.time()
            how = await self._live()
            self._process, self.ready, self.upstreams, self.gauges = None, False, {}, []
            if self._stopping.is_set() or self.refusal is not None:
                self._changed()
                return
            if loop.time() - started > STABLE_AFTER:
                backoff = RESTART_FIRST
            self.restarts += 1
            self.counted([("process_restarts_total", [self.role], [1])])
            logger.error("%s %s; starting it again in %.1f s", self.name, how, backoff)
            self._changed()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff)
                return
            backoff = min(2 * backoff, RESTART_MOST)

    def stop(self) -> None:
        """SIGTERM: workers may drain, the others end now."""
        self._stopping.set()

    def hurry(self) -> None:
        """SIGTERM again: what is in flight is cut."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        asyncio.get_running_loop().call_later(HURRY_GRACE, _kill, process)

    def tell(self, message: object) -> None:
        """One JSON line on the child's standard input."""
        process = self._process
        if process is not None and process.stdin is not None and process.returncode is None:
            process.stdin.write(orjson.dumps(message) + b"\n")

    # --- one life

    async def _live(self) -> str:
        """From start to end; says how it ended."""
        read_end, write_end = os.pipe()
        try:
            process = self._process = await self._start(write_end)
        except OSError as error:
            os.close(read_end)
            return f"could not be started ({error.strerror})"
        finally:
            os.close(write_end)
        self.tell(self._settings.model_dump(mode="json"))
        self._changed()
        reports = asyncio.create_task(self._read_reports(read_end))
        await self._until_end(process)
        await reports
        code = process.returncode
        return (
            f"was ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with code {code}"
        )

    async def _start(self, reports: int) -> Process:
        listener = -1 if self._sock is None else self._sock.fileno()
        arguments = (self.role, str(self._slot), str(listener), str(reports))
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", ENTRIES.get(self.role, ENTRY), *arguments),
            stdin=PIPE,
            pass_fds=(reports,) if self._sock is None else (listener, reports),
            start_new_session=True,
        )

    async def _until_end(self, process: Process) -> None:
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            grace = KILL_GRACE + (self._settings.timeouts.drain if self.role == "worker" else 0.0)
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await asyncio.wait((ended,), timeout=grace)
            if not ended.done():
                logger.error("%s did not end within %.0f s and is killed", self.name, grace)
                _kill(process)
        await ended
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it was told something too late; before 3.12 asyncio logs that
            await process.stdin.wait_closed()

    async def _read_reports(self, read_end: int) -> None:
        reader = asyncio.StreamReader(limit=LONGEST_REPORT)
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(read_end, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        async for line in reader:
            if not line.endswith(b"\n"):  # its writer was killed
                break
            report = orjson.loads(line)
            if "counts" in report:
                self.gauges = report["gauges"]
                self.counted(report["counts"])
                continue
            if "asks" in report:
                self.asked(self)
                continue
            if "upstreams" in report:
                self.upstreams = report["upstreams"]
            elif report.get("ready"):
                self.ready = self.been_ready = True
            elif not self.been_ready:
                self.refusal = report["refused"]
            else:
                logger.error("%s: %s", self.name, report["refused"])
            self._changed()
        transport.close()


def nothing(*_: object) -> None:
    """Nobody wants to know."""


def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
