"""One suite, both stores."""

import pytest

from gateway.storage.base import Store
from tests.support.stores import Fleet


@pytest.fixture
async def store(fleet: Fleet) -> Store:
    return await fleet.store()
