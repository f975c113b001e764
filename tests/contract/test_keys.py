"""Keys: set-if-absent with one winner, times to live, touch."""

import asyncio

import pytest

from gateway.storage import keys
from gateway.storage.base import LATER, Later, Store
from tests.support.stores import Fleet, until

SHORT = 0.1  # seconds


@pytest.fixture(params=["once/", *keys.SMALL])
def kind(request: pytest.FixtureRequest) -> str:
    """What a key begins with."""
    return str(request.param)


async def gone(store: Store, key: str) -> None:
    async def is_gone() -> bool:
        return await store.get_key(key) is None

    await until(is_gone)


async def test_the_first_value_stands(store: Store, kind: str) -> None:
    assert await store.get_key(f"{kind}a") is None
    assert await store.set_if_absent(f"{kind}a", b"canary", 60) == b"canary"
    assert await store.set_if_absent(f"{kind}a", b"stable", 60) == b"canary"
    assert await store.get_key(f"{kind}a") == b"canary"


async def test_fifty_racers_over_two_stores_agree_on_one_winner(fleet: Fleet, kind: str) -> None:
    stores = [await fleet.store(), await fleet.store()]
    for turn in range(5):
        racers = [stores[i % 2].set_if_absent(f"{kind}{turn}", b"%d" % i, 60) for i in range(50)]
        winners = set(await asyncio.gather(*racers))
        assert len(winners) == 1
        assert await stores[0].get_key(f"{kind}{turn}") == winners.pop()


async def test_a_deleted_key_is_free_again(store: Store, kind: str) -> None:
    await store.set_if_absent(f"{kind}a", b"1", 60)
    await store.delete_key(f"{kind}a")
    await store.delete_key(f"{kind}never")
    assert await store.get_key(f"{kind}a") is None
    assert await store.set_if_absent(f"{kind}a", b"2", 60) == b"2"


async def test_an_expired_key_is_invisible_and_free_again(store: Store, kind: str) -> None:
    await store.set_if_absent(f"{kind}a", b"1", SHORT)
    assert await store.set_if_absent(f"{kind}a", b"2", 60) == b"1"
    await gone(store, f"{kind}a")
    assert await store.set_if_absent(f"{kind}a", b"2", 60) == b"2"


async def test_touch_gives_a_new_time_to_live(store: Store, kind: str) -> None:
    for key in (f"{kind}touched", f"{kind}left"):
        await store.set_if_absent(key, b"", 3 * SHORT)
    await store.touch([(f"{kind}touched", 60.0), (f"{kind}unknown", 60.0)])
    await store.touch([])
    await gone(store, f"{kind}left")
    assert await store.get_key(f"{kind}touched") == b""
    assert await store.get_key(f"{kind}unknown") is None
    await store.touch([(f"{kind}touched", SHORT)])
    await gone(store, f"{kind}touched")


async def test_touch_does_not_bring_back_what_has_expired(store: Store, kind: str) -> None:
    await store.set_if_absent(f"{kind}a", b"", SHORT)
    await gone(store, f"{kind}a")
    await store.touch([(f"{kind}a", 60.0)])
    assert await store.get_key(f"{kind}a") is None


async def test_many_at_once_each_stand_for_themselves(fleet: Fleet, kind: str) -> None:
    store = await fleet.store()
    await store.set_if_absent(f"{kind}3", b"earlier", 60)
    items = [(f"{kind}{number}", b"%d" % number, 60.0) for number in range(150)]
    winners = await store.set_all_if_absent([*items, (f"{kind}5", b"twice", 60.0)])
    expected = [value for _, value, _ in items]
    expected[3] = b"earlier"
    assert winners == (*expected, b"5")
    assert await store.get_key(f"{kind}149") == b"149"
    assert await store.set_all_if_absent([]) == ()


async def test_what_is_had_at_once_is_what_awaiting_gives(fleet: Fleet, kind: str) -> None:
    one, two = await fleet.store(), await fleet.store()
    assert isinstance(one.get_at_once(f"{kind}a"), Later | None)
    items = [(f"{kind}{number}", b"%d" % number, 60.0) for number in range(3)]
    await two.set_if_absent(f"{kind}1", b"earlier", 60)
    stand = one.set_all_at_once(items)
    if isinstance(stand, Later):
        stand = await one.set_all_if_absent(items)
    assert stand == (b"0", b"earlier", b"2")
    for number, value in enumerate(stand):
        assert two.get_at_once(f"{kind}{number}") in (value, LATER)
        assert await two.get_key(f"{kind}{number}") == value


async def test_keys_of_every_kind_in_one_call(store: Store) -> None:
    items = [(f"{kind}{number}", b"%d" % number, 60.0) for number in range(3) for kind in ("once/", "pin/")]
    assert await store.set_all_if_absent(items) == tuple(value for _, value, _ in items)
    assert isinstance(store.set_all_at_once(items), Later)
    await store.touch([(key, SHORT) for key, _, _ in items])
    for key, _, _ in items:
        await gone(store, key)
