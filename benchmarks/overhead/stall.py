"""How long a change keeps a worker's loop, with many prompts: the worker runs here, its loop is watched."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from pathlib import Path
from random import Random

from benchmarks.overhead import populate
from benchmarks.overhead.own import PROMPT
from gateway.control.plan import By
from gateway.control.registry import Registry
from gateway.promptfiles import prompty
from gateway.proxy.snapshots import POLL_INTERVAL
from gateway.proxy.worker import Worker, build_worker
from gateway.settings import load_settings
from gateway.storage.sqlite import SqliteStore

LISTEN = 4 * POLL_INTERVAL  # s after a change in which it arrives, and is written to disk
CONFIG = """\
store: {{kind: sqlite, directory: {folder}}}
data_directory: {folder}
upstream: {{base_url: "http://127.0.0.1:9/v1"}}
"""


class Watch:
    """Asks to be called again at once, and keeps the longest time that it took, s."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.going = True
        self._last = time.monotonic()
        self._tick()

    def _tick(self) -> None:
        now = time.monotonic()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        if self.going:
            asyncio.get_running_loop().call_soon(self._tick)

    def reset(self) -> None:
        self.longest, self._last = 0.0, time.monotonic()


async def stalls(prompts: int, changes: int) -> tuple[list[float], list[float]]:
    """The longest stalls, ms: in spans without a change, and in as many with one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await asyncio.to_thread(populate.fill, folder, "prompts", prompts)
        settings = load_settings(CONFIG.format(folder=folder), source="the benchmark", environment={})
        settings = settings.model_copy(update={"signing_keys": ("k" * 32,)})
        worker = build_worker(settings, SqliteStore(folder), slot=0, random=Random(1).random)
        await worker.store.open()
        try:
            return await _listen(worker, folder, changes)
        finally:
            await worker.close()


async def _listen(worker: Worker, folder: Path, changes: int) -> tuple[list[float], list[float]]:
    other = SqliteStore(folder)
    await other.open()
    await worker.snapshots.poll()
    following = asyncio.create_task(worker.snapshots.run())
    await asyncio.sleep(LISTEN)
    gc.collect()
    gc.freeze()  # as a worker does once it has begun
    registry, watch = Registry(other), Watch()
    quiet: list[float] = []
    changed: list[float] = []
    try:
        for number in range(changes):
            watch.reset()
            await asyncio.sleep(LISTEN)
            quiet.append(watch.longest * 1000)
            text = PROMPT.format(name=populate.prompt_name(0), edition=f"change {number}")
            watch.reset()
            await registry.push(prompty.parse(text, source="benchmark"), By("benchmark", "benchmark"))
            await asyncio.sleep(LISTEN)
            changed.append(watch.longest * 1000)
    finally:
        watch.going = False
        gc.unfreeze()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await other.close()
    return quiet, changed
