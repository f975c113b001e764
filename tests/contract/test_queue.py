"""The queue: claim, acknowledge, claim again after a lease ran out, dead letters, known ids."""

import asyncio

from gateway.storage.base import Claim, Store
from tests.support.stores import Fleet, until

SHORT = 0.1  # seconds


async def claim_one(store: Store, owner: str, lease: float = 60) -> Claim:
    (claim,) = await until(lambda: store.claim("q", owner, limit=1, lease=lease))
    return claim


async def test_items_come_oldest_first_and_only_once(store: Store) -> None:
    for id in ("c", "a", "b"):
        assert await store.enqueue("q", id, id.encode())
    assert await store.claim("q", "one", limit=2, lease=60) == (Claim("c", b"c", 1), Claim("a", b"a", 1))
    assert await store.claim("q", "two", limit=2, lease=60) == (Claim("b", b"b", 1),)
    assert await store.claim("q", "two", limit=2, lease=60) == ()
    assert await store.claim("another", "two", limit=2, lease=60) == ()
    assert await store.depth("q") == (0, 3, 0)


async def test_an_id_is_taken_once_also_after_it_is_done(store: Store) -> None:
    assert await store.enqueue("q", "a", b"1")
    assert not await store.enqueue("q", "a", b"2")
    assert await store.enqueue("another", "a", b"3")
    assert (await claim_one(store, "one")).value == b"1"
    assert not await store.enqueue("q", "a", b"2")
    assert await store.acknowledge("q", "one", "a")
    assert not await store.enqueue("q", "a", b"2")
    assert await store.depth("q") == (0, 0, 0)


async def test_only_the_owner_of_a_claim_ends_it_and_once(store: Store) -> None:
    await store.enqueue("q", "a", b"")
    assert not await store.acknowledge("q", "one", "a")
    await claim_one(store, "one")
    assert not await store.acknowledge("q", "two", "a")
    assert not await store.bury("q", "two", "a", "not mine")
    assert not await store.acknowledge("q", "one", "unknown")
    assert await store.acknowledge("q", "one", "a")
    assert not await store.acknowledge("q", "one", "a")
    assert not await store.bury("q", "one", "a", "too late")


async def test_a_claim_whose_lease_ran_out_goes_to_another(store: Store) -> None:
    await store.enqueue("q", "lost", b"v")
    await claim_one(store, "dead", lease=SHORT)
    await store.enqueue("q", "free", b"")
    assert await claim_one(store, "other") == Claim("free", b"", 1)
    assert await claim_one(store, "other") == Claim("lost", b"v", 2)
    assert not await store.acknowledge("q", "dead", "lost")
    assert await store.acknowledge("q", "other", "lost")
    assert await store.depth("q") == (0, 1, 0)


async def test_a_late_acknowledgement_counts_while_nobody_else_has_claimed(store: Store) -> None:
    await store.enqueue("q", "a", b"")
    await claim_one(store, "slow", lease=SHORT)

    async def has_run_out() -> bool:
        return await store.depth("q") == (1, 0, 0)

    await until(has_run_out)
    assert await store.acknowledge("q", "slow", "a")
    assert await store.claim("q", "other", limit=1, lease=60) == ()


async def test_dead_letters_are_counted_and_never_claimed_again(store: Store) -> None:
    await store.enqueue("q", "poison", b"")
    await claim_one(store, "one", lease=SHORT)
    assert await store.bury("q", "one", "poison", "three attempts failed")
    assert await store.depth("q") == (0, 0, 1)
    assert not await store.acknowledge("q", "one", "poison")
    assert not await store.enqueue("q", "poison", b"")
    await asyncio.sleep(SHORT)
    assert await store.claim("q", "one", limit=5, lease=60) == ()


async def test_concurrent_workers_share_the_items_without_overlap(fleet: Fleet) -> None:
    stores = [await fleet.store() for _ in range(3)]
    ids = [f"{i:03d}" for i in range(120)]
    await asyncio.gather(*[stores[i % 3].enqueue("q", id, b"") for i, id in enumerate(ids)])

    async def work(store: Store, owner: str) -> list[str]:
        done = []
        while claims := await store.claim("q", owner, limit=4, lease=60):
            for claim in claims:
                assert await store.acknowledge("q", owner, claim.id)
                done.append(claim.id)
        return done

    done = await asyncio.gather(*[work(store, f"w{i}") for i, store in enumerate(stores)])
    assert sorted(id for part in done for id in part) == ids
    assert await stores[0].depth("q") == (0, 0, 0)


async def test_what_an_item_came_to_is_logged_with_its_acknowledgement_or_not_at_all(store: Store) -> None:
    for id in ("a", "b"):
        await store.enqueue("q", id, b"")
    await claim_one(store, "one")
    await store.append("results", [b"before"])
    assert not await store.acknowledge("q", "two", "a", log="results", values=[b"stolen"])
    assert await store.acknowledge("q", "one", "a", log="results", values=[b"first", b"second"])
    assert not await store.acknowledge("q", "one", "a", log="results", values=[b"again"])
    await store.append("results", [b"after"])
    found = [record.value for record in await store.read("results", after=0)]
    assert found == [b"before", b"first", b"second", b"after"]


async def test_dead_letters_are_listed_and_set_free_again(store: Store) -> None:
    for id in ("a", "b", "c"):
        await store.enqueue("q", id, id.encode())
        await claim_one(store, "one")
        assert await store.bury("q", "one", id, f"{id} is wrong")
    found = await store.letters("q", limit=2)
    assert [(letter.id, letter.reason, letter.attempts) for letter in found] == [
        ("c", "c is wrong", 1),
        ("b", "b is wrong", 1),
    ]
    assert found[0].at >= found[1].at > 0
    assert await store.letters("another", limit=10) == ()
    assert await store.revive("q", "b")
    assert not await store.revive("q", "b")
    assert not await store.revive("q", "unknown")
    assert await store.depth("q") == (1, 0, 2)
    assert await claim_one(store, "two") == Claim("b", b"b", 1)


async def test_a_text_comes_with_its_item_and_goes_when_its_time_is_over(store: Store) -> None:
    assert await store.enqueue("q", "long", b"v", text=b"words", keep=60.0)
    assert await store.enqueue("q", "short", b"v", text=b"words", keep=SHORT)
    assert not await store.enqueue("q", "short", b"v", text=b"others", keep=60.0)
    assert await store.enqueue("q", "none", b"v")
    await asyncio.sleep(2 * SHORT)
    claims = await store.claim("q", "one", limit=3, lease=60)
    assert claims == (Claim("long", b"v", 1, b"words"), Claim("short", b"v", 1), Claim("none", b"v", 1))
    assert await store.forget_texts("q") == 1
    assert await store.forget_texts("q") == 0
    assert await store.acknowledge("q", "one", "short")


async def test_the_texts_of_dead_letters_go_as_well_and_those_of_what_is_done_at_once(store: Store) -> None:
    for id in ("dead", "done"):
        await store.enqueue("q", id, b"v", text=b"words", keep=SHORT)
    await until(lambda: store.claim("q", "one", limit=2, lease=60))
    assert await store.bury("q", "one", "dead", "poison")
    assert await store.acknowledge("q", "one", "done")
    await asyncio.sleep(2 * SHORT)
    assert await store.forget_texts("q") == 1
    assert await store.depth("q") == (0, 0, 1)


async def test_more_texts_than_one_call_deletes(store: Store) -> None:
    await asyncio.gather(*[store.enqueue("q", str(i), b"", text=b"words", keep=0.0) for i in range(1100)])
    assert await store.forget_texts("another") == 0
    assert await store.forget_texts("q") == 1100
