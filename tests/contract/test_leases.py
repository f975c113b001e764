"""Leases: one holder at a time, tokens that only rise; and the store's clock."""

import asyncio
import time

from gateway.storage.base import Lease, Store
from tests.support.stores import Fleet, until

SHORT = 0.1  # seconds


async def test_the_holder_renews_and_keeps_its_token(store: Store) -> None:
    now = (await store.tick()).now
    first = await store.acquire("controller", "one", ttl=30)
    assert first is not None
    assert 29 < first.expires - now < 60
    assert await store.acquire("controller", "two", ttl=30) is None
    again = await store.acquire("controller", "one", ttl=60)
    assert again is not None
    assert again.token == first.token
    assert again.expires > first.expires + 29
    assert await store.acquire("another", "two", ttl=30) is not None


async def test_a_released_lease_is_free_at_once_for_a_larger_token(store: Store) -> None:
    first = await store.acquire("controller", "one", ttl=60)
    await store.release("controller", "two")
    assert await store.acquire("controller", "two", ttl=60) is None
    await store.release("controller", "one")
    await store.release("unknown", "one")
    second = await store.acquire("controller", "two", ttl=60)
    assert first is not None and second is not None
    assert second.token > first.token


async def test_a_lease_that_ran_out_goes_to_another_and_is_then_lost(store: Store) -> None:
    first = await store.acquire("controller", "one", ttl=SHORT)
    second = await until(lambda: store.acquire("controller", "two", ttl=60))
    assert first is not None and second is not None
    assert second.token > first.token
    assert (await store.tick()).now >= first.expires
    assert await store.acquire("controller", "one", ttl=60) is None


async def test_tokens_rise_whoever_wins(fleet: Fleet) -> None:
    stores = [await fleet.store(), await fleet.store()]
    tokens = []
    for _ in range(10):
        tries = [stores[i % 2].acquire("controller", f"o{i}", ttl=60) for i in range(10)]
        answers: list[Lease | None] = await asyncio.gather(*tries)
        (winner,) = [i for i, lease in enumerate(answers) if lease is not None]
        lease = answers[winner]
        assert lease is not None
        tokens.append(lease.token)
        await stores[0].release("controller", f"o{winner}")
    assert tokens == sorted(set(tokens))


async def test_the_clock_is_the_stores_and_goes_on(store: Store) -> None:
    first = await store.tick()
    assert first.revision == 0
    assert abs(first.now - time.time()) < 60  # the server is on this machine
    while (second := await store.tick()).now == first.now:
        pass
    assert second.now > first.now
