"""Compare-and-set, all-or-nothing commits, fencing, listing, the change feed."""

import asyncio
import random

import pytest

from gateway.errors import FenceLost, StoreRevised
from gateway.storage.base import Document, Fence, Put, Store
from tests.support.stores import Fleet


async def test_a_document_has_the_revision_of_the_commit_that_changed_it(store: Store) -> None:
    assert await store.get("a") is None
    assert await store.commit([Put("a", b"1", 0), Put("b", b"1", 0)]) == 1
    assert await store.commit([Put("b", b"2", 1)]) == 2
    assert await store.get("a") == Document("a", 1, b"1")
    assert await store.get("b") == Document("b", 2, b"2")
    assert (await store.tick()).revision == 2


async def test_expected_0_means_that_it_must_not_exist(store: Store) -> None:
    await store.commit([Put("a", b"first", 0)])
    with pytest.raises(StoreRevised, match=r"'a' is at revision 1, not 0") as refusal:
        await store.commit([Put("a", b"second", 0)])
    assert refusal.value.param == "a"
    assert await store.get("a") == Document("a", 1, b"first")


async def test_a_document_that_must_exist(store: Store) -> None:
    with pytest.raises(StoreRevised, match=r"revision 0, not 7"):
        await store.commit([Put("a", b"", 7)])


async def test_expected_none_writes_whatever_is_there(store: Store) -> None:
    await store.commit([Put("a", b"1", None)])
    await store.commit([Put("a", b"2", None)])
    assert await store.get("a") == Document("a", 2, b"2")


async def test_all_puts_or_none(store: Store) -> None:
    await store.commit([Put("a", b"1", 0)])
    with pytest.raises(StoreRevised) as refusal:
        await store.commit([Put("new", b"", 0), Put("a", b"2", 0), Put("other", b"", None)])
    assert refusal.value.param == "a"
    assert await store.get("new") is None
    assert await store.get("other") is None
    assert (await store.tick()).revision == 1


@pytest.mark.parametrize("puts", [[], [Put("a", b"1", None), Put("a", b"2", None)]])
async def test_a_commit_names_each_document_once(store: Store, puts: list[Put]) -> None:
    with pytest.raises(ValueError, match="different keys"):
        await store.commit(puts)


async def test_values_are_bytes_of_any_kind_and_size(store: Store) -> None:
    values = {"empty": b"", "nul": b"\x00a\x00", "all": bytes(range(256)), "long": b"x" * 3_000_000}
    await store.commit([Put(key, value, 0) for key, value in values.items()])
    for key, value in values.items():
        assert await store.get(key) == Document(key, 1, value)


async def test_one_of_many_racers_wins_each_round(fleet: Fleet) -> None:
    stores = [await fleet.store(), await fleet.store()]

    async def race(store: Store, name: bytes, expected: int) -> int:
        try:
            return await store.commit([Put("contested", name, expected)])
        except StoreRevised:
            return 0

    revision = 0
    for _ in range(10):
        racers = [race(stores[i % 2], b"%d" % i, revision) for i in range(20)]
        won = [outcome for outcome in await asyncio.gather(*racers) if outcome]
        assert won == [revision + 1]
        revision = won[0]


async def test_counting_by_compare_and_set_loses_nothing(fleet: Fleet) -> None:
    async def count(store: Store) -> None:
        for _ in range(25):
            while True:
                found = await store.get("count")
                value = int(found.value) if found else 0
                try:
                    await store.commit([Put("count", b"%d" % (value + 1), found.revision if found else 0)])
                    break
                except StoreRevised:
                    continue

    await asyncio.gather(*[count(await fleet.store()) for _ in range(3)])
    final = await (await fleet.store()).get("count")
    assert final is not None and final.value == b"75"


async def test_a_fence_lets_only_the_newest_token_commit(store: Store) -> None:
    old = await store.acquire("controller", "one", ttl=60)
    assert old is not None
    await store.commit([Put("a", b"1", None)], fence=Fence("controller", old.token))
    await store.release("controller", "one")
    new = await store.acquire("controller", "two", ttl=60)
    assert new is not None and new.token > old.token
    with pytest.raises(FenceLost, match=f"token {new.token} now, not {old.token}"):
        await store.commit([Put("a", b"2", None)], fence=Fence("controller", old.token))
    with pytest.raises(FenceLost):
        await store.commit([Put("a", b"2", None)], fence=Fence("unknown", 1))
    assert await store.get("a") == Document("a", 1, b"1")
    await store.commit([Put("a", b"3", 1)], fence=Fence("controller", new.token))


async def test_listing_is_in_order_of_key_and_pages(store: Store) -> None:
    keys = ["v/a/00000002", "v/a/00000001", "v/ab/00000001", "v/a.b/1", "v/a", "w", "u", "v/a/é", "v/a/𝄞"]
    await store.commit([Put(key, key.encode(), 0) for key in keys])
    inside = ["v/a/00000001", "v/a/00000002", "v/a/é", "v/a/𝄞"]
    assert [d.key for d in await store.list("v/a/")] == inside
    assert [d.key for d in await store.list("v/a/", limit=2)] == inside[:2]
    assert [d.key for d in await store.list("v/a/", after=inside[1], limit=2)] == inside[2:]
    assert await store.list("v/a/", after=inside[-1]) == ()
    assert [d.key for d in await store.list("v/a/", after="a")] == inside
    assert await store.list("none/") == ()
    assert [d.key for d in await store.list("")] == sorted(keys, key=str.encode)


async def test_the_feed_has_each_changed_document_once_in_order(store: Store) -> None:
    await store.commit([Put("d/a", b"1", 0), Put("d/b", b"1", 0), Put("x", b"1", 0)])
    await store.commit([Put("d/c", b"2", 0)])
    await store.commit([Put("d/a", b"3", None)])
    feed = await store.changes(0, prefixes=["d/"])
    assert [(d.key, d.revision, d.value) for d in feed.documents] == [
        ("d/b", 1, b"1"),
        ("d/c", 2, b"2"),
        ("d/a", 3, b"3"),
    ]
    assert feed.revision == 3
    assert (await store.changes(3, prefixes=["d/"])).documents == ()
    assert [d.key for d in (await store.changes(1, prefixes=["x", "d/c"])).documents] == ["d/c"]
    assert [d.key for d in (await store.changes(0, prefixes=[""])).documents] == ["d/b", "x", "d/c", "d/a"]


async def test_the_feed_passes_by_what_nobody_asked_for(store: Store) -> None:
    for _ in range(3):
        await store.commit([Put("other", b"", None)])
    feed = await store.changes(0, prefixes=["d/"])
    assert feed == (3, ())
    assert await store.changes(0, prefixes=[]) == (3, ())


async def test_the_feed_pages_without_tearing_a_commit_apart(store: Store) -> None:
    for commit in range(4):
        await store.commit([Put(f"d/{commit}/{i}", b"", 0) for i in range(3)])
    seen, since = [], 0
    while (feed := await store.changes(since, prefixes=["d/"], limit=2)).documents:
        assert len({d.revision for d in feed.documents}) == 1
        assert len(feed.documents) == 3
        seen += [d.key for d in feed.documents]
        since = feed.revision
    assert seen == [f"d/{commit}/{i}" for commit in range(4) for i in range(3)]
    assert since == 4


async def test_random_operations_behave_as_a_dictionary(store: Store) -> None:
    chance = random.Random(20)
    model: dict[str, Document] = {}
    revision, since, read = 0, 0, dict[str, Document]()
    for step in range(300):
        keys = chance.sample(["a/1", "a/2", "a/3", "b/1", "b/2"], chance.randint(1, 3))
        puts = []
        for key in keys:
            real = model[key].revision if key in model else 0
            puts.append(Put(key, b"%d" % step, chance.choice([real, real, None, real + 1, 0])))
        fits = all(put.expected in (None, model[put.key].revision if put.key in model else 0) for put in puts)
        try:
            assert await store.commit(puts) == revision + 1
            assert fits
            revision += 1
            model |= {put.key: Document(put.key, revision, put.value) for put in puts}
        except StoreRevised:
            assert not fits
        if chance.random() < 0.3:
            feed = await store.changes(since, prefixes=["a/"], limit=chance.randint(1, 3))
            since = feed.revision
            read |= {document.key: document for document in feed.documents}
    while (feed := await store.changes(since, prefixes=["a/"])).documents:
        since = feed.revision
        read |= {document.key: document for document in feed.documents}
    assert await store.list("") == tuple(model[key] for key in sorted(model))
    assert read == {key: document for key, document in model.items() if key.startswith("a/")}
