"""Stable requests of a shadow stage on their way to the queue of copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.control.plan import By
from gateway.control.rollouts import Rollouts, Start
from gateway.domain.policy import read_policy
from gateway.domain.shadowing import Copy, decode_copy
from gateway.proxy.shadowing import _Room
from gateway.storage import keys
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import WorkerStage, chat_body, until, worker_stage

JUDGE = {"base_url": "http://127.0.0.1:1/v1", "model": "m"}
SCENARIO = "default: {first_token_ms: 0, gap_ms: 0, tokens: 10, quality_spread: 0}\n"
POLICY = read_policy({"extends": "standard", "stages": ["shadow", 0.05, 0.5]})
OFTEN = {"per_minute": 6000}
PATHS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "sim", "messages": [{"role": "user", "content": "Hello?"}]},
    "/v1/responses": {"model": "sim", "input": "Hello?"},
    "/v1/messages": {"model": "sim", "max_tokens": 99, "messages": [{"role": "user", "content": "Hello?"}]},
}


async def shadow_stage(stage: WorkerStage) -> None:
    await stage.deploy()
    number = await stage.push(edition="second")
    rollouts = Rollouts(stage.registry.store, {"shadowed": POLICY})
    await rollouts.start("greeter", Start(number, policy="shadowed"), By("test", "a test"))
    stage.clock.ahead += 2.0
    await stage.worker.snapshots.poll()


async def copies(stage: WorkerStage) -> list[Copy]:
    """What is in the queue, once nothing is on its way."""
    shadowing = stage.worker.shadowing
    assert shadowing is not None
    pins = stage.worker.pins
    await until(lambda: not pins._tasks and not pins._new and not shadowing.sender._waiting)
    claims = await stage.worker.store.claim(keys.SHADOWING, "test", limit=1000, lease=60)
    return [decode_copy(claim.value, claim.text) for claim in claims]


def headers(name: object, **more: str) -> dict[str, str]:
    return {"x-prompt": "greeter", "x-session-id": str(name), **more}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_a_request_and_its_answer_on_every_route(tmp_path: Path, path: str, stream: bool) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO, judge=JUDGE, shadow=OFTEN) as stage:
        await shadow_stage(stage)
        body = json.dumps({**PATHS[path], "stream": stream}).encode()
        sent = headers(1, **{"anthropic-version": "2023-06-01", "authorization": "Bearer secret"})
        reply = await stage.ask(body, sent, path=path)
        assert (reply.status, reply.headers["x-prompt-arm"]) == (200, "stable")
        (found,) = await copies(stage)
        copied: dict[str, Any] = json.loads(found.body)
        assert copied == {**PATHS[path], **({"store": False} if path == "/v1/responses" else {})}
        assert found.path == path
        assert found.answer.startswith("[quality 0.85]")
        assert (found.prompt, found.outcome, found.flags) == ("greeter", "ok", ())
        assert found.headers == (("anthropic-version", "2023-06-01"),)
        assert found.due_at == found.unit.pinned_at + 300.0
        assert (found.unit.canary, found.unit.weight, found.unit.judged) == (False, 0.0, False)


@on_uvloop
async def test_a_session_brings_one_and_its_variables_go_with_it(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO, judge=JUDGE, shadow=OFTEN) as stage:
        await shadow_stage(stage)
        given = headers("a", **{"x-prompt-variables": '{"name": "Ann"}'})
        refused = await stage.ask(chat_body("turn 0"), given)
        assert refused.status == 400  # this prompt takes no variables: stable failed by the prompt's fault
        for turn in range(3):
            await stage.ask(chat_body(f"turn {turn}"), headers("b"))
        found = {copy.unit.session: copy for copy in await copies(stage)}
        assert len(found) == 1
        assert b"turn 0" in next(iter(found.values())).body


@on_uvloop
async def test_a_failure_of_stable_by_the_prompts_fault_is_a_pair_and_one_of_the_provider_is_none(
    tmp_path: Path,
) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO, judge=JUDGE, shadow=OFTEN) as stage:
        await shadow_stage(stage)
        await stage.ask(headers=headers("a", **{"x-sim-fault": "status_400"}))
        await stage.ask(headers=headers("b", **{"x-sim-fault": "status_500"}))
        (found,) = await copies(stage)
        assert (found.outcome, found.answer) == ("prompt", "")


@on_uvloop
async def test_what_holds_something_to_redact_never_reaches_the_store(tmp_path: Path) -> None:
    judge = {**JUDGE, "redact": [r"\d{4}-\d{4}", "quality"]}
    async with worker_stage(tmp_path, scenario=SCENARIO, judge=judge, shadow=OFTEN) as stage:
        await shadow_stage(stage)
        await stage.ask(chat_body("My number is 1234-5678."), headers("a"))
        await stage.ask(chat_body("Hi"), headers("b"))
        (found,) = await copies(stage)
        assert found.answer.startswith("[[redacted] 0.85]")
        assert stage.worker.shadowing is not None
        assert stage.worker.shadowing.left_out == {"redacted": 1}


@on_uvloop
async def test_what_a_provider_would_act_on_or_is_too_large_is_counted_and_left_alone(tmp_path: Path) -> None:
    async with worker_stage(
        tmp_path, scenario=SCENARIO, judge=JUDGE, shadow={**OFTEN, "request_bytes": 2000}
    ) as stage:
        await shadow_stage(stage)
        await stage.ask(chat_body("Hi", web_search_options={}), headers("a"))
        await stage.ask(chat_body("x" * 3000), headers("b"))
        assert await copies(stage) == []
        assert stage.worker.shadowing is not None
        assert stage.worker.shadowing.left_out == {"tools": 1, "large": 1}


@on_uvloop
async def test_a_worker_hands_on_so_many_a_minute(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO, judge=JUDGE, shadow={"per_minute": 3}) as stage:
        await shadow_stage(stage)
        for number in range(8):
            await stage.ask(headers=headers(number))
        assert len(await copies(stage)) == 3


def test_room_comes_back_with_time_and_no_more_than_a_minutes() -> None:
    room = _Room(0.0, 2.0)
    for _ in range(2):
        assert room.left(0.0, 2.0)
        room.take()
    assert not room.left(29.0, 2.0)
    assert room.left(30.0, 2.0)
    room.take()
    assert room.left(1000.0, 2.0)
    room.take()
    assert room.left(1000.0, 2.0)
    room.take()
    assert not room.left(1000.0, 2.0)


@on_uvloop
async def test_a_rollout_that_serves_its_candidate_copies_nothing(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO, judge=JUDGE, shadow=OFTEN) as stage:
        await stage.deploy()
        await stage.roll_out(policy="standard")
        for number in range(10):
            await stage.ask(headers=headers(number))
        assert await copies(stage) == []


@on_uvloop
async def test_without_a_judge_nothing_is_copied(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, scenario=SCENARIO) as stage:
        await shadow_stage(stage)
        await stage.ask(headers=headers(1))
        assert stage.worker.shadowing is None
        assert await stage.worker.store.depth(keys.SHADOWING) == (0, 0, 0)
