"""Evidence from answers to the log: who is recorded, when, and what becomes of batches that fail."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.domain.assignment import judged
from gateway.domain.observation import Assigned, Batch, Drawn, Observed, decode_batch
from gateway.domain.pins import Pin
from gateway.domain.policy import POLICIES
from gateway.domain.rollout import Rollout, Weight
from gateway.errors import StoreUnavailable
from gateway.proxy.choice import Choice
from gateway.proxy.recorder import AT_ONCE, BATCH, HEARTBEAT, Recorder, Seen
from gateway.storage import keys
from gateway.storage.base import Keys
from gateway.telemetry.histograms import LONG
from tests.support.scripted_provider import on_uvloop
from tests.support.stores import NeverAtOnce
from tests.support.worker import WorkerStage, chat_body, request_bytes, until, worker_stage

PROMPTED = {"x-prompt": "greeter"}
SCENARIO = "default: {first_token_ms: 0, gap_ms: 0, tokens: 10}\n"


async def batches(stage: WorkerStage) -> list[Batch]:
    """Everything in the log of the running rollout, once pins are settled and records flushed."""
    await until(lambda: not stage.worker.pins._tasks and not stage.worker.pins._new)
    await stage.worker.recorder.flush()
    (id,) = stage.worker.snapshots.measured
    return [
        decode_batch(record.value) for record in await stage.worker.store.read(keys.evidence(id), after=0)
    ]


async def records(stage: WorkerStage) -> tuple[list[Assigned], list[Observed]]:
    found = [record for batch in await batches(stage) for record in batch.records]
    return (
        [record for record in found if isinstance(record, Assigned)],
        [record for record in found if isinstance(record, Observed)],
    )


def session(name: object) -> dict[str, str]:
    return {**PROMPTED, "x-session-id": str(name)}


@on_uvloop
async def test_each_session_is_assigned_once_and_each_request_observed(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO) as stage:
        await stage.deploy()
        await stage.roll_out(policy="fast")
        arms = {}
        for _ in range(3):
            for number in range(20):
                reply = await stage.ask(headers=session(number))
                arms.setdefault(number, reply.headers["x-prompt-arm"])
        assigned, observed = await records(stage)
        assert len(assigned) == len({record.unit.session for record in assigned}) == 20
        assert sum(record.unit.canary for record in assigned) == list(arms.values()).count("canary") > 0
        assert len(observed) == 60
        assert sum(record.first for record in observed) == 20
        assert {record.outcome for record in observed} == {"ok"}
        assert all(record.tokens and record.total >= 0.0 for record in observed)
        units = {record.unit for record in assigned}
        assert {record.unit for record in observed} == units
        assert {(unit.weight, unit.q1, unit.q0) for unit in units} == {(0.5, 1.0, 1.0)}


@on_uvloop
async def test_a_stream_tells_its_first_token_and_the_histograms_their_gaps(tmp_path: Path) -> None:
    slow = "default: {first_token_ms: 50, gap_ms: 10, tokens: 10, tokens_spread: 0, jitter: 0}\n"
    async with worker_stage(tmp_path, scenario=slow) as stage:
        await stage.deploy()
        await stage.roll_out(policy="fast")
        await stage.ask(chat_body(stream=True), session("a"))
        _, (seen,) = await records(stage)
        assert seen.first_token is not None
        assert 0.04 < seen.first_token < seen.total
        assert seen.tokens == 10
        told = {name: values for name, _, values in stage.worker.counts.take()}
        assert sum(told["first_token_seconds"][:-1]) == sum(told["total_seconds"][:-1]) == 1
        assert told["first_token_seconds"][-1] >= seen.first_token  # that counts from the way to the provider
        assert sum(told["gap_seconds"][:-1]) >= 5


class SlowPins(NeverAtOnce):
    """A store that takes its time for pins."""

    delay = 0.3  # s

    def __init__(self, store: Keys) -> None:
        self._store = store

    async def get_key(self, key: str) -> bytes | None:
        await asyncio.sleep(self.delay)
        return await self._store.get_key(key)

    async def set_all_if_absent(self, items: Sequence[tuple[str, bytes, float]]) -> tuple[bytes, ...]:
        await asyncio.sleep(self.delay)
        return await self._store.set_all_if_absent(items)


@pytest.mark.parametrize("streamed", [True, False])
@on_uvloop
async def test_what_pins_take_is_no_latency_of_an_arm(tmp_path: Path, streamed: bool) -> None:
    """Only buckets below the weight are looked up: it would look like a slower canary."""
    async with worker_stage(tmp_path, scenario=SCENARIO) as stage:
        await stage.deploy()
        await stage.roll_out(policy="fast")
        stage.worker.pins._store = SlowPins(stage.worker.store)  # type: ignore[assignment]
        asking = [stage.ask(chat_body(stream=streamed), session(number)) for number in range(16)]
        await asyncio.gather(*asking)
        _, observed = await records(stage)
        assert len(observed) == 16
        assert {record.unit.canary for record in observed} == {False, True}
        assert max(record.total for record in observed) < SlowPins.delay
        assert stage.worker.pins.counts.lookups > 0
        told = [values for name, _, values in stage.worker.counts.take() if name == "total_seconds"]
        slow = bisect_left(LONG, 0.9 * SlowPins.delay)
        assert any(sum(counts[slow:]) for *counts, _ in told)  # what the client waited for


@pytest.mark.parametrize("streamed", [True, False])
@on_uvloop
async def test_an_answer_has_its_price_where_one_is_known(tmp_path: Path, streamed: bool) -> None:
    prices = {"sim": {"input": 1e6, "output": 1000e6}}
    async with worker_stage(tmp_path, scenario=SCENARIO, prices=prices) as stage:
        await stage.deploy()
        await stage.roll_out(policy="fast")
        await stage.ask(chat_body(stream=streamed), session("a"))
        await stage.ask(chat_body(stream=streamed, model="nobody-knows"), session("a"))
        _, (priced, unknown) = await records(stage)
        assert priced.tokens > 0
        assert priced.cost // 1000 == priced.tokens
        assert 0 < priced.cost % 1000 < 200  # tokens of the request
        assert (unknown.tokens > 0, unknown.cost) == (True, None)


@on_uvloop
@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [("error_rate: 1, error_status: 422", "prompt"), ("error_rate: 1, error_status: 503", "provider")],
)
async def test_failures_are_told_apart(tmp_path: Path, behaviour: str, outcome: str) -> None:
    async with worker_stage(tmp_path, scenario=f"default: {{{behaviour}}}\n") as stage:
        await stage.deploy()
        await stage.roll_out(policy="fast")
        await stage.ask(headers=session("a"))
        _, (seen,) = await records(stage)
        assert seen.outcome == outcome
        told = [(name, *labels) for name, labels, values in stage.worker.counts.take() if any(values)]
        assert "total_seconds" not in {name for name, *_ in told}
        assert [labels[-1] for name, *labels in told if name == "requests_total"] == [outcome]


@on_uvloop
async def test_a_version_that_cannot_be_rendered_is_evidence_too(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO) as stage:
        await stage.deploy()
        await stage.roll_out(policy="fast")
        reply = await stage.ask(headers={**session("a"), "x-prompt-variables": '{"nobody": 1}'})
        assert reply.status == 400
        (assigned,), (seen,) = await records(stage)
        assert (seen.outcome, seen.first, seen.unit) == ("prompt", True, assigned.unit)


@on_uvloop
async def test_a_client_that_leaves_and_an_sdk_that_repeats(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario="default: {first_token_ms: 400}\n") as stage:
        await stage.deploy()
        await stage.roll_out(policy="fast")
        client = await stage.connect()
        client.writer.write(request_bytes(chat_body(), session("a")))
        await until(lambda: stage.held()["calls"] == 1)
        await client.close()
        await stage.assert_empty()
        await stage.ask(headers={**session("a"), "x-stainless-retry-count": "1"})
        (assigned,), (left, repeated) = await records(stage)
        assert (left.outcome, left.first, left.again) == ("client", True, False)
        assert (repeated.outcome, repeated.first, repeated.again) == ("ok", False, True)
        assert assigned.unit == left.unit == repeated.unit


@on_uvloop
async def test_by_hand_nothing_is_recorded(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO) as stage:
        await stage.deploy()
        await stage.roll_out()
        await stage.ask(headers=session("a"))
        await until(lambda: not stage.worker.pins._tasks and not stage.worker.pins._new)
        assert stage.worker.snapshots.measured == {}
        assert stage.worker.recorder._books == {}


@on_uvloop
async def test_without_a_session_there_is_no_evidence(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO, sessions={"sources": ["header"]}) as stage:
        await stage.deploy()
        await stage.roll_out(policy="fast")
        await stage.ask(headers=PROMPTED)
        assert await records(stage) == ([], [])


# --- the recorder alone


class Log:
    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.down = False

    async def append(self, log: str, values: Sequence[bytes]) -> int:
        assert log == "evidence/r1"
        self.values += values  # a time-out: written, and nobody knows
        if self.down:
            raise StoreUnavailable("no answer within 1 s")
        return len(self.values)

    async def read(self, log: str, *, after: int, limit: int = 1000) -> tuple[()]:
        return ()

    async def trim(self, log: str, *, through: int) -> None: ...

    def batches(self) -> list[Batch]:
        return [decode_batch(value) for value in self.values]


ROLLOUT = Rollout(
    id="r1",
    prompt="greeter",
    candidate=2,
    baseline=1,
    salt="s",
    phase="progressing",
    weights=(Weight(0.1, 0.0, j0=0.25), Weight(0.5, 100.0, q1=0.5, q0=0.9, j1=0.5, j0=0.5)),
    started_at=0.0,
    started_by="ann",
    policy=POLICIES["standard"],
)
PIN = Pin("stable", 1, 0.1, 1.0, 1.0, measured=True, evidence=True, pinned_at=50.0)
SEEN = Seen(60.0, "ok", 1.0, None, 10, False)


class Desk:
    """A recorder on a log that can fail, with a clock of its own."""

    def __init__(self, buffer: int = 100) -> None:
        self.log = Log()
        self.now = 60.0
        self.running = {"r1": ROLLOUT}
        self.recorder = Recorder(
            self.log, writer="w", running=lambda: self.running, now=lambda: self.now, buffer=buffer
        )

    def end(self, name: str = "a", pin: Pin = PIN) -> None:
        choice = Choice(pin.version, pin.arm, "pin", "r1", name.encode(), pin=pin)
        self.recorder.ended(choice, SEEN)


async def test_a_batch_whose_append_timed_out_is_sent_again_as_it_was() -> None:
    desk = Desk()
    desk.log.down = True
    desk.end("a")
    await desk.recorder.flush()
    desk.end("b")
    desk.log.down = False
    await desk.recorder.flush()
    await desk.recorder.flush()
    first, again, second = desk.log.batches()
    assert first == again
    assert (first.sequence, second.sequence) == (1, 2)
    assert [record.unit.session for batch in (first, second) for record in batch.records] == [b"a", b"b"]


async def test_what_does_not_fit_is_dropped_and_counted() -> None:
    desk = Desk(buffer=3)
    for number in range(5):
        desk.end(str(number))
    assert desk.recorder.dropped == 2
    await desk.recorder.flush()
    desk.end("later")
    await desk.recorder.flush()
    assert [(len(batch.records), batch.dropped) for batch in desk.log.batches()] == [(3, 2), (1, 2)]


async def test_silence_is_told_now_and_then_and_an_end_forgotten() -> None:
    desk = Desk()
    await desk.recorder.flush()
    assert desk.log.values == []
    desk.now += HEARTBEAT
    await desk.recorder.flush()
    assert [(batch.sequence, batch.written_at, batch.records) for batch in desk.log.batches()] == [
        (1, 62.0, ())
    ]
    desk.running = {}
    await desk.recorder.flush()
    desk.end()
    assert desk.recorder._books == {}


async def test_large_batches_are_torn_apart_and_closing_sends_all() -> None:
    desk = Desk(buffer=3 * BATCH)
    for number in range(2 * BATCH + 1):
        desk.end(str(number))
    await asyncio.wait_for(desk.recorder.close(), 5)
    assert [len(batch.records) for batch in desk.log.batches()] == [BATCH, BATCH, 1]


async def test_the_fold_s_clock_moves_with_the_last_batch_of_an_append() -> None:
    desk = Desk(buffer=3 * BATCH)
    for number in range(2 * BATCH + 1):
        desk.end(str(number))
    desk.now += 70.0
    await desk.recorder.flush()
    assert [batch.written_at for batch in desk.log.batches()] == [60.0, 60.0, 130.0]


async def test_what_no_batch_can_hold_takes_no_room() -> None:
    desk = Desk(buffer=1)
    choice = Choice(1, "stable", "pin", "r1", b"a", pin=PIN)
    with pytest.raises(OverflowError):
        desk.recorder.ended(choice, SEEN._replace(tokens=2**70))
    desk.end()
    assert (desk.recorder.dropped, desk.recorder.waiting) == (0, 1)


async def test_one_append_has_a_bounded_size_and_all_of_it_is_sent_again() -> None:
    desk = Desk(buffer=50 * BATCH)
    desk.log.down = True
    for number in range(AT_ONCE * BATCH + 1):
        desk.end(str(number))
    await desk.recorder.flush()
    desk.log.down = False
    await desk.recorder.flush()
    sequences = [batch.sequence for batch in desk.log.batches()]
    assert sequences == [*range(1, AT_ONCE + 1), *range(1, AT_ONCE + 1)]
    assert desk.recorder.waiting == 1
    await desk.recorder.flush()
    assert desk.log.batches()[-1].sequence == AT_ONCE + 1


@pytest.mark.parametrize(
    ("pin", "rates"),
    [
        (PIN, (1.0, 0.25)),
        (Pin("canary", 2, 0.5, 0.5, 0.9, True, True, 150.0), (0.5, 0.5)),
        (Pin("canary", 2, 0.5, 0.5, 0.9, True, True, 99.99), (0.5, 0.5)),
    ],
)
async def test_whether_a_session_is_judged_was_drawn_at_its_pin(pin: Pin, rates: tuple[float, float]) -> None:
    desk = Desk()
    for number in range(50):
        desk.end(str(number), pin)
    await desk.recorder.flush()
    (batch,) = desk.log.batches()
    units: list[Drawn] = [record.unit for record in batch.records]
    assert {(unit.j1, unit.j0) for unit in units} == {rates}
    share = rates[0] if pin.arm == "canary" else rates[1]
    assert [unit.judged for unit in units] == [judged("s", unit.session) < share for unit in units]
    assert 0 < sum(unit.judged for unit in units) < 50


async def test_a_pin_of_a_history_that_is_not_known_is_no_evidence() -> None:
    desk = Desk()
    desk.end(pin=Pin("canary", 2, 0.7, 1.0, 1.0, True, True, 150.0))
    assert desk.recorder._books == {}


async def test_two_flushes_at_once_send_each_batch_once() -> None:
    desk = Desk(buffer=3 * BATCH)
    for number in range(2 * BATCH):
        desk.end(str(number))
    await asyncio.gather(*(desk.recorder.flush() for _ in range(4)))
    assert [(batch.sequence, len(batch.records)) for batch in desk.log.batches()] == [(1, BATCH), (2, BATCH)]
