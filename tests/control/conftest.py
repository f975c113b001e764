from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.control.operations import StoreOperations
from gateway.storage.sqlite import SqliteStore
from tests.support.stores import PATIENT


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "store", limits=PATIENT)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def operations(store: SqliteStore) -> StoreOperations:
    return StoreOperations(store)
