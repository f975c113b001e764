"""Gateways as processes: one shared by tests that only ask, own ones for tests that break things."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, make_gateway, running
from tests.support.redis_server import RedisServer, need_redis_server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Two workers, SQLite, the simulated provider; `greeter` version 1 is live and the default."""
    with running(make_gateway(tmp_path_factory.mktemp("gateway"))) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """appendonly, appendfsync always; nobody else's."""
    need_redis_server()
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()
