"""One suite, both stores."""

import pytest

from gateway.storage.base import Store
from tests.support.fleets import fleet, redis_server  # noqa: F401
from tests.support.stores import Fleet


@pytest.fixture
async def store(fleet: Fleet) -> Store:  # noqa: F811
    return await fleet.store()
