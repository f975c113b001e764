"""What failed its suite gets no traffic, whatever order calls come in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.rollouts import Start
from gateway.domain.alert import alert_of
from gateway.domain.prompt import Gate
from gateway.errors import GateNotPassed, GatewayError
from tests.support.prompts import prompt_text
from tests.support.stores import Fleet

ANN, SUITE = By("ann", "because"), By("gate", "suite s@1")
PROMPT = "support-agent"
PASSED, FAILED = Gate("passed", "s@1"), Gate("failed", "s@2", detail="1 of 2 cases passed; failed: a return")


@pytest.fixture
async def both(fleet: Fleet) -> tuple[StoreOperations, StoreOperations]:
    """Two processes' views of one store; version 1 is live, 2 is pending."""
    first, second = StoreOperations(await fleet.store()), StoreOperations(await fleet.store())
    await first.push(prompt_text("one"), "a", ANN)
    await first.deploy(PROMPT, 1, ANN)
    await first.push(prompt_text("two"), "a", ANN)
    await first.record_gate(PROMPT, 2, Gate("pending", "s"), ANN)
    return first, second


async def attempt(call: Awaitable[object]) -> str:
    try:
        await call
    except GatewayError as error:
        return type(error).__name__
    return "done"


async def test_no_call_gets_a_failed_version_past_its_gate(
    both: tuple[StoreOperations, StoreOperations],
) -> None:
    ours, theirs = both
    results = await asyncio.gather(
        attempt(theirs.record_gate(PROMPT, 2, FAILED, SUITE)),
        *(attempt(ours.start(PROMPT, Start(2, 0.5), ANN)) for _ in range(10)),
        *(attempt(ours.start(PROMPT, Start(2, policy="fast"), ANN)) for _ in range(5)),
        *(attempt(theirs.deploy(PROMPT, 2, ANN)) for _ in range(10)),
    )
    assert results[0] == "done"
    assert set(results[1:]) == {"GateNotPassed"}
    shown = await ours.deployment(PROMPT)
    assert (shown.live, shown.rollout) == (1, None)
    with pytest.raises(GateNotPassed, match="a return"):
        await ours.start(PROMPT, Start(2, 0.5), ANN)
    assert (await ours.deploy(PROMPT, 2, ANN, emergency=True)).live == 2


async def test_a_start_that_races_with_a_failing_run_leaves_no_traffic_in_any_order(
    both: tuple[StoreOperations, StoreOperations],
) -> None:
    ours, theirs = both
    started_of_all = 0
    for turn in range(12):
        await ours.record_gate(PROMPT, 2, PASSED, SUITE)

        async def fail(before: float) -> str:
            await asyncio.sleep(before)
            return await attempt(theirs.record_gate(PROMPT, 2, FAILED, SUITE))

        started, failed = await asyncio.gather(
            attempt(ours.start(PROMPT, Start(2, 0.5), By("ann", "once more"))),
            fail(0.001 * (turn % 4) * (turn % 3)),
        )
        assert failed == "done"
        assert started in ("done", "GateNotPassed")
        started_of_all += started == "done"
        shown = await ours.deployment(PROMPT)
        assert (shown.live, shown.rollout) == (1, None)
    ended = await ours.rollouts(PROMPT)
    assert all(rollout.phase == "rolled_back" for rollout in ended)
    assert len(ended) == started_of_all


async def test_a_rollout_whose_suite_fails_meanwhile_is_rolled_back_and_says_so(
    both: tuple[StoreOperations, StoreOperations],
) -> None:
    ours, _ = both
    await ours.record_gate(PROMPT, 2, PASSED, SUITE)
    await ours.start(PROMPT, Start(2, 0.5), ANN)
    await ours.record_gate(PROMPT, 2, FAILED, By("ci"))
    (ended,) = await ours.rollouts(PROMPT)
    assert (ended.phase, ended.ended_by) == ("rolled_back", "ci")
    assert ended.end_reason == f"its suite s@2 failed: {FAILED.detail}"
    entry = (await ours.audit(limit=1)).entries[0]
    alert = alert_of(entry)
    assert alert is not None
    assert alert.summary == f"{PROMPT}: version 2 was rolled back; version 1 serves everyone"


async def test_a_gate_that_is_open_again_lets_no_more_traffic_through(
    both: tuple[StoreOperations, StoreOperations],
) -> None:
    ours, _ = both
    await ours.record_gate(PROMPT, 2, PASSED, SUITE)
    await ours.start(PROMPT, Start(2, 0.2), ANN)
    await ours.record_gate(PROMPT, 2, Gate("pending", "other"), SUITE)
    for refused in (
        ours.change(PROMPT, "promote", ANN),
        ours.change(PROMPT, "set_weight", ANN, weight=0.5),
        ours.deploy(PROMPT, 2, ANN),
    ):
        with pytest.raises(GateNotPassed, match="'other' has not been run"):
            await refused
    shown = await ours.change(PROMPT, "set_weight", ANN, weight=0.1)
    assert shown.rollout is not None
    await ours.change(PROMPT, "abort", ANN)
