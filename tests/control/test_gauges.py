"""Rollouts are told by the holder of the lease alone."""

from __future__ import annotations

from gateway.control.controller import Controller
from gateway.control.gauges import decided, running
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.rollouts import Start
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
