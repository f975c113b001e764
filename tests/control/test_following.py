"""Deployments by the change feed: none is missed, whatever fails meanwhile."""

import itertools
from collections.abc import Sequence

import pytest

from gateway.control import following
from gateway.control.following import Deployments
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.errors import StoreUnavailable
from gateway.storage.base import Feed, Tick
from gateway.storage.sqlite import SqliteStore
from tests.support.prompts import prompt_text

NAMES = ("a", "b", "c")


@pytest.fixture
async def pushed(operations: StoreOperations) -> StoreOperations:
    for name in NAMES:
        await operations.push(prompt_text(name).replace("support-agent", name), "file", By("ann"))
        await operations.deploy(name, 1, By("ann"))
    return operations


@pytest.mark.usefixtures("pushed")
async def test_a_page_that_fails_is_read_again_with_those_before_it(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PAGE", 1)
    pages, changes = itertools.count(1), store.changes

    async def failing(since: int, *, prefixes: Sequence[str], limit: int) -> Feed:
        if next(pages) == 3:
            raise StoreUnavailable("gone for a moment")
        return await changes(since, prefixes=prefixes, limit=limit)

    monkeypatch.setattr(store, "changes", failing)
    deployments = Deployments(store)
    tick = await store.tick()
    with pytest.raises(StoreUnavailable):
        await deployments.changed(tick)
    assert [each.prompt for each in await deployments.changed(tick)] == list(NAMES)
    assert await deployments.changed(tick) == []


async def test_what_has_changed_since_and_all_where_commits_were_lost(
    store: SqliteStore, pushed: StoreOperations
) -> None:
    deployments = Deployments(store)
    await deployments.changed(await store.tick())
    await pushed.deploy("b", 1, By("ann", "again"), emergency=True, expires_in=None)
    await pushed.push(prompt_text("more").replace("support-agent", "b"), "file", By("ann"))
    await pushed.deploy("b", 2, By("ann", "again"), emergency=True)
    tick = await store.tick()
    assert [(each.prompt, each.live) for each in await deployments.changed(tick)] == [("b", 2)]
    earlier = Tick(tick.revision - 1, tick.now)
    assert {each.prompt for each in await deployments.changed(earlier)} >= {"a", "c"}
