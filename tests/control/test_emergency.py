"""What follows an emergency deploy: the suite is run afterwards, and people are told what it came to."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from gateway.control import audit, emergency
from gateway.control.baseline import Past, read_beginning
from gateway.control.emergency import Asked, Emergencies, worse
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.domain.alert import alert_of
from gateway.domain.audit import AuditEntry
from gateway.domain.prompt import Gate
from gateway.errors import InvalidValue
from gateway.storage import codec, keys
from gateway.storage.base import Put
from gateway.storage.sqlite import SqliteStore
from gateway.telemetry.metrics import Sample
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


async def test_one_that_is_watched_starts_from_what_is_known_of_the_version_before(
    pushed: StoreOperations, store: SqliteStore
) -> None:
    known = Past(1, (await store.tick()).now, sessions_per_hour=120.0)
    await store.commit([Put(keys.past(PROMPT), codec.encode(known), 0)])
    view = await pushed.deploy(PROMPT, 2, ANN, emergency=True, watch="fast")
    assert view.rollout is not None
    assert (view.live, view.rollout.watch, view.rollout.policy) == (2, True, "fast")
    assert (await read_beginning(store, view.rollout.id)).sessions_per_hour == 120.0
    assert await gate_of(pushed) == Gate("pending", suite="s")


async def test_the_suite_of_one_that_is_watched_rolls_it_back(pushed: StoreOperations) -> None:
    await pushed.deploy(PROMPT, 2, ANN, emergency=True, watch="standard")
    await pushed.record_gate(PROMPT, 2, Gate("failed", suite="s@sha256:0f", detail="2 of 9"), By("gate"))
    view = await pushed.deployment(PROMPT)
    assert (view.live, view.rollout) == (1, None)


async def test_only_a_policy_that_is_there_watches(pushed: StoreOperations) -> None:
    with pytest.raises(InvalidValue, match="there is no policy 'night'"):
        await pushed.deploy(PROMPT, 2, ANN, emergency=True, watch="night")
    assert (await pushed.deployment(PROMPT)).live == 1


# --- how often it fails


def counted(**versions: tuple[int, int]) -> list[Sample]:
    """What workers have counted of `v1`, `v2`: requests that went well, and that failed by the prompt."""
    found: list[Sample] = [("requests_total", [PROMPT, "2", "", "provider"], [900])]
    for name, (well, failed) in versions.items():
        labels = [PROMPT, name.removeprefix("v"), "baseline"]
        found += [
            ("requests_total", [*labels, "ok"], [well]),
            ("requests_total", [*labels, "prompt"], [failed]),
        ]
    return found


class Watching:
    """Any number of processes that watch emergency deploys, told the same counts."""

    def __init__(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, processes: int = 1) -> None:
        monkeypatch.setattr(emergency, "LOOK", 0.0)
        self.samples: list[Sample] = []
        self._store = store
        self._all = [Emergencies(store, self._counts) for _ in range(processes)]

    async def _counts(self) -> list[Sample]:
        return self.samples

    async def worse(self, samples: list[Sample]) -> list[AuditEntry]:
        """What is on record once they have looked at these counts."""
        self.samples = samples
        await asyncio.gather(*(each.turn() for each in self._all))
        page = await audit.read_page(self._store, limit=100, subject=PROMPT)
        return [entry for entry in page.entries if entry.action == "worse"]


async def test_more_failures_than_before_are_said_once(
    pushed: StoreOperations, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = Watching(store, monkeypatch, processes=3)
    assert await watching.worse(counted(v1=(990, 10))) == []  # nothing is watched
    await pushed.deploy(PROMPT, 2, ANN, emergency=True)
    assert await watching.worse(counted(v1=(990, 10), v2=(0, 50))) == []  # it had failed before, elsewhere
    assert await watching.worse(counted(v1=(990, 10), v2=(99, 51))) == []
    (entry,) = await watching.worse(counted(v1=(990, 10), v2=(160, 150)))
    assert entry.reason == (
        "38.5 % (16.6 % to 64.2 %) of its requests fail, of those of version 1 1 % (0.195 % to 4.95 %) did"
    )
    assert (entry.actor, entry.evidence["after"]["estimate"]) == ("services", pytest.approx(20 / 52))
    alert = alert_of(entry)
    assert alert is not None
    assert (alert.event, alert.live) == ("emergency", 2)
    assert len(await watching.worse(counted(v1=(990, 10), v2=(160, 700)))) == 1
    view = await pushed.deployment(PROMPT)
    assert (view.live, view.emergency and view.emergency.worse) == (2, True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (counted(v2=(0, 0)), counted(v2=(0, 500))),  # nothing is known of the version before
        (counted(v1=(900, 0), v2=(50, 50)), counted()),  # counted apart no longer
        (counted(v1=(900, 0), v2=(500, 0)), counted(v1=(900, 0), v2=(5, 499))),  # and anew
        (counted(v1=(900, 9)), counted(v1=(900, 9), v2=(300, 4))),
    ],
)
async def test_what_says_nothing_is_not_said(
    pushed: StoreOperations,
    store: SqliteStore,
    monkeypatch: pytest.MonkeyPatch,
    before: list[Sample],
    after: list[Sample],
) -> None:
    watching = Watching(store, monkeypatch)
    await pushed.deploy(PROMPT, 2, ANN, emergency=True)
    assert await watching.worse(before) == []
    assert await watching.worse(after) == []


async def test_it_ends_with_the_deploy_and_after_a_day(
    pushed: StoreOperations, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, bad = counted(v1=(990, 10)), counted(v1=(990, 10), v2=(0, 500))
    watching = Watching(store, monkeypatch)
    await pushed.deploy(PROMPT, 2, ANN, emergency=True)
    await watching.worse(known)
    await pushed.deploy(PROMPT, 1, ANN)
    assert (await pushed.deployment(PROMPT)).emergency is None
    assert await watching.worse(bad) == []
    await pushed.deploy(PROMPT, 2, ANN, emergency=True)
    await watching.worse(known)
    monkeypatch.setattr(emergency, "LONGEST", -1.0)
    assert await watching.worse(bad) == []
    monkeypatch.setattr(emergency, "LONGEST", 60.0)
    assert await watching.worse(bad) == []  # a case that has ended


@pytest.mark.parametrize("together", [1, 5, 10])
def test_a_version_that_is_no_worse_is_seldom_said_to_be(together: int) -> None:
    """Failures come alone, or so many together, as those of a conversation do."""
    chosen, alarms = Random(1), 0

    def asked(requests: int) -> Asked:
        return Asked(requests, sum(together for _ in range(requests // together) if chosen.random() < 0.03))

    for _ in range(200):
        before, after = asked(1000), Asked()
        for _ in range(20):
            more = asked(500)
            after = Asked(after.requests + more.requests, after.failed + more.failed)
            if worse(before, after) is not None:
                alarms += 1
                break
    assert alarms <= 2  # 1 %


async def test_what_is_live_already_is_not_evaluated_again(pushed: StoreOperations) -> None:
    await pushed.deploy(PROMPT, 2, ANN, emergency=True)
    await pushed.record_gate(PROMPT, 2, Gate("failed", suite="s@sha256:0f"), By("gate"))
    before = await pushed.deployment(PROMPT)
    again = await pushed.deploy(PROMPT, 2, ANN, emergency=True)
    assert again.revision == before.revision
    assert (await gate_of(pushed)).state == "failed"
