"""Logs: order of commit, paging, trimming, positions that only rise."""

import asyncio

from gateway.storage.base import Record, Store
from tests.support.stores import Fleet


async def test_records_are_read_in_the_order_they_were_appended(store: Store) -> None:
    assert await store.read("log", after=0) == ()
    assert await store.append("log", [b"a", b"", b"\x00\xff"]) == 3
    assert await store.append("log", [b"d"]) == 4
    assert await store.append("another", [b"x"]) == 1
    assert await store.read("log", after=0) == (
        Record(1, b"a"),
        Record(2, b""),
        Record(3, b"\x00\xff"),
        Record(4, b"d"),
    )
    assert await store.read("log", after=1, limit=2) == (Record(2, b""), Record(3, b"\x00\xff"))
    assert await store.read("log", after=4) == ()


async def test_an_empty_append_answers_the_last_position(store: Store) -> None:
    assert await store.append("log", []) == 0
    await store.append("log", [b"a"])
    assert await store.append("log", []) == 1


async def test_positions_are_not_used_again_after_trimming(store: Store) -> None:
    await store.append("log", [b"%d" % i for i in range(2500)])
    await store.trim("log", through=2400)
    assert [r.position for r in await store.read("log", after=0)] == list(range(2401, 2501))
    await store.trim("log", through=10_000)
    await store.trim("unknown", through=1)
    assert await store.read("log", after=0) == ()
    assert await store.append("log", [b"next"]) == 2501
    assert await store.read("log", after=0) == (Record(2501, b"next"),)


async def test_a_reader_that_follows_concurrent_writers_misses_nothing(fleet: Fleet) -> None:
    stores = [await fleet.store() for _ in range(3)]

    async def write(store: Store, name: int) -> list[int]:
        return [await store.append("log", [b"%d/%d/%d" % (name, i, k) for k in range(3)]) for i in range(40)]

    async def follow(store: Store) -> list[Record]:
        seen: list[Record] = []
        while len(seen) < 3 * 40 * 3:
            seen += await store.read("log", after=seen[-1].position if seen else 0, limit=11)
        return seen

    *ends, seen = await asyncio.gather(
        *[write(store, name) for name, store in enumerate(stores)], follow(await fleet.store())
    )
    assert [record.position for record in seen] == list(range(1, 361))
    for name, written in enumerate(ends):
        assert written == sorted(written)
        mine = [record for record in seen if record.value.startswith(b"%d/" % name)]
        assert [r.value for r in mine] == [b"%d/%d/%d" % (name, i, k) for i in range(40) for k in range(3)]
        assert [record.position for record in mine[2::3]] == written


async def test_everything_can_be_trimmed_and_appending_goes_on(store: Store) -> None:
    await store.append("log", [b"a", b"b"])
    await store.trim("log", through=2**62)
    assert await store.read("log", after=0) == ()
    assert await store.append("log", [b"c"]) == 3
    assert [record.value for record in await store.read("log", after=0)] == [b"c"]
