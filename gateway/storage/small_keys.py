"""The table of small keys as the store has it: one view for the event loop, one for a thread that waits."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from gateway.errors import StoreUnavailable
from gateway.storage.key_table import SOME, KeyTable

T = TypeVar("T")


class SmallKeys:
    """`near` answers at once or not at all. `patience`, s, is how long `run` waits for another's lock."""

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path
        self.near = KeyTable(path, patience)
        self._far = KeyTable(path, patience)
        self._thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Raises `ConfigError` if the file cannot be used."""
        await asyncio.to_thread(self._open)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="small-keys")

    def _open(self) -> None:
        self.near.open()
        self._far.open()

    async def close(self) -> None:
        """Waits for what is under way."""
        self.near.close()  # who comes now is told at once
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.shutdown)
        self._far.close()

    async def touch(self, items: Sequence[tuple[str, float]], now: float) -> None:
        """Some at a time on the event loop: a thread would wait for it while it holds the lock."""
        for start in range(0, len(items), SOME):
            some = items[start : start + SOME]
            if not self.near.touch_at_once(some, now):
                await self.run(partial(KeyTable.touch, items=some, now=now))
            await asyncio.sleep(0)

    async def run(self, job: Callable[[KeyTable], T]) -> T:
        """In the thread. Raises OSError where the table fails."""
        if self._thread is None:
            raise StoreUnavailable(f"the store {self._path} is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, job, self._far)
