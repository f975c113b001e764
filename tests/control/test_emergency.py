"""What follows an emergency deploy: the suite is run afterwards, and people are told what it came to."""

from __future__ import annotations

import pytest

from gateway.control import audit
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.domain.alert import alert_of
from gateway.domain.prompt import Gate
from gateway.storage.sqlite import SqliteStore
from tests.support.prompts import described, prompt_text

PROMPT = "support-agent"
ANN = By("ann", "the other one leaks")


@pytest.fixture
async def pushed(operations: StoreOperations) -> StoreOperations:
    """Version 1 is live; version 2 names a suite."""
    await operations.push(prompt_text("one"), "file", ANN)
    await operations.deploy(PROMPT, 1, ANN)
    await operations.push(prompt_text("two", front=described(suite="s")), "file", ANN)
    return operations


async def gate_of(operations: StoreOperations) -> Gate:
    return (await operations.version(PROMPT, 2)).version.gate


async def test_a_failed_gate_is_pending_again(pushed: StoreOperations, store: SqliteStore) -> None:
    await pushed.record_gate(PROMPT, 2, Gate("failed", suite="s@sha256:0f"), By("gate"))
    await pushed.deploy(PROMPT, 2, ANN, emergency=True)
    assert await gate_of(pushed) == Gate("pending", suite="s")
    await pushed.record_gate(PROMPT, 2, Gate("failed", suite="s@sha256:0f", detail="2 of 9"), By("gate"))
    head = (await audit.read_head(store)).entry
    assert head is not None
    alert = alert_of(head)
    assert alert is not None
    assert (alert.event, alert.summary) == (
        "emergency",
        "support-agent: version 2, which is live, has failed its suite",
    )
    assert (await pushed.deployment(PROMPT)).live == 2


async def test_a_gate_that_was_never_run_stays_pending(pushed: StoreOperations) -> None:
    await pushed.deploy(PROMPT, 2, ANN, emergency=True)
    assert await gate_of(pushed) == Gate("pending", suite="s")


async def test_a_gate_that_passed_stays_so(pushed: StoreOperations) -> None:
    await pushed.record_gate(PROMPT, 2, Gate("passed", suite="s@sha256:0f"), By("gate"))
    before = await gate_of(pushed)
    await pushed.deploy(PROMPT, 2, ANN, emergency=True)
    assert await gate_of(pushed) == before


async def test_what_is_live_already_is_not_evaluated_again(pushed: StoreOperations) -> None:
    await pushed.deploy(PROMPT, 2, ANN, emergency=True)
    await pushed.record_gate(PROMPT, 2, Gate("failed", suite="s@sha256:0f"), By("gate"))
    before = await pushed.deployment(PROMPT)
    again = await pushed.deploy(PROMPT, 2, ANN, emergency=True)
    assert again.revision == before.revision
    assert (await gate_of(pushed)).state == "failed"
