"""What a rollout knows of its baseline from the one before."""

from __future__ import annotations

import pytest

from gateway.analysis.rules import Rules
from gateway.analysis.thresholds import Frozen
from gateway.control.baseline import (
    Beginning,
    Past,
    Recent,
    Sample,
    beginning_of,
    read_beginning,
    read_past,
)
from gateway.control.controller import Controller
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.rollouts import Start
from gateway.domain.observation import Batch, Drawn, Observed, Outcome
from gateway.domain.policy import POLICIES
from gateway.storage import keys
from gateway.storage.sqlite import SqliteStore
from tests.support.evidence import RULES, Writer, quick_policy
from tests.support.prompts import prompt_text

ANN = By("ann", "because")
PROMPT = "support-agent"
STANDARD = POLICIES["standard"]
FEW = Rules(freeze_after=10)
TEN = tuple(float(value) for value in range(1, 11))


def observed(
    total: float, *, canary: bool = False, first: bool = True, again: bool = False, outcome: Outcome = "ok"
) -> Observed:
    unit = Drawn(b"s", canary, 0.5, 1.0, 1.0, 0.0)
    return Observed(unit, first, again, 0.0, outcome, total, tokens=int(total) * 10)


def test_the_newest_first_requests_of_each_arm_are_kept() -> None:
    recent = Recent.of(3)
    others = (
        observed(77.0, canary=True),
        observed(88.0, first=False),
        observed(88.0, again=True),
        observed(88.0, outcome="provider"),
    )
    recent.add(Batch("w", 1, 0.0, (observed(1.0), observed(2.0), *others)))
    assert recent.newest(False, "total") == ()
    recent.add(Batch("w", 2, 0.0, tuple(observed(float(value)) for value in range(3, 101))))
    assert recent.newest(False, "total") == (98.0, 99.0, 100.0)
    assert recent.newest(False, "tokens") == (980.0, 990.0, 1000.0)
    assert recent.newest(False, "cost") == recent.newest(True, "total") == ()
    assert sum(len(values) for values in recent.arms[0].values()) <= 12


def test_thresholds_are_those_of_the_policy_that_starts() -> None:
    past = Past(1, 1000.0, {"total": Sample(1000.0, TEN), "tokens": Sample(1000.0, TEN)}, 0.2, 0.01, 300.0)
    known = beginning_of(past, 1, STANDARD, FEW, 2000.0)
    assert known.sessions_per_hour == 300.0
    assert (known.thresholds.judge, known.thresholds.provider_errors) == (0.2, 0.01)
    assert isinstance(known.thresholds.total, Frozen)
    assert (known.thresholds.total.p50, known.thresholds.total.p90) == (5.0, 9.0)
    assert known.thresholds.total.longer == pytest.approx(0.05)
    assert known.thresholds.tokens is not None
    assert known.thresholds.tokens.longer == pytest.approx(0.2)  # p95 / 1.2 is 8.3
    assert known.thresholds.first_token is None


@pytest.mark.parametrize(
    ("past", "baseline", "now"),
    [
        (None, 1, 2000.0),
        (Past(1, 1000.0, {"total": Sample(1000.0, TEN)}), 1, 1000.0 + FEW.thresholds_age + 1.0),
        (Past(1, 1000.0, {"total": Sample(1000.0, TEN)}), 2, 2000.0),
        (Past(1, 1e6, {"total": Sample(1e6 - FEW.thresholds_age - 1.0, TEN)}), 1, 1e6),
        (Past(1, 1000.0, {"total": Sample(1000.0, TEN[:9])}), 1, 2000.0),
    ],
    ids=["nothing", "old", "another version", "an old sample", "too few"],
)
def test_what_does_not_fit_is_not_taken(past: Past | None, baseline: int, now: float) -> None:
    assert beginning_of(past, baseline, STANDARD, FEW, now).thresholds.total is None


# --- from rollout to rollout


async def next_rollout(operations: StoreOperations, version: int) -> tuple[str, float]:
    view = await operations.start(PROMPT, Start(version, policy="quick"), ANN)
    assert view.rollout is not None
    return view.rollout.id, view.rollout.effective_at


@pytest.mark.parametrize(("event", "live"), [("abort", 1), ("promote", 2)])
async def test_the_next_rollout_compares_from_its_first_session(
    store: SqliteStore, event: str, live: int
) -> None:
    operations = StoreOperations(store, {"quick": quick_policy(0.5)}, {**RULES, "freeze_after": 20})
    for body in ("one", "two", "three"):
        await operations.push(prompt_text(body), "a", ANN)
    await operations.deploy(PROMPT, 1, ANN)
    first, at = await next_rollout(operations, 2)
    controller = Controller(store, owner="one", cap=500.0)
    await controller.turn()
    await Writer(store, first, at).sessions(30, 25)
    controller.cases[first].checkpoint_at = 0.0
    await controller.turn()
    controller._forget()  # as a successor would, it goes on from the checkpoint
    await controller.turn()
    if event == "promote":
        await operations.change(PROMPT, "promote", ANN)
        await operations.change(PROMPT, "finish", ANN)
    else:
        await operations.change(PROMPT, "abort", ANN)
    await controller.turn()
    past = await read_past(store, PROMPT)
    assert past is not None
    assert past.version == live
    assert past.samples["total"].values == (0.5,) * 20

    second, at = await next_rollout(operations, 3)
    known = await read_beginning(store, second)
    assert known.thresholds.total is not None
    assert known.thresholds.total.p90 == 0.5
    await controller.turn()
    assert set(controller.cases[second].evidence.state.frozen) == {"total"}
    writer = Writer(store, second, at)
    await writer.sessions(5, 5)
    await writer.later(5.0)
    await controller.turn()
    metrics = controller.cases[second].evidence.state.comparisons
    assert metrics["latency_p90"].effect.units == [5, 5]
    assert (await operations.replay(second)).agree


async def test_a_short_rollout_keeps_what_the_one_before_saw(store: SqliteStore) -> None:
    operations = StoreOperations(store, {"quick": quick_policy(0.5)}, {**RULES, "freeze_after": 20})
    for body in ("one", "two"):
        await operations.push(prompt_text(body), "a", ANN)
    await operations.deploy(PROMPT, 1, ANN)
    controller = Controller(store, owner="one", cap=500.0)
    for sessions in (30, 3):
        id, at = await next_rollout(operations, 2)
        await controller.turn()
        await Writer(store, id, at).sessions(sessions, sessions)
        await controller.turn()
        await operations.change(PROMPT, "abort", ANN)
        await controller.turn()
    past = await read_past(store, PROMPT)
    assert past is not None
    assert past.at > past.samples["total"].at
    assert len(past.samples["total"].values) == 20


async def test_a_deploy_of_another_version_tells_nothing(store: SqliteStore) -> None:
    operations = StoreOperations(store, {"quick": quick_policy(0.5)}, {**RULES, "freeze_after": 5})
    for body in ("one", "two", "three"):
        await operations.push(prompt_text(body), "a", ANN)
    await operations.deploy(PROMPT, 1, ANN)
    id, at = await next_rollout(operations, 2)
    controller = Controller(store, owner="one", cap=500.0)
    await controller.turn()
    await Writer(store, id, at).sessions(10, 10)
    await controller.turn()
    await operations.deploy(PROMPT, 3, ANN)
    await controller.turn()
    assert await store.get(keys.past(PROMPT)) is None
    await next_rollout(operations, 2)
    assert await read_beginning(store, "unknown") == Beginning()
