"""Rollouts are told by the holder of the lease alone."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from gateway.cli import output
from gateway.control.controller import Controller
from gateway.control.gauges import decided, running
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.rollouts import Start
from gateway.domain.observation import Batch, Drawn, Pair, encode_batch
from gateway.domain.policy import read_policy
from gateway.storage import keys
from gateway.storage.sqlite import SqliteStore
from gateway.telemetry.metrics import BY_NAME
from tests.support.metrics import by_key
from tests.support.prompts import prompt_text

ANN = By("ann", "because")
PROMPT = "support-agent"


async def test_only_the_holder_of_the_lease_tells_of_rollouts(
    store: SqliteStore, operations: StoreOperations
) -> None:
    for edition in ("first", "second"):
        await operations.push(prompt_text(edition), "a.prompty", ANN)
    await operations.deploy(PROMPT, 1, ANN, emergency=True)
    await operations.start(PROMPT, Start(2, policy="fast"), ANN)
    first, second = (Controller(store, owner=name, cap=500.0) for name in ("first", "second"))
    for controller in (first, second):
        await controller.turn()
    assert by_key(running(second)) == {("controller_leads",): 0}
    told = running(first)
    for name, labels, values in told:
        assert (len(labels), len(values)) == (len(BY_NAME[name].labels), 1), name
    found = by_key(told)
    assert found[("controller_leads",)] == 1
    assert found[("rollout_stage", PROMPT)] == 0
    assert found[("rollout_verdict", PROMPT, "bake", "bake", "none")] == 1
    assert found[("rollout_harm_e", PROMPT, "errors")] < found[("rollout_harm_needs", PROMPT, "errors")]


async def test_changes_are_told_once(store: SqliteStore) -> None:
    controller = Controller(store, owner="one", cap=500.0)
    controller.events["roll_back"] += 2
    assert decided(controller) == [("decisions_total", ("roll_back",), (2,))]
    assert decided(controller) == []


async def test_a_shadow_stage_is_told_with_its_pairs(store: SqliteStore) -> None:
    policies = {"mine": read_policy({"extends": "standard", "stages": ["shadow", 0.05, 0.5]})}
    operations = StoreOperations(store, policies)
    for edition in ("first", "second"):
        await operations.push(prompt_text(edition), "a.prompty", ANN)
    await operations.deploy(PROMPT, 1, ANN, emergency=True)
    started = await operations.start(PROMPT, Start(2, policy="mine"), ANN)
    assert started.rollout is not None
    now = (await store.tick()).now
    pairs = tuple(
        Pair(Drawn(bytes([number] * 16), False, 0.0, 1.0, 1.0, now), now, 0.1) for number in range(3)
    )
    batches = [encode_batch(Batch("w", 1, now, pairs)), encode_batch(Batch("w", 2, now + 400.0, ()))]
    await store.append(keys.evidence(started.rollout.id), batches)
    controller = Controller(store, owner="one", cap=500.0)
    await controller.turn()
    told = running(controller)
    for name, labels, values in told:
        assert (len(labels), len(values)) == (len(BY_NAME[name].labels), 1), name
    found = by_key(told)
    assert found[("rollout_shadow", PROMPT)] == 1
    assert found[("rollout_shadow_pairs", PROMPT, "complete")] == 3
    assert found[("rollout_shadow_pairs", PROMPT, "missing")] == 0
    assert found[("rollout_shadow_difference", PROMPT, "judge")] == pytest.approx(0.1)
    assert found[("rollout_shadow_harm_e", PROMPT, "judge")] > 1.0
    assert found[("rollout_shadow_harm_needs", PROMPT, "judge")] == pytest.approx(100.0)
    assert found[("rollout_shadow_gate_needs", PROMPT, "errors")] == pytest.approx(20.0)
    view = (await operations.rollouts(PROMPT))[0]
    assert view.shadow
    console = Console(width=140, record=True, file=StringIO())
    console.print(output.rollouts((view,)))
    shown = console.export_text()
    assert "shadow stage since" in shown
    assert "shadow: 3 pairs of at least 50, 0 wait for their time" in shown
    assert "+0.1000" in shown
