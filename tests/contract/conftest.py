"""One suite, both stores. A test asks for `fleet` and opens as many stores of it as it needs."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.storage.base import Store
from tests.support.redis_server import RedisServer, need_redis_server
from tests.support.stores import Fleet

_prefixes = itertools.count()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    need_redis_server()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Fleet]:
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        fleet = Fleet("redis", server.url, f"test{next(_prefixes)}", server)
    else:
        fleet = Fleet("sqlite", str(tmp_path / "store"), "", None)
    yield fleet
    await fleet.close()


@pytest.fixture
async def store(fleet: Fleet) -> Store:
    return await fleet.store()
