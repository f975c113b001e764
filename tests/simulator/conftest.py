"""A simulated provider on a free port, closed at the test's end; on uvloop, as it is served."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

from gateway.simulator import Simulator, load_scenario, start_simulator

Start = Callable[..., Awaitable[Simulator]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """`await start(yaml, **options)` runs a simulator without waits, changed by the YAML text."""
    running: list[Simulator] = []

    async def make(text: str = "default: {first_token_ms: 0, gap_ms: 0}", **options: Any) -> Simulator:
        simulator = await start_simulator(load_scenario(text), **options)
        running.append(simulator)
        return simulator

    yield make
    for simulator in running:
        await simulator.close()
