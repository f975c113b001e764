"""How long evidence is kept, and what a replay says of what is left."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.control.case import Checkpoint
from gateway.control.controller import Controller
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.retention import Keep, Kept, read_kept
from gateway.control.rollouts import Start
from gateway.storage import codec, keys
from gateway.storage.sqlite import SqliteStore
from tests.support.evidence import RULES, Writer, quick_policy
from tests.support.prompts import prompt_text

ANN = By("ann", "because")
PROMPT = "support-agent"
LONG = Keep()


@dataclass
class Place:
    store: SqliteStore
    operations: StoreOperations
    controller: Controller

    def keeps(self, keep: Keep) -> None:
        self.controller._retention._keep = keep

    async def begin(self) -> tuple[str, Writer]:
        view = await self.operations.start(PROMPT, Start(2, policy="quick"), ANN)
        assert view.rollout is not None
        await self.controller.turn()
        return view.rollout.id, Writer(self.store, view.rollout.id, view.rollout.effective_at)

    async def whole(self) -> str:
        """A rollout with some evidence that has ended."""
        id, writer = await self.begin()
        for _ in range(3):
            await writer.sessions(10, 10)
            await writer.later(1.0)
            await self.controller.turn()
        await self.operations.change(PROMPT, "abort", ANN)
        await self.controller.turn()
        return id

    async def logs(self, id: str) -> tuple[int, int]:
        """Batches of evidence and decisions that are there."""
        evidence = await self.store.read(keys.evidence(id), after=0)
        return len(evidence), len(await self.store.read(keys.decisions(id), after=0))

    async def kept(self, id: str) -> Kept:
        kept = await read_kept(self.store, id)
        assert kept is not None
        return kept


@pytest.fixture
async def place(store: SqliteStore) -> Place:
    operations = StoreOperations(store, {"quick": quick_policy(0.5, bake=600.0)}, RULES)
    for body in ("one", "two"):
        await operations.push(prompt_text(body), "a", ANN)
    await operations.deploy(PROMPT, 1, ANN)
    return Place(store, operations, Controller(store, owner="one", cap=500.0))


async def test_it_stays_for_its_time_and_then_goes_wholly(place: Place) -> None:
    id = await place.whole()
    before = await place.logs(id)
    await place.controller.sweep()
    assert await place.logs(id) == before
    assert (await place.operations.replay(id)).agree
    kept = await place.kept(id)
    (ended,) = await place.operations.rollouts(PROMPT)
    assert (kept.ended_at, kept.gone) == (ended.ended_at, False)
    place.keeps(Keep(0.0, LONG.size))
    await place.controller.sweep()
    assert await place.logs(id) == (0, 0)
    assert (await place.kept(id)).gone
    result = await place.operations.replay(id)
    assert (result.partial, result.agree, result.decisions) == (True, False, 0)


async def test_of_too_much_the_rollout_that_ended_first_goes_and_its_decisions_stay(place: Place) -> None:
    first, second = await place.whole(), await place.whole()
    await place.controller.sweep()
    size = (await place.kept(first)).size
    assert size > 1000
    before = await place.logs(first), await place.logs(second)
    place.keeps(Keep(LONG.seconds, size + 100))
    await place.controller.sweep()
    assert await place.logs(first) == (0, before[0][1])
    assert await place.logs(second) == before[1]
    results = [await place.operations.replay(id) for id in (first, second)]
    assert [(result.partial, result.agree) for result in results] == [(True, False), (False, True)]
    assert results[0].decisions == before[0][1] > 0


async def test_of_one_that_runs_only_what_a_successor_does_not_need_goes(place: Place) -> None:
    id, writer = await place.begin()
    for _ in range(5):
        await writer.sessions(10, 10)
        await writer.later(1.0)
    place.controller.cases[id].checkpoint_at = 0.0
    await place.controller.turn()
    assert place.controller.cases[id].checkpointed == 10
    await writer.sessions(10, 10)
    await place.controller.turn()
    place.keeps(Keep(LONG.seconds, 1))
    await place.controller.sweep()
    assert [record.position for record in await place.store.read(keys.evidence(id), after=0)] == [11]
    assert (await place.kept(id)).cut == 10
    successor = Controller(place.store, owner="two", cap=500.0)
    await place.store.release(keys.CONTROLLER, "one")
    await successor.turn()
    assert successor.cases[id].size == place.controller.cases[id].size
    for _ in range(5):
        await writer.later(5.0)
        await writer.sessions(30, 30, canary_outcome="prompt")
    await successor.turn()
    (rollout,) = await place.operations.rollouts(PROMPT)
    assert rollout.phase == "rolled_back"
    assert (await place.operations.replay(id)).partial


async def test_only_about_as_much_goes_as_is_too_much(place: Place) -> None:
    id, writer = await place.begin()
    for _ in range(20):
        await writer.sessions(10, 10)
    place.controller.cases[id].checkpoint_at = 0.0
    await place.controller.turn()
    size = place.controller.cases[id].size
    place.keeps(Keep(LONG.seconds, size // 2))
    await place.controller.sweep()
    left = await place.store.read(keys.evidence(id), after=0)
    assert 8 <= len(left) <= 10
    assert sum(len(record.value) for record in left) == size - (await place.kept(id)).cut_size <= size // 2
    await place.controller.sweep()
    assert await place.store.read(keys.evidence(id), after=0) == left


async def test_what_ended_while_no_controller_was_there_is_found(place: Place) -> None:
    id, writer = await place.begin()
    await writer.sessions(10, 10)
    place.controller.cases[id].checkpoint_at = 0.0
    await place.controller.turn()
    await place.store.release(keys.CONTROLLER, "one")  # killed
    await place.operations.change(PROMPT, "abort", ANN)
    successor = Controller(place.store, owner="two", cap=500.0)
    await successor.turn()
    await successor.sweep()
    document = await place.store.get(keys.checkpoint(id))
    assert document is not None
    assert codec.decode_document(document, Checkpoint).evidence == b""
    assert (await place.kept(id)).size == place.controller.cases[id].size
    assert (await place.kept(id)).ended_at > 0.0


async def test_one_that_has_just_begun_has_not_ended(place: Place) -> None:
    await place.controller.turn()
    view = await place.operations.start(PROMPT, Start(2, policy="quick"), ANN)
    assert view.rollout is not None
    place.keeps(Keep(0.0, 1))
    await place.controller.sweep()  # before the controller has heard of it
    assert await place.kept(view.rollout.id) == Kept(PROMPT)


async def test_a_sweep_that_fails_is_said_and_costs_nothing(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    id = await place.whole()
    other = Controller(place.store, owner="two", cap=500.0, keep=Keep(0.0, LONG.size))
    await other.sweep()  # it never had the lease
    assert "stays for now" in caplog.text
    assert (await place.logs(id))[0] > 0


async def test_turns_sweep_now_and_then(place: Place) -> None:
    id = await place.whole()
    place.keeps(Keep(0.0, LONG.size))
    place.controller._swept_at = 0.0
    await place.controller.turn()
    assert place.controller._sweeping is not None
    await place.controller._sweeping
    assert await place.logs(id) == (0, 0)
