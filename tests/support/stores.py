"""Where a test's store is, and how other processes find it."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal, TypeVar

from gateway.storage.base import LATER, Later, Store
from gateway.storage.create import create_store
from gateway.storage.limits import Limits
from tests.support.redis_server import RedisServer

PATIENT = Limits(call=20.0, lookup=20.0)  # the tests' machine may be busy; limits have tests of their own
ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


async def until(check: Callable[[], Awaitable[T]]) -> T:
    """Ask until the answer is truthy. For time that passes in a store, where no event can be awaited."""
    while not (answer := await check()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return answer


class NeverAtOnce:
    """A store that can be asked only by awaiting, as one on the network."""

    def get_at_once(self, key: str) -> Later:
        return LATER

    def set_all_at_once(self, items: Sequence[tuple[str, bytes, float]]) -> Later:
        return LATER


def never_at_once(store: Store) -> Store:
    """`store`, which from now on answers nothing at once."""
    remote = NeverAtOnce()
    store.get_at_once = remote.get_at_once  # type: ignore[method-assign]
    store.set_all_at_once = remote.set_all_at_once  # type: ignore[method-assign]
    return store


class Fleet:
    """Where one test's data is, and how another process finds it."""

    def __init__(
        self, kind: Literal["sqlite", "redis"], location: str, prefix: str, server: RedisServer | None
    ) -> None:
        self.kind = kind
        self.location = location
        self.prefix = prefix
        self.server = server
        self._stores = AsyncExitStack()

    async def store(self, limits: Limits = PATIENT) -> Store:
        store = create_store(self.kind, self.location, prefix=self.prefix, limits=limits)
        await store.open()
        self._stores.push_async_callback(store.close)
        return store

    async def close(self) -> None:
        await self._stores.aclose()

    async def process(self, script: Path, *arguments: str) -> Process:
        """Run `script` with the fleet's kind, location and prefix before its own arguments."""
        command = [str(script), self.kind, self.location, self.prefix, *arguments]
        return await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=PIPE, stdout=PIPE, cwd=ROOT
        )
