"""Tokens in a real store: made, used, rotated, revoked, and written down."""

import asyncio

import pytest

from gateway.control import audit
from gateway.control.access import Access
from gateway.control.plan import By
from gateway.domain.access import Caller
from gateway.errors import Conflict, InvalidValue, NotFound, TransitionRefused, Unauthorized
from gateway.storage import keys
from gateway.storage.sqlite import SqliteStore

ANN = By("ann", "for the pipeline")


@pytest.fixture
def access(store: SqliteStore) -> Access:
    return Access(store)


async def test_the_first_token_shuts_the_door(store: SqliteStore, access: Access) -> None:
    assert (await access.caller(None)).name == "anonymous"
    issued = await access.create("ci", "operator", ("support-*",), ANN)
    with pytest.raises(Unauthorized, match="a token is needed"):
        await access.caller(None)
    assert await access.caller(issued.secret) == Caller("ci", "operator", ("support-*",))
    await access.revoke("ci", ANN)
    for text in (None, issued.secret):
        with pytest.raises(Unauthorized):
            await access.caller(text)
    with pytest.raises(Unauthorized):
        await Access(store).caller(None)


async def test_beyond_loopback_nobody_goes_without_a_token(store: SqliteStore) -> None:
    with pytest.raises(Unauthorized):
        await Access(store, loopback=False).caller(None)


async def test_a_token_of_the_configuration(store: SqliteStore) -> None:
    access = Access(store, "b" * 32)
    assert not await access.is_open()
    assert await access.caller("b" * 32) == Caller("bootstrap", "admin")
    for text in (None, "b" * 31, "pct_ci.x"):
        with pytest.raises(Unauthorized):
            await access.caller(text)


async def test_rotation(access: Access) -> None:
    first = await access.create("ci", "viewer", (), ANN)
    second = await access.rotate("ci", 60.0, ANN)
    assert second.token.previous_until == pytest.approx(second.token.rotated_at + 60.0)
    for secret in (first.secret, second.secret):
        assert (await access.caller(secret)).name == "ci"
    third = await access.rotate("ci", 0.0, ANN)
    for secret in (first.secret, second.secret):
        with pytest.raises(Unauthorized):
            await access.caller(secret)
    assert (await access.caller(third.secret)).name == "ci"


async def test_no_secret_is_kept(store: SqliteStore, access: Access) -> None:
    issued = [await access.create("ci", "viewer", (), ANN), await access.rotate("ci", 60.0, ANN)]
    documents = await store.list("")
    for each in issued:
        secret = each.secret.rpartition(".")[2].encode()
        assert len(secret) == 43
        assert not any(secret in document.value for document in documents)


async def test_everything_is_written_down_without_hashes(store: SqliteStore, access: Access) -> None:
    await access.create("ci", "viewer", (), ANN)
    await access.rotate("ci", 0.0, ANN)
    await access.revoke("ci", By("bob"))
    await access.revoke("ci", By("bob"))
    page = await audit.read_page(store, subject="token:ci")
    assert [(entry.action, entry.actor) for entry in page.entries] == [
        *(("revoke_token", "bob"), ("rotate_token", "ann"), ("create_token", "ann")),
    ]
    assert page.entries[0].before["revoked_at"] == 0.0
    assert "hash" not in page.entries[0].after
    assert (await audit.verify(store)).ok


async def test_what_is_refused(store: SqliteStore, access: Access) -> None:
    await access.create("ci", "viewer", (), ANN)
    before = (await store.tick()).revision
    with pytest.raises(Conflict):
        await access.create("ci", "admin", (), ANN)
    with pytest.raises(InvalidValue):
        await access.create("Not a name", "admin", (), ANN)
    with pytest.raises(InvalidValue):
        await access.rotate("ci", -1.0, ANN)
    with pytest.raises(NotFound):
        await access.revoke("nobody", ANN)
    assert (await store.tick()).revision == before
    await access.revoke("ci", ANN)
    with pytest.raises(TransitionRefused):
        await access.rotate("ci", 0.0, ANN)
    with pytest.raises(Conflict):
        await access.create("ci", "viewer", (), ANN)


async def test_of_two_who_make_the_same_token_one_wins(store: SqliteStore, access: Access) -> None:
    made = await asyncio.gather(
        *(access.create("ci", "viewer", (), By(f"p{number}")) for number in range(5)), return_exceptions=True
    )
    assert sum(isinstance(each, Conflict) for each in made) == 4
    assert len(await store.list(keys.TOKENS)) == 1
