"""Keys: set-if-absent with one winner, times to live, touch."""

import asyncio

from gateway.storage.base import Store
from tests.support.stores import Fleet, until

SHORT = 0.1  # seconds


async def gone(store: Store, key: str) -> None:
    async def is_gone() -> bool:
        return await store.get_key(key) is None

    await until(is_gone)


async def test_the_first_value_stands(store: Store) -> None:
    assert await store.get_key("pin") is None
    assert await store.set_if_absent("pin", b"canary", 60) == b"canary"
    assert await store.set_if_absent("pin", b"stable", 60) == b"canary"
    assert await store.get_key("pin") == b"canary"


async def test_fifty_racers_over_two_stores_agree_on_one_winner(fleet: Fleet) -> None:
    stores = [await fleet.store(), await fleet.store()]
    for turn in range(5):
        racers = [stores[i % 2].set_if_absent(f"pin/{turn}", b"%d" % i, 60) for i in range(50)]
        winners = set(await asyncio.gather(*racers))
        assert len(winners) == 1
        assert await stores[0].get_key(f"pin/{turn}") == winners.pop()


async def test_a_deleted_key_is_free_again(store: Store) -> None:
    await store.set_if_absent("pin", b"1", 60)
    await store.delete_key("pin")
    await store.delete_key("never")
    assert await store.get_key("pin") is None
    assert await store.set_if_absent("pin", b"2", 60) == b"2"


async def test_an_expired_key_is_invisible_and_free_again(store: Store) -> None:
    await store.set_if_absent("pin", b"1", SHORT)
    assert await store.set_if_absent("pin", b"2", 60) == b"1"
    await gone(store, "pin")
    assert await store.set_if_absent("pin", b"2", 60) == b"2"


async def test_touch_gives_a_new_time_to_live(store: Store) -> None:
    for key in ("touched", "left"):
        await store.set_if_absent(key, b"", 3 * SHORT)
    await store.touch([("touched", 60.0), ("unknown", 60.0)])
    await store.touch([])
    await gone(store, "left")
    assert await store.get_key("touched") == b""
    assert await store.get_key("unknown") is None
    await store.touch([("touched", SHORT)])
    await gone(store, "touched")


async def test_touch_does_not_bring_back_what_has_expired(store: Store) -> None:
    await store.set_if_absent("pin", b"", SHORT)
    await gone(store, "pin")
    await store.touch([("pin", 60.0)])
    assert await store.get_key("pin") is None


async def test_many_at_once_each_stand_for_themselves(fleet: Fleet) -> None:
    store = await fleet.store()
    await store.set_if_absent("k3", b"earlier", 60)
    items = [(f"k{number}", b"%d" % number, 60.0) for number in range(150)]
    winners = await store.set_all_if_absent([*items, ("k5", b"twice", 60.0)])
    expected = [value for _, value, _ in items]
    expected[3] = b"earlier"
    assert winners == (*expected, b"5")
    assert await store.get_key("k149") == b"149"
    assert await store.set_all_if_absent([]) == ()
