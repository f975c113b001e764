"""`POST /v1/feedback` on the data port: the signed id of an answer is all it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.control.plan import By
from gateway.control.rollouts import Rollouts, Start
from gateway.domain.feedback import Feedback, decode_feedback
from gateway.domain.observation import Assigned, Told, decode_batch
from gateway.domain.policy import read_policies
from gateway.errors import StoreUnavailable
from gateway.proxy.feedback import MOST_BYTES
from gateway.storage import keys
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import Reply, WorkerStage, until, worker_stage

PATH = "/v1/feedback"


async def tell(stage: WorkerStage, id: str, **more: object) -> Reply:
    return await stage.ask(json.dumps({"request_id": id, **more}).encode(), path=PATH)


async def stored(stage: WorkerStage, rollout: str) -> list[Feedback]:
    log = await stage.worker.store.read(keys.feedback(rollout), after=0)
    return [decode_feedback(record.value) for record in log]


@on_uvloop
async def test_feedback_on_an_answer_of_a_rollout(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out()
        answer = await stage.ask(headers={"x-prompt": "greeter", "x-session-id": "a"})
        id, rollout = answer.headers["x-request-id"], answer.headers["x-prompt-rollout"]
        reply = await tell(stage, id, score="down", comment="rude")
        assert (reply.status, reply.body) == (200, b'{"stored":true}')
        assert (await tell(stage, id, score=1)).status == 200
        first, second = await stored(stage, rollout)
        assert (first.score, first.comment, second.score) == (0.0, "rude", 1.0)
        assert first.version == int(answer.headers["x-prompt-version"])
        assert first.canary is (answer.headers["x-prompt-arm"] == "canary")
        assert len(first.session) == 8
        await stage.assert_empty()


@on_uvloop
async def test_an_outcome_that_the_policy_names_is_evidence_of_its_session(tmp_path: Path) -> None:
    goal = {"extends": "fast", "outcomes": {"resolved": {"tolerance": 0.1, "gate": True}}}
    async with worker_stage(tmp_path, policies={"sales": goal}) as stage:
        await stage.deploy()
        policy = read_policies({"sales": goal})["sales"]
        rollouts = Rollouts(stage.registry.store, {"sales": policy})
        await stage.push(edition="second")
        await rollouts.start("greeter", Start(2, policy="sales"), By("ann"))
        await until(lambda: stage.worker.view("greeter").rollout is not None)
        answer = await stage.ask(headers={"x-prompt": "greeter", "x-session-id": "a"})
        id, rollout = answer.headers["x-request-id"], answer.headers["x-prompt-rollout"]
        for outcome in ("resolved", "purchase"):
            assert (await tell(stage, id, outcome=outcome)).status == 200
        await until(lambda: not stage.worker.pins._tasks and not stage.worker.pins._new)
        await stage.worker.recorder.flush()
        log = await stage.worker.store.read(keys.evidence(rollout), after=0)
        records = [record for entry in log for record in decode_batch(entry.value).records]
        (told,) = [record for record in records if isinstance(record, Told)]
        (assigned,) = [record for record in records if isinstance(record, Assigned)]
        assert (told.outcome, told.score) == ("resolved", 1.0)
        assert assigned.unit.session.startswith(told.session)


@on_uvloop
async def test_feedback_on_an_answer_outside_of_any_rollout(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        answer = await stage.ask(headers={"x-prompt": "greeter"})
        assert (await tell(stage, answer.headers["x-request-id"], outcome="resolved")).status == 200
        (only,) = await stored(stage, "")
        assert (only.outcome, only.score) == ("resolved", 1.0)


@on_uvloop
async def test_forged_and_expired_ids_are_refused(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, feedback={"max_age": 3600}) as stage:
        await stage.deploy()
        id = (await stage.ask(headers={"x-prompt": "greeter"})).headers["x-request-id"]
        flipped = id[:-1] + ("A" if id[-1] != "A" else "B")
        for forged in ("", "pc1.", flipped, id + "A", "x" * 1000):
            reply = await tell(stage, forged, score=1)
            assert (reply.status, reply.error["param"]) == (403, "request_id")
        stage.worker.snapshots._offset += 3700.0
        reply = await tell(stage, id, score=1)
        assert reply.status == 403
        assert "expired" in reply.error["message"]
        assert await stored(stage, "") == []


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b'{"request_id": 1}', 400), (b'{"a":"' + b"x" * MOST_BYTES + b'"}', 413)],
)
@pytest.mark.parametrize("chunked", [False, True])
@on_uvloop
async def test_what_is_no_feedback(tmp_path: Path, body: bytes, status: int, chunked: bool) -> None:
    if chunked and not body:
        return
    async with worker_stage(tmp_path) as stage:
        reply = await stage.ask(body, path=PATH, chunked=chunked)
        assert reply.status == status
        assert set(reply.error) == {"message", "type", "param", "code"}


@on_uvloop
async def test_a_store_that_is_down_is_said(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        id = (await stage.ask(headers={"x-prompt": "greeter"})).headers["x-request-id"]

        async def down(log: str, values: object) -> int:
            raise StoreUnavailable("down")

        stage.worker.desk._store = type("Down", (), {"append": staticmethod(down)})()
        assert (await tell(stage, id, score=1)).status == 503


@on_uvloop
async def test_other_methods_are_refused(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        client = await stage.connect()
        reply = await client.ask(b"GET /v1/feedback HTTP/1.1\r\nhost: test\r\n\r\n")
        await client.close()
        assert reply.status == 405


@on_uvloop
async def test_what_is_redacted_is_not_stored_with_a_comment(tmp_path: Path) -> None:
    judge = {"base_url": "http://127.0.0.1:1/v1", "model": "m", "redact": [r"\d{4}-\d{4}"]}
    async with worker_stage(tmp_path, judge=judge) as stage:
        await stage.deploy()
        answer = await stage.ask(headers={"x-prompt": "greeter"})
        await tell(stage, answer.headers["x-request-id"], score="down", comment="my number is 1234-5678")
        (only,) = await stored(stage, "")
        assert only.comment == "my number is [redacted]"
