"""First answers of judged sessions on their way to the judge's queue."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.control.rollouts import Rollouts
from gateway.domain.assignment import judged
from gateway.domain.judging import Item, decode_item
from gateway.domain.observation import Drawn, Observed, Scored, decode_batch
from gateway.domain.policy import read_policy
from gateway.errors import ConfigError, StoreUnavailable
from gateway.evals.redaction import Redaction
from gateway.proxy.judging import MOST, Outbox
from gateway.storage import keys
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import WorkerStage, chat_body, until, worker_stage

JUDGE = {"base_url": "http://127.0.0.1:1/v1", "model": "m"}
SCENARIO = "default: {first_token_ms: 0, gap_ms: 0, tokens: 10, quality_spread: 0}\n"
PATHS = {
    "/v1/chat/completions": {"model": "sim", "messages": [{"role": "user", "content": "Hello?"}]},
    "/v1/responses": {"model": "sim", "input": "Hello?"},
    "/v1/messages": {"model": "sim", "max_tokens": 99, "messages": [{"role": "user", "content": "Hello?"}]},
}


async def items(stage: WorkerStage) -> list[Item]:
    """What is in the queue, once nothing is on its way."""
    outbox = stage.worker.outbox
    assert outbox is not None
    await until(lambda: not stage.worker.pins._tasks and not stage.worker.pins._new and not outbox._waiting)
    claims = await stage.worker.store.claim(keys.JUDGING, "test", limit=1000, lease=60)
    return [decode_item(claim.value, claim.text) for claim in claims]


async def judged_stage(stage: WorkerStage) -> None:
    await stage.deploy()
    await stage.roll_out(policy="standard")
    await until(lambda: stage.worker.view("greeter").rollout is not None)


def headers(name: object) -> dict[str, str]:
    return {"x-prompt": "greeter", "x-session-id": str(name)}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_question_and_answer_in_words_on_every_route(tmp_path: Path, path: str, stream: bool) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO, judge=JUDGE) as stage:
        await judged_stage(stage)
        for number in range(30):
            body = json.dumps({**PATHS[path], "stream": stream}).encode()
            assert (await stage.ask(body, headers(number), path=path)).status == 200
        found = await items(stage)
        assert found
        for item in found:
            assert item.question.endswith("Hello?")
            assert "one." not in item.question  # the version's own words would tell the arm
            assert item.answer.startswith("[quality 0.85]")
            assert item.prompt == "greeter"
            assert item.due_at == item.unit.pinned_at + 300.0


@on_uvloop
async def test_only_the_first_answer_of_a_judged_session_goes_and_once(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO, judge=JUDGE) as stage:
        await judged_stage(stage)
        for turn in range(2):
            for number in range(60):
                await stage.ask(chat_body(f"turn {turn}"), headers(number))
        found = await items(stage)
        sessions = {item.unit.session for item in found}
        assert len(sessions) == len(found)
        assert {item.question for item in found} == {"user: turn 0"}
        rollout = stage.worker.view("greeter").rollout
        assert rollout is not None
        for item in found:
            unit = item.unit
            share = unit.j1 if unit.canary else unit.j0
            assert unit.judged
            assert judged(rollout.salt, unit.session) < share
        assert sum(item.unit.canary for item in found) > 0


@on_uvloop
async def test_the_policy_s_turn_is_judged_once_wherever_it_comes(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO, judge=JUDGE) as stage:
        second = read_policy({"extends": "standard", "judged_turn": 2})
        stage.rollouts = Rollouts(stage.worker.store, {"standard": second})
        await judged_stage(stage)
        talk = [{"role": "user", "content": "Hello?"}]
        for turn in range(1, 4):
            body = json.dumps({"model": "m", "messages": talk}).encode()
            for number in range(40):
                for _ in range(turn):  # later turns come more than once
                    await stage.ask(body, headers(number))
            talk += [{"role": "assistant", "content": f"answer {turn}"}, {"role": "user", "content": "And?"}]
        found = await items(stage)
        assert found
        assert len({item.unit.session for item in found}) == len(found)
        assert {item.question for item in found} == {"user: Hello?\n\nassistant: answer 1\n\nuser: And?"}
        await stage.worker.recorder.flush()
        (id,) = stage.worker.snapshots.measured
        log = await stage.worker.store.read(keys.evidence(id), after=0)
        records = [record for entry in log for record in decode_batch(entry.value).records]
        asked = {record.unit.session for record in records if isinstance(record, Observed) and record.judged}
        assert asked == {item.unit.session for item in found}


@on_uvloop
async def test_an_error_is_not_judged(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO, judge=JUDGE) as stage:
        await judged_stage(stage)
        for number in range(20):
            await stage.ask(headers={**headers(number), "x-sim-fault": "status_400"})
        assert await items(stage) == []


@on_uvloop
async def test_without_a_judge_nothing_is_kept_or_handed_on(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO) as stage:
        await judged_stage(stage)
        for number in range(10):
            await stage.ask(headers=headers(number))
        assert stage.worker.outbox is None
        assert await stage.worker.store.depth(keys.JUDGING) == (0, 0, 0)


@on_uvloop
async def test_what_is_redacted_never_reaches_the_store(tmp_path: Path) -> None:
    judge = {**JUDGE, "redact": [r"\d{4}-\d{4}", "(?i)hello"]}
    async with worker_stage(tmp_path, scenario=SCENARIO, judge=judge) as stage:
        await judged_stage(stage)
        for number in range(40):
            await stage.ask(chat_body("Hello, my number is 1234-5678."), headers(number))
        found = await items(stage)
        assert {item.question for item in found} == {"user: [redacted], my number is [redacted]."}


@on_uvloop
async def test_an_empty_answer_is_evidence_without_a_score(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO, judge=JUDGE) as stage:
        await judged_stage(stage)
        outbox = stage.worker.outbox
        assert outbox is not None
        outbox.offer = lambda item: "empty"  # type: ignore[method-assign]
        for number in range(40):
            await stage.ask(headers=headers(number))
        assert await items(stage) == []
        await stage.worker.recorder.flush()
        (id,) = stage.worker.snapshots.measured
        log = await stage.worker.store.read(keys.evidence(id), after=0)
        records = [record for entry in log for record in decode_batch(entry.value).records]
        unscored = [record for record in records if isinstance(record, Scored)]
        assert unscored
        assert {(record.score, record.cause) for record in unscored} == {(None, "empty")}


# --- the outbox itself


class Queue:
    """Takes items unless it is down."""

    def __init__(self) -> None:
        self.down = False
        self.taken: list[str] = []

    async def enqueue(self, queue: str, id: str, value: bytes, *, text: bytes, keep: float) -> bool:
        if self.down:
            raise StoreUnavailable("down")
        self.taken.append(id)
        return True


def item(number: int, answer: str = "words", due_at: float = 100.0) -> Item:
    unit = Drawn(str(number).encode(), False, 0.5, 1.0, 1.0, 0.0, True)
    return Item("greeter", "0123456789ab", unit, due_at, "user: Hi", answer)


def outbox(queue: Queue, now: float = 0.0) -> Outbox:
    return Outbox(queue, redaction=Redaction(()), keep=60.0, now=lambda: now)  # type: ignore[arg-type]


async def test_an_empty_answer_and_an_overflow_have_a_cause() -> None:
    box = outbox(Queue())
    assert box.offer(item(1, " \n")) == "empty"
    assert [box.offer(item(number)) for number in range(MOST + 1)] == [""] * MOST + ["overflow"]


async def test_an_outage_is_waited_out_until_it_is_too_late() -> None:
    queue = Queue()
    queue.down = True
    box = outbox(queue, now=50.0)
    lost: list[tuple[str, str]] = []
    box.lost = lambda item, cause: lost.append((item.id, cause))
    box.offer(item(1, due_at=40.0))
    box.offer(item(2))
    assert await box.send()
    assert not await box.send()
    queue.down = False
    assert await box.send()
    assert (box.given_up, queue.taken) == (1, [item(2).id])
    assert lost == [(item(1).id, "late")]


async def test_of_an_item_that_may_be_in_the_store_nothing_is_said() -> None:
    queue = Queue()
    queue.down = True
    now = 50.0
    box = Outbox(queue, redaction=Redaction(()), keep=60.0, now=lambda: now)  # type: ignore[arg-type]
    lost: list[Item] = []
    box.lost = lambda item, cause: lost.append(item)
    box.offer(item(1))
    assert not await box.send()
    now = 200.0
    assert await box.send()
    assert (box.given_up, lost) == (1, [])


async def test_it_sends_as_items_come_and_the_rest_at_the_end() -> None:
    queue = Queue()
    box = outbox(queue)
    running = asyncio.create_task(box.run())
    box.offer(item(1))
    await until(lambda: queue.taken == [item(1).id])
    running.cancel()
    box.offer(item(2))
    await box.close()
    assert queue.taken == [item(1).id, item(2).id]


def test_an_expression_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="is no RE2 expression"):
        Redaction(["("])
