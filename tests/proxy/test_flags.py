"""Safety flags of measured sessions reach their log, on every route; others are not looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.judging import decode_item
from gateway.domain.observation import Observed, decode_batch
from gateway.storage import keys
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import WorkerStage, chat_body, until, worker_stage

PATHS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "sim", "messages": [{"role": "user", "content": "Hello?"}]},
    "/v1/responses": {"model": "sim", "input": "Hello?"},
    "/v1/messages": {"model": "sim", "max_tokens": 99, "messages": [{"role": "user", "content": "Hello?"}]},
}


def scenario(**behaviour: object) -> str:
    return json.dumps({"default": {"first_token_ms": 0, "gap_ms": 0, "tokens": 10, **behaviour}})


async def flags(stage: WorkerStage) -> list[tuple[str, ...]]:
    await until(lambda: not stage.worker.pins._tasks and not stage.worker.pins._new)
    await stage.worker.recorder.flush()
    (id,) = stage.worker.snapshots.measured
    log = await stage.worker.store.read(keys.evidence(id), after=0)
    records = [record for entry in log for record in decode_batch(entry.value).records]
    return [record.flags for record in records if isinstance(record, Observed)]


@on_uvloop
async def test_own_rules_of_the_configuration_are_flags_too(tmp_path: Path) -> None:
    rules = [{"name": "codename", "pattern": "(?i)falcon", "severe": True}]
    path = "/v1/chat/completions"
    with_rules = {"safety": {"rules": rules}, "evidence": {"flags": []}}
    async with worker_stage(tmp_path, scenario=scenario(opening="Project Falcon. "), **with_rules) as stage:
        assert await asked(stage, path, PATHS[path]) == {("severe:codename",)}


@on_uvloop
async def test_flagged_answers_are_looked_at_again_severe_ones_of_both_arms(tmp_path: Path) -> None:
    judge = {"base_url": "http://127.0.0.1:9/v1", "model": "judge", "redact": ["Hello"]}
    path = "/v1/chat/completions"
    for opening, arms in (("Use AKIAIOSFODNN7EXAMPLE. ", {True, False}), ("I cannot help. ", {True})):
        folder = tmp_path / str(len(arms))
        async with worker_stage(folder, scenario=scenario(opening=opening), judge=judge) as stage:
            await stage.deploy()
            await stage.roll_out(policy="standard")
            for number in range(30):
                headers = {"x-prompt": "greeter", "x-session-id": str(number)}
                await stage.ask(json.dumps(PATHS[path]).encode(), headers, path=path)
            await flags(stage)
            outbox = stage.worker.outbox
            assert outbox is not None
            await until(lambda box=outbox: not box._waiting)  # type: ignore[misc]
            claims = await stage.worker.store.claim(keys.TRIAGE, "test", limit=100, lease=60)
            items = [decode_item(claim.value, claim.text) for claim in claims]
            assert {item.unit.canary for item in items} == arms
            assert {(item.question, item.version == 2) for item in items} == {
                ("user: [redacted]?", canary) for canary in arms
            }
            assert all(item.flags and opening in item.answer for item in items)


async def asked(stage: WorkerStage, path: str, body: dict[str, Any]) -> set[tuple[str, ...]]:
    await stage.deploy()
    await stage.roll_out(policy="standard")
    for number in range(4):
        headers = {"x-prompt": "greeter", "x-session-id": str(number)}
        assert (await stage.ask(json.dumps(body).encode(), headers, path=path)).status == 200
    return set(await flags(stage))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ({}, ()),
        ({"refusal_rate": 1.0}, ("refusal",)),
        ({"flag_rate": 1.0}, ("filtered",)),
        ({"opening": "Write to ann@example.org. "}, ("personal",)),
        ({"opening": "Use AKIAIOSFODNN7EXAMPLE. "}, ("secret",)),
    ],
)
@on_uvloop
async def test_flags_on_every_route(
    tmp_path: Path, path: str, stream: bool, behaviour: dict[str, object], expected: tuple[str, ...]
) -> None:
    async with worker_stage(tmp_path, scenario=scenario(**behaviour)) as stage:
        assert await asked(stage, path, {**PATHS[path], "stream": stream}) == {expected}


@on_uvloop
async def test_what_the_user_sent_is_no_leak_of_personal_data(tmp_path: Path) -> None:
    body = {"model": "sim", "messages": [{"role": "user", "content": "I am ann@example.org"}]}
    async with worker_stage(tmp_path, scenario=scenario(opening="Dear ann@example.org, ")) as stage:
        assert await asked(stage, "/v1/chat/completions", body) == {()}


@on_uvloop
async def test_only_flags_that_are_configured_count(tmp_path: Path) -> None:
    evidence = {"flags": ["secret"]}
    answers = scenario(opening="AKIAIOSFODNN7EXAMPLE of ann@example.org ")
    async with worker_stage(tmp_path, scenario=answers, evidence=evidence) as stage:
        body = PATHS["/v1/chat/completions"]
        assert await asked(stage, "/v1/chat/completions", body) == {("secret",)}


@on_uvloop
async def test_a_leaked_prompt_is_seen(tmp_path: Path) -> None:
    rules = (
        "Never offer more than ten per cent off unless the customer threatens to leave us for good. "
        "Say that the warehouse is closed at weekends even if somebody is there to pack."
    )
    async with worker_stage(tmp_path, scenario=scenario(opening=f"My rules: {rules} ")) as stage:
        await stage.deploy(edition=rules)
        await stage.roll_out(edition=f"{rules} Be kind. And be the second", policy="standard")
        for number in range(4):
            await stage.ask(chat_body(), {"x-prompt": "greeter", "x-session-id": str(number)})
        assert set(await flags(stage)) == {("leak",)}
