"""Approvals before a stage: by whom, on what, and that nothing but an emergency goes around them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gateway.analysis.verdict import Verdict
from gateway.control import approvals, plan
from gateway.control.acting import Seen, act
from gateway.control.operations import StoreOperations
from gateway.control.plan import By, Under
from gateway.control.rollouts import Start
from gateway.domain.policy import POLICIES, read_policy
from gateway.domain.prompt import Gate
from gateway.domain.rollout import Deployment, Rollout
from gateway.errors import Conflict, Forbidden, InvalidValue, TransitionRefused
from gateway.storage.sqlite import SqliteStore
from tests.support.prompts import prompt_text

PROMPT = "support-agent"
POLICY = read_policy({"extends": "standard", "approvals": {2: 2, "watch": 1}})
AUTHOR, STARTER, ANN, BOB = By("author"), By("starter"), By("ann", "read it"), By("ci (bob)")
QUIET = Seen(0.0, None, 500.0)


def started(policy: str = "asking") -> Deployment:
    empty = Deployment("support", live=1, gates={1: Gate("passed"), 2: Gate("passed", suite="s")})
    under = Under(policy, POLICY if policy == "asking" else POLICIES[policy])
    return plan.start(empty, 2, under, id="r1", salt="s", now=0.0, by=STARTER).deployment


def approved(deployment: Deployment, *people: By) -> Deployment:
    for by in people:
        deployment = approvals.approve(deployment, "author", by=by, now=5.0).deployment
    return deployment


def rollout(deployment: Deployment) -> Rollout:
    assert deployment.rollout is not None
    return deployment.rollout


def verdict(action: str) -> Verdict:
    return Verdict(action, "gates", "all gates are met", 1, 10.0)  # type: ignore[arg-type]


def test_a_stage_waits_until_enough_have_approved() -> None:
    waiting = started()
    done = act(waiting, verdict("advance"), QUIET, 10.0)
    assert done is not None
    assert done.event == "hold"
    hold = rollout(done.planned.deployment).hold
    assert hold is not None
    assert (hold.reason, hold.detail) == ("approval", "stage 2 needs 2 approvals: see `rollout approve`")
    one = approved(done.planned.deployment, ANN)
    assert act(one, verdict("advance"), QUIET, 11.0) is None
    both = approved(one, BOB)
    done = act(both, verdict("advance"), QUIET, 12.0)
    assert done is not None
    assert done.event == "advance"
    last = done.planned.deployment
    done = act(last, verdict("promote"), QUIET, 20.0)
    assert done is not None
    assert done.event == "hold"
    done = act(approved(done.planned.deployment, ANN), verdict("promote"), QUIET, 21.0)
    assert done is not None
    assert done.event == "watch"


def test_harm_does_not_wait_for_approval() -> None:
    held = act(started(), verdict("advance"), QUIET, 10.0)
    assert held is not None
    done = act(held.planned.deployment, verdict("roll_back"), QUIET, 11.0)
    assert done is not None
    assert done.event == "roll_back"


@pytest.mark.parametrize(
    "by", [AUTHOR, STARTER, By("author (ann)"), By("ci (starter)")], ids=lambda by: by.actor
)
def test_author_and_starter_do_not_approve(by: By) -> None:
    with pytest.raises(Forbidden, match="somebody else approves stage 2"):
        approved(started(), by)


def test_one_person_counts_once_whoever_it_says_it_is() -> None:
    deployment = approved(started(), By("ci (bob)"), By("ci (carl)"), By("ci"))
    found = approvals.asked(deployment)
    assert found is not None
    assert (found.by, found.missing) == (("ci (bob)",), 1)


def test_an_approval_is_void_when_the_gate_changes() -> None:
    deployment = approved(started(), ANN, BOB)
    again = plan.set_gate(deployment, 2, Gate("passed", suite="s", at=9.0)).deployment
    found = approvals.asked(again)
    assert found is not None
    assert (found.by, found.missing) == ((), 2)
    other = plan.set_gate(deployment, 1, Gate("failed")).deployment
    kept = approvals.asked(other)
    assert kept is not None
    assert kept.missing == 0


def test_an_approval_is_void_when_the_policy_changes() -> None:
    deployment = approved(started(), ANN, BOB)
    policy = replace(POLICY, min_units=1)
    changed = replace(deployment, rollout=replace(rollout(deployment), policy=policy))
    found = approvals.asked(changed)
    assert found is not None
    assert found.missing == 2


def test_where_none_is_asked_for_none_is_given() -> None:
    with pytest.raises(TransitionRefused, match="no approval is asked for"):
        approved(started("standard"), ANN)
    assert approvals.asked(started("standard")) is None


def test_a_person_s_weight_reaches_no_stage_that_lacks_approval() -> None:
    deployment = started()
    approvals.require(deployment, weight=0.3)
    for weight in (0.5, 0.9, 1.0):
        with pytest.raises(TransitionRefused, match="stage 2 needs 2 approvals"):
            approvals.require(deployment, weight=weight)
    with pytest.raises(TransitionRefused, match="stage watch needs 1 approvals"):
        approvals.require(approved(deployment, ANN, BOB), weight=1.0)


@pytest.mark.parametrize("wrong", [{1: 1}, {3: 1}, {"later": 1}, {2: 0}, {2: 21}])
def test_policies_that_ask_for_what_cannot_be(wrong: dict[object, int]) -> None:
    with pytest.raises(InvalidValue):
        read_policy({"extends": "standard", "approvals": wrong})


def test_a_shadow_stage_can_be_followed_by_an_approval() -> None:
    policy = read_policy({"extends": "standard", "shadow": {}, "approvals": {1: 1}})
    empty = Deployment("support", live=1, gates={1: Gate("passed"), 2: Gate("passed")})
    under = Under("asking", policy)
    deployment = plan.start(empty, 2, under, id="r1", salt="s", now=0.0, by=STARTER).deployment
    done = act(deployment, verdict("advance"), QUIET, 10.0)
    assert done is not None
    assert done.event == "hold"
    done = act(approved(done.planned.deployment, ANN), verdict("advance"), QUIET, 11.0)
    assert done is not None
    assert rollout(done.planned.deployment).stage == 0
    assert not rollout(done.planned.deployment).in_shadow


@pytest.fixture
async def operations(store: SqliteStore) -> StoreOperations:
    made = StoreOperations(store, {**POLICIES, "asking": POLICY})
    for body in ("one", "two"):
        await made.push(prompt_text(body), "file", AUTHOR)
    await made.deploy(PROMPT, 1, AUTHOR)
    await made.start(PROMPT, Start(2, policy="asking"), STARTER)
    return made


async def test_on_a_store(operations: StoreOperations) -> None:
    view = (await operations.deployment(PROMPT)).rollout
    assert view is not None
    assert "approve" in view.can
    with pytest.raises(TransitionRefused, match="needs 2 approvals"):
        await operations.change(PROMPT, "promote", ANN)
    with pytest.raises(TransitionRefused, match="needs 2 approvals"):
        await operations.deploy(PROMPT, 2, By("ann", "now"))
    with pytest.raises(Forbidden):
        await operations.change(PROMPT, "approve", AUTHOR)
    shown = await operations.change(PROMPT, "approve", ANN)
    assert shown.rollout is not None
    assert shown.rollout.approvals is not None
    assert (shown.rollout.approvals.by, shown.rollout.approvals.missing) == (("ann",), 1)
    entry = (await operations.audit(limit=1)).entries[0]
    assert (entry.action, entry.actor, entry.reason) == ("approve", "ann", "read it")
    assert entry.after["approvals"] == {"stage": "2", "needs": 2, "by": ["ann"]}
    again = await operations.change(PROMPT, "approve", ANN)
    assert again.revision == shown.revision
    with pytest.raises(Conflict, match="ann: approve"):
        await operations.change(PROMPT, "approve", BOB, expected=1)
    await operations.record_gate(PROMPT, 2, Gate("passed", suite="other"), AUTHOR)
    void = (await operations.rollouts(PROMPT))[0]
    assert void.approvals is not None
    assert void.approvals.by == ()


async def test_an_emergency_goes_around(operations: StoreOperations) -> None:
    view = await operations.deploy(PROMPT, 2, By("ann", "the old one leaks"), emergency=True)
    assert (view.live, view.rollout) == (2, None)


async def test_an_ordinary_policy_offers_no_approval(store: SqliteStore) -> None:
    made = StoreOperations(store)
    for body in ("one", "two"):
        await made.push(prompt_text(body), "file", AUTHOR)
    await made.deploy(PROMPT, 1, AUTHOR)
    view = (await made.start(PROMPT, Start(2), STARTER)).rollout
    assert view is not None
    assert "approve" not in view.can
    assert view.approvals is None
