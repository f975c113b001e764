"""The controller on a real store, with evidence written as workers do: it acts on what the log says, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from gateway.control.case import Checkpoint, Decision
from gateway.control.controller import Controller
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.replay import read_all
from gateway.control.rollouts import Start
from gateway.domain.audit import AuditEntry
from gateway.domain.policy import Policy
from gateway.errors import InvalidValue, NotFound
from gateway.storage import codec, keys
from gateway.storage.base import Put
from gateway.storage.sqlite import SqliteStore
from tests.support.evidence import RULES, Writer, quick_policy
from tests.support.prompts import prompt_text

ANN = By("ann", "because")
PROMPT = "support-agent"


@dataclass
class Stage:
    """One rollout of version 2 against version 1 at .5, and who decides about it."""

    store: SqliteStore
    operations: StoreOperations
    rollout: str
    writer: Writer
    controller: Controller

    async def live(self) -> tuple[int | None, str]:
        """The live version, and how the rollout stands."""
        view = await self.operations.deployment(PROMPT)
        (newest, *_) = await self.operations.rollouts(PROMPT)
        return view.live, newest.phase

    async def acts(self) -> list[AuditEntry]:
        """What the controller did, oldest first."""
        page = await self.operations.audit(limit=100)
        return [entry for entry in reversed(page.entries) if entry.actor == "controller"]

    async def decisions(self) -> list[Decision]:
        key = keys.decisions(self.rollout)
        return [codec.decode(record.value, Decision, key=key) async for record in read_all(self.store, key)]


async def stage_of(store: SqliteStore, policy: Policy) -> Stage:
    operations = StoreOperations(store, {"quick": policy}, RULES)
    for body in ("one", "two"):
        await operations.push(prompt_text(body), "a", ANN)
    await operations.deploy(PROMPT, 1, ANN)
    view = await operations.start(PROMPT, Start(2, policy="quick"), ANN)
    assert view.rollout is not None
    writer = Writer(store, view.rollout.id, view.rollout.effective_at)
    return Stage(store, operations, view.rollout.id, writer, Controller(store, owner="one", cap=500.0))


@pytest.fixture
async def stage(store: SqliteStore) -> AsyncIterator[Stage]:
    yield await stage_of(store, quick_policy(0.5))


async def bad_evidence(stage: Stage) -> None:
    await stage.writer.sessions(30, 30, canary_outcome="prompt")


async def good_evidence(stage: Stage) -> None:
    await stage.writer.sessions(150, 150)
    await stage.writer.later(5.0)
    await stage.writer.later(5.0)


async def test_harm_rolls_back_with_its_evidence_in_the_audit_log(stage: Stage) -> None:
    await stage.controller.turn()
    assert await stage.live() == (1, "progressing")
    await bad_evidence(stage)
    await stage.controller.turn()
    assert await stage.live() == (1, "rolled_back")
    (entry,) = await stage.acts()
    assert entry.action == "roll_back"
    assert entry.reason.startswith("hard_stop: the canary's first 30 requests all failed")
    assert entry.evidence["position"] >= 1
    assert entry.evidence["verdict"]["action"] == "roll_back"
    assert (await stage.operations.verify_audit()).ok
    await stage.controller.turn()
    assert len(await stage.acts()) == 1


async def test_a_good_one_goes_through_the_watch_to_everyone(stage: Stage) -> None:
    await stage.controller.turn()
    await good_evidence(stage)
    await stage.controller.turn()
    view = (await stage.operations.deployment(PROMPT)).rollout
    assert view is not None
    assert (await stage.live(), view.watch, view.announced) == ((2, "progressing"), True, 0.9)
    async with asyncio.timeout(10):
        while (await stage.live())[1] != "promoted":
            await asyncio.sleep(0.1)
            await stage.controller.turn()
    assert [entry.action for entry in await stage.acts()] == ["watch", "finish"]
    assert (await stage.live())[0] == 2
    result = await stage.operations.replay(stage.rollout)
    assert (result.agree, result.partial) == (True, False)
    assert result.decisions >= 3


async def test_stages_advance_and_harm_in_the_watch_brings_the_baseline_back(store: SqliteStore) -> None:
    stage = await stage_of(store, quick_policy(0.3, 0.5, watch=600.0))
    await stage.controller.turn()
    for _ in range(4):
        await stage.writer.sessions(150, 150)
        await stage.writer.later(5.0)
        await stage.controller.turn()
        await asyncio.sleep(1.1)  # a stage counts for pins from its lead on
    assert [entry.action for entry in await stage.acts()] == ["advance", "watch"]
    assert await stage.live() == (2, "progressing")
    await stage.writer.later(5.0)
    for _ in range(6):
        await stage.writer.sessions(10, 90, weight=0.9, canary_outcome="prompt")
        await stage.writer.later(5.0)
        await stage.controller.turn()
    assert (await stage.acts())[-1].action == "roll_back"
    assert await stage.live() == (1, "rolled_back")


async def test_an_outage_in_both_arms_holds_and_then_resumes(store: SqliteStore) -> None:
    stage = await stage_of(store, quick_policy(0.5, bake=600.0))
    await stage.controller.turn()
    await stage.writer.sessions(20, 20, stable_outcome="provider", canary_outcome="provider")
    await stage.writer.later(1.0)
    await stage.controller.turn()
    view = (await stage.operations.deployment(PROMPT)).rollout
    assert view is not None
    assert view.hold is not None
    assert view.hold.reason == "incident"
    await stage.writer.later(20.0)
    await stage.writer.sessions(10, 10)
    await stage.controller.turn()
    assert [entry.action for entry in await stage.acts()] == ["hold", "release"]
    assert await stage.live() == (1, "progressing")


async def test_a_paused_rollout_waits_but_harm_ends_it(stage: Stage) -> None:
    await stage.controller.turn()
    await stage.operations.change(PROMPT, "pause", ANN)
    await good_evidence(stage)
    await stage.controller.turn()
    assert (await stage.live(), await stage.acts()) == ((1, "paused"), [])
    for _ in range(5):
        await stage.writer.sessions(50, 50, canary_outcome="prompt")
        await stage.writer.later(5.0)
    await stage.controller.turn()
    assert await stage.live() == (1, "rolled_back")


async def test_by_hand_it_does_nothing(store: SqliteStore) -> None:
    stage = await stage_of(store, quick_policy(0.5))
    await stage.operations.change(PROMPT, "abort", ANN)
    view = await stage.operations.start(PROMPT, Start(2, 0.5), ANN)
    assert view.rollout is not None
    await Writer(store, view.rollout.id, view.rollout.effective_at).sessions(30, 30, canary_outcome="prompt")
    await stage.controller.turn()
    assert (await stage.live(), await stage.acts()) == ((1, "progressing"), [])
    with pytest.raises(InvalidValue, match="by hand"):
        await stage.operations.replay(view.rollout.id)
    with pytest.raises(NotFound):
        await stage.operations.replay("nothing")


async def test_what_people_are_shown(stage: Stage) -> None:
    await stage.controller.turn()
    await stage.writer.sessions(40, 40)
    await stage.writer.later(5.0)
    await stage.controller.turn()
    view = (await stage.operations.deployment(PROMPT)).rollout
    assert view is not None
    assert view.evidence is not None
    errors = next(metric for metric in view.evidence.verdict.metrics if metric.name == "errors")
    assert errors.units == (40, 40)
    assert errors.gate_e is not None
    assert (await stage.operations.rollouts(PROMPT))[0].evidence == view.evidence


# --- dying, and being two


async def test_a_successor_folds_on_from_the_checkpoint_and_comes_to_the_same_verdicts(stage: Stage) -> None:
    await stage.controller.turn()
    await stage.writer.sessions(20, 20)
    stage.controller.cases[stage.rollout].checkpoint_at = 0.0
    await stage.writer.later(1.0)
    await stage.controller.turn()
    document = await stage.store.get(keys.checkpoint(stage.rollout))
    assert document is not None
    assert codec.decode_document(document, Checkpoint).position == 2
    await stage.store.release(keys.CONTROLLER, "one")  # killed, and its lease has run out
    successor = Controller(stage.store, owner="two", cap=500.0)
    await successor.turn()
    assert successor.cases[stage.rollout].position == 2
    await bad_evidence(stage)
    await successor.turn()
    assert await stage.live() == (1, "progressing")  # its canary has answered before: not a hard stop
    for _ in range(5):
        await stage.writer.later(5.0)
        await stage.writer.sessions(30, 30, canary_outcome="prompt")
    await successor.turn()
    assert await stage.live() == (1, "rolled_back")
    assert (await stage.operations.replay(stage.rollout)).agree


async def test_of_two_one_acts(stage: Stage) -> None:
    other = Controller(stage.store, owner="two", cap=500.0)
    await asyncio.gather(stage.controller.turn(), other.turn())
    assert [one.lease is not None for one in (stage.controller, other)].count(True) == 1
    await bad_evidence(stage)
    for _ in range(3):
        await asyncio.gather(stage.controller.turn(), other.turn())
    assert [entry.action for entry in await stage.acts()] == ["roll_back"]
    assert (await stage.operations.verify_audit()).ok


async def test_who_does_not_know_that_it_was_succeeded_cannot_act(stage: Stage) -> None:
    await stage.controller.turn()
    await stage.store.release(keys.CONTROLLER, "one")
    other = Controller(stage.store, owner="two", cap=500.0)
    await other.turn()
    await bad_evidence(stage)
    await stage.controller._try_turn()
    assert (stage.controller.lease, stage.controller.cases, await stage.acts()) == (None, {}, [])
    await other.turn()
    assert [entry.action for entry in await stage.acts()] == ["roll_back"]


async def test_a_person_who_was_faster_is_followed(stage: Stage) -> None:
    await stage.controller.turn()
    await good_evidence(stage)
    case = stage.controller.cases[stage.rollout]
    running = stage.controller._running[PROMPT]
    await stage.operations.change(PROMPT, "pause", ANN)
    await case.read(stage.store)
    decision = case.decide((await stage.store.tick()).now)
    assert decision.verdict.action == "promote"
    assert await stage.controller._act(running, case, decision) is None
    assert await stage.live() == (1, "paused")
    await stage.controller.turn()
    assert (await stage.live(), await stage.acts()) == ((1, "paused"), [])


async def test_run_gives_the_lease_back(stage: Stage) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(stage.controller.run(stop))
    await bad_evidence(stage)
    async with asyncio.timeout(10):
        while not await stage.acts():  # noqa: ASYNC110  (a commit in a store)
            await asyncio.sleep(0.05)
    stop.set()
    await running
    assert await stage.store.acquire(keys.CONTROLLER, "two", 3.0) is not None


async def test_the_end_frees_the_checkpoint(stage: Stage) -> None:
    await stage.controller.turn()
    stage.controller.cases[stage.rollout].checkpoint_at = 0.0
    await stage.writer.sessions(5, 5)
    await stage.controller.turn()
    await stage.operations.change(PROMPT, "abort", ANN)
    await stage.controller.turn()
    document = await stage.store.get(keys.checkpoint(stage.rollout))
    assert document is not None
    left = codec.decode_document(document, Checkpoint)
    assert (left.position, left.evidence, left.recent) == (0, b"", None)
    assert left.size > 0
    assert stage.controller.cases == {}


async def test_evidence_of_another_method_gets_no_verdict_and_is_said_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    value = codec.encode(Checkpoint(3, b"\x80"))
    await stage.store.commit([Put(keys.checkpoint(stage.rollout), value, None)])
    for _ in range(2):
        await stage.controller.turn()
    assert caplog.text.count("gets no verdict") == 1
    assert await stage.decisions() == []
