"""Rollouts on a real store: one commit each, one history, whoever races."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.rollouts import Rollouts, Start
from gateway.domain.rollout import RAISE_LEAD, Deployment
from gateway.errors import (
    Conflict,
    GateNotPassed,
    InvalidValue,
    NotFound,
    PreconditionFailed,
    PromptNotFound,
    TransitionRefused,
    VersionNotFound,
)
from gateway.storage import codec, keys
from gateway.storage.base import Fence, Put
from gateway.storage.sqlite import SqliteStore
from tests.support.prompts import described, prompt_text
from tests.support.stores import PATIENT

ANN, BOB = By("ann", "because"), By("bob", "me too")
PROMPT = "support-agent"


@pytest.fixture
async def pushed(operations: StoreOperations) -> StoreOperations:
    """Three versions, the first one live."""
    for body in ("one", "two", "three"):
        await operations.push(prompt_text(body), "a", ANN)
    await operations.deploy(PROMPT, 1, ANN)
    return operations


async def actions(operations: StoreOperations) -> list[str]:
    return [entry.action for entry in reversed((await operations.audit(limit=1000)).entries)]


async def test_a_whole_life(pushed: StoreOperations, store: SqliteStore) -> None:
    started = await pushed.start(PROMPT, Start(2, 0.1), ANN)
    assert started.rollout is not None
    assert (started.rollout.weight, started.rollout.announced) == (0.0, 0.1)
    now = (await store.tick()).now
    assert started.rollout.effective_at == pytest.approx(now + RAISE_LEAD, abs=1.0)
    await pushed.change(PROMPT, "pause", ANN)
    await pushed.change(PROMPT, "resume", ANN)
    await pushed.change(PROMPT, "set_weight", ANN, weight=0.5)
    done = await pushed.change(PROMPT, "promote", BOB)
    assert (done.live, done.rollout) == (2, None)
    (rollout,) = await pushed.rollouts(PROMPT)
    assert (rollout.phase, rollout.ended_by, rollout.end_reason) == ("promoted", "bob", "me too")
    assert rollout.can == ()
    states = {item.number: item.state for item in (await pushed.prompt(PROMPT)).versions}
    assert states == {1: "archived", 2: "live", 3: "ready"}
    assert await actions(pushed) == [
        *("push", "push", "push", "deploy"),
        *("start", "pause", "resume", "set_weight", "promote"),
    ]
    assert (await pushed.verify_audit()).ok


async def test_a_rollback_is_one_commit_of_everything(pushed: StoreOperations, store: SqliteStore) -> None:
    view = await pushed.start(PROMPT, Start(2, 0.1), ANN)
    assert view.rollout is not None
    before = (await store.tick()).revision
    await pushed.change(PROMPT, "roll_back", BOB)
    feed = await store.changes(before, prefixes=("",))
    assert feed.revision == before + 1
    assert {document.key.split("/")[0] for document in feed.documents} == {
        *("deployment", "rollout", "audit", "audit-head"),
    }
    archived = await Rollouts(store).get(PROMPT, view.rollout.id)
    assert (archived.phase, archived.ended_by) == ("rolled_back", "bob")


async def test_each_rollout_has_its_own_salt_and_an_id_that_fits_a_request_id(
    pushed: StoreOperations, store: SqliteStore
) -> None:
    seen = set()
    for _ in range(2):
        view = await pushed.start(PROMPT, Start(2, 0.1), ANN)
        assert view.rollout is not None
        rollout = await Rollouts(store).get(PROMPT, view.rollout.id)
        assert len(bytes.fromhex(rollout.id)) == 6
        seen |= {rollout.id, rollout.salt}
        await pushed.change(PROMPT, "abort", ANN)
    assert len(seen) == 4
    assert len(await pushed.rollouts(PROMPT)) == 2


async def test_what_is_refused_writes_nothing(pushed: StoreOperations, store: SqliteStore) -> None:
    await pushed.push(prompt_text("four", front=described(suite="evals/s.yaml")), "a", ANN)
    needy = "inputs:\n  - {name: product, kind: string, required: true}\n"
    await pushed.push(prompt_text("five {{ product }}", front=needy), "a", ANN)
    before = (await store.tick()).revision
    refusals = [
        (pushed.start(PROMPT, Start(4, 0.1), ANN), GateNotPassed),
        (pushed.start(PROMPT, Start(1, 0.1), ANN), TransitionRefused),
        (pushed.start(PROMPT, Start(9, 0.1), ANN), VersionNotFound),
        (pushed.start(PROMPT, Start(2, 1.5), ANN), InvalidValue),
        (pushed.start(PROMPT, Start(5, 0.1), ANN), TransitionRefused),
        (pushed.start("nobody", Start(1, 0.1), ANN), PromptNotFound),
        (pushed.change(PROMPT, "promote", ANN), TransitionRefused),
        (pushed.change("nobody", "promote", ANN), PromptNotFound),
        (pushed.deploy(PROMPT, 4, ANN), GateNotPassed),
        (pushed.deploy(PROMPT, 2, By("ann")), TransitionRefused),
        (pushed.deploy(PROMPT, 9, ANN), VersionNotFound),
        (pushed.start(PROMPT, Start(2, 0.1), By("")), InvalidValue),
        (pushed.start(PROMPT, Start(2, 0.1), By("a\nb")), InvalidValue),
        (pushed.start(PROMPT, Start(2, 0.1), By("ann", "x" * 2001)), InvalidValue),
        (Rollouts(store).get(PROMPT, "unknown"), NotFound),
    ]
    for call, error in refusals:
        with pytest.raises(error):
            await call
    assert (await store.tick()).revision == before
    assert (await pushed.start(PROMPT, Start(5, 0.1, override_inputs=True), ANN)).rollout is not None


async def test_an_emergency_does_without_the_gate_and_aborts_the_rollout(pushed: StoreOperations) -> None:
    await pushed.push(prompt_text("four", front=described(suite="evals/s.yaml")), "a", ANN)
    await pushed.start(PROMPT, Start(2, 0.1), ANN)
    view = await pushed.deploy(PROMPT, 4, BOB, emergency=True)
    assert (view.live, view.rollout) == (4, None)
    assert [rollout.phase for rollout in await pushed.rollouts(PROMPT)] == ["aborted"]
    assert (await actions(pushed))[-1] == "emergency_deploy"


async def test_a_revision_that_moved_is_refused_and_says_what_happened(pushed: StoreOperations) -> None:
    seen = (await pushed.prompt(PROMPT)).revision
    await pushed.start(PROMPT, Start(2, 0.1), BOB, expected=seen)
    with pytest.raises(PreconditionFailed, match=r"not 4; since then bob: start \(me too\)"):
        await pushed.deploy(PROMPT, 3, ANN, expected=seen)


async def test_twenty_operators_make_one_history(pushed: StoreOperations, store: SqliteStore) -> None:
    await pushed.start(PROMPT, Start(2, 0.5), ANN)
    weights = [(number + 1) / 100 for number in range(20)]
    results = await asyncio.gather(
        *(
            pushed.change(PROMPT, "set_weight", By(f"op{number}"), weight=weight)
            for number, weight in enumerate(weights)
        ),
        return_exceptions=True,
    )
    late = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(error, Conflict) and "since then op" in error.message for error in late)
    won = [f"op{number}" for number, result in enumerate(results) if not isinstance(result, BaseException)]
    entries = [e for e in (await pushed.audit(limit=1000)).entries if e.action == "set_weight"]
    assert sorted(entry.actor for entry in entries) == sorted(won)
    entries.reverse()
    for earlier, later in pairwise(entries):
        assert later.before == {"live": 1, "rollout": earlier.after["rollout"]}
    verification = await pushed.verify_audit()
    assert (verification.ok, verification.entries) == (True, 5 + len(won))


async def test_of_twenty_who_end_a_rollout_one_does(pushed: StoreOperations) -> None:
    await pushed.start(PROMPT, Start(2, 0.5), ANN)
    results = await asyncio.gather(
        *(pushed.change(PROMPT, "promote" if n % 2 else "roll_back", By(f"op{n}")) for n in range(20)),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) == 19
    assert all(isinstance(error, TransitionRefused | Conflict) for error in refused)
    assert len(await pushed.rollouts(PROMPT)) == 1
    assert (await pushed.verify_audit()).ok


class Slow(SqliteStore):
    """Before the first commit is made, `meanwhile` happens."""

    def __init__(self, store: SqliteStore, meanwhile: StoreOperations) -> None:
        self.__dict__ = store.__dict__
        self._meanwhile: StoreOperations | None = meanwhile

    async def commit(self, puts: Sequence[Put], *, fence: Fence | None = None) -> int:
        others, self._meanwhile = self._meanwhile, None
        if others is not None:
            await others.change(PROMPT, "roll_back", BOB)
            await others.start(PROMPT, Start(3, 0.1), BOB)
        return await SqliteStore.commit(self, puts, fence=fence)


async def test_a_change_never_hits_the_next_rollout(pushed: StoreOperations, store: SqliteStore) -> None:
    await pushed.start(PROMPT, Start(2, 0.5), ANN)
    with pytest.raises(Conflict, match=r"since then bob: roll_back .*; bob: start"):
        await StoreOperations(Slow(store, pushed)).change(PROMPT, "promote", ANN)
    view = await pushed.prompt(PROMPT)
    assert view.live == 1
    assert view.rollout is not None
    assert view.rollout.candidate == 3


async def test_an_emergency_goes_ahead_whatever_happened_meanwhile(
    pushed: StoreOperations, store: SqliteStore
) -> None:
    await pushed.start(PROMPT, Start(2, 0.5), ANN)
    view = await StoreOperations(Slow(store, pushed)).deploy(PROMPT, 3, ANN, emergency=True)
    assert (view.live, view.rollout) == (3, None)
    assert [rollout.phase for rollout in await pushed.rollouts(PROMPT)] == ["aborted", "rolled_back"]


async def test_two_stores_on_one_file_are_one_history(pushed: StoreOperations, tmp_path: Path) -> None:
    other = SqliteStore(tmp_path / "store", limits=PATIENT)
    await other.open()
    try:
        both = (pushed, StoreOperations(other))
        bodies = [f"body {number}" for number in range(16)]
        await asyncio.gather(
            *(
                both[n % 2].push(prompt_text(body, name=f"p{n % 3}"), "a", ANN)
                for n, body in enumerate(bodies)
            )
        )
        assert (await both[1].verify_audit()).entries == 20
        assert (await both[0].verify_audit()).ok
    finally:
        await other.close()


async def test_the_document_is_what_workers_read(pushed: StoreOperations, store: SqliteStore) -> None:
    await pushed.start(PROMPT, Start(2, 0.1), ANN)
    document = await store.get(keys.deployment(PROMPT))
    assert document is not None
    deployment = codec.decode_document(document, Deployment)
    assert deployment.live == 1
    assert deployment.rollout is not None
    assert deployment.rollout.weights[0].value == 0.1
