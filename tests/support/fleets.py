"""Fixtures of all tests, on both stores: a test opens as many stores of its `fleet` as it needs."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

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


def redis_fleet(server: RedisServer) -> Fleet:
    """Its data is nobody else's."""
    return Fleet("redis", server.url, f"test{next(_prefixes)}", server)


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Fleet]:
    if request.param == "redis":
        fleet = redis_fleet(request.getfixturevalue("redis_server"))
    else:
        fleet = Fleet("sqlite", str(tmp_path / "store"), "", None)
    yield fleet
    await fleet.close()
