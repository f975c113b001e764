"""Streams through a worker: events pass as they come, and nothing goes on once the client has left."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path

import pytest

from tests.support.scripted_provider import on_uvloop
from tests.support.worker import WorkerStage, chat_body, request_bytes, until, worker_stage

GAP = 0.05  # s between two events
SLOW = f"default: {{first_token_ms: 50, gap_ms: {GAP * 1000:.0f}, tokens: 20}}"
PROMPTED = {"x-prompt": "greeter"}
LEAVERS = 200


@pytest.mark.parametrize("headers", [{}, PROMPTED], ids=["passed", "prompted"])
@on_uvloop
async def test_each_event_arrives_before_the_next_is_sent(tmp_path: Path, headers: dict[str, str]) -> None:
    async with worker_stage(tmp_path, scenario=SLOW) as stage:
        await stage.deploy()
        await stage.roll_out()
        client = await stage.connect()
        started = time.monotonic()
        client.writer.write(request_bytes(chat_body(stream=True), headers))
        status, answered = await client.head()
        arrived = [(time.monotonic(), piece) async for piece in client.pieces(status, answered)]
        await client.close()
    assert len(arrived) > 10
    together = [piece for _, piece in arrived[:-1] if piece.count(b"\n\n") != 1]
    assert len(together) <= 1, together  # the machine may have been busy once
    late = [at - started - 0.05 - GAP * number for number, (at, _) in enumerate(arrived)]
    assert sorted(late)[len(late) // 2] < GAP, late  # the middle one: this machine may be busy for a moment
    assert arrived[-1][1].endswith(b"data: [DONE]\n\n")
    assert all(b'"usage":{' not in piece for _, piece in arrived)


async def leave(stage: WorkerStage, number: int, chance: random.Random) -> None:
    client = await stage.connect()
    body = chat_body(f"question {number}", stream=chance.random() < 0.7)
    path = "/v1/embeddings" if chance.random() < 0.1 else "/v1/chat/completions"
    headers = {**PROMPTED, "x-sim-first-token-ms": "300", "x-sim-gap-ms": "60", "x-sim-tokens": "100"}
    client.writer.write(request_bytes(body, headers, path=path))
    if (
        number % 4
    ):  # a quarter may leave before the provider has heard of them, as on a busy machine all would
        journal = stage.simulator.provider.journal
        await until(lambda: journal.requests >= LEAVERS * 3 // 4, 20.0)
    await asyncio.sleep(chance.uniform(0, 0.9))
    if chance.random() < 0.5:
        client.writer.transport.abort()
    await client.close()


@on_uvloop
async def test_clients_that_leave_at_random_moments_cancel_their_upstream(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out()
        chance = random.Random(20)
        await asyncio.gather(*(leave(stage, number, chance) for number in range(LEAVERS)))
        journal = stage.simulator.provider.journal
        await until(lambda: journal.open == 0, 1.0)
        assert journal.cancelled == journal.requests - journal.completed
        assert journal.cancelled > LEAVERS / 2
        await stage.assert_empty(1.0)
        assert (await stage.ask(headers=PROMPTED)).status == 200


@on_uvloop
async def test_a_client_that_does_not_read_stops_the_provider_and_then_gets_all(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        client = await stage.connect()
        client.writer.write(request_bytes(chat_body(), {**PROMPTED, "x-sim-fault": "huge_body"}))
        await asyncio.sleep(0.3)
        assert stage.simulator.provider.journal.open == 1, "the provider could send all of it"
        reply = await client.reply()
        await client.close()
        assert reply.end == "clean"
        assert len(json.loads(reply.body)) == 32 * 2**20
        await stage.assert_empty()


@on_uvloop
async def test_usage_is_asked_for_and_taken_out_and_a_failure_stays_one(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        reply = await stage.ask(chat_body(stream=True), {**PROMPTED, "x-sim-fault": "reset_mid_stream"})
        assert reply.end in ("cut", "reset")
        assert reply.events[-1].startswith(b'data: {"error":')
        assert stage.sent()["stream_options"] == {"include_usage": True}
        reply = await stage.ask(chat_body(stream=True), PROMPTED)
        assert reply.end == "clean"
        assert reply.events[-1] == b"data: [DONE]"
        assert b'"choices":[]' not in reply.body
        wish = {"include_usage": True}
        reply = await stage.ask(chat_body(stream=True, stream_options=wish), PROMPTED)
        assert b'"choices":[]' in reply.events[-2]


@on_uvloop
async def test_a_provider_without_stream_options_is_asked_once_and_then_without(tmp_path: Path) -> None:
    headers = {**PROMPTED, "x-sim-fault": "status_400_stream_options"}
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        for sent_so_far in (2, 3, 4):
            reply = await stage.ask(chat_body(stream=True), headers)
            assert (reply.status, reply.end, reply.events[-1]) == (200, "clean", b"data: [DONE]")
            assert stage.simulator.stats["requests"] == sent_so_far
            assert "stream_options" not in stage.sent()
        own = await stage.ask(chat_body(stream=True, stream_options={"include_usage": True}), headers)
        assert (own.status, own.error["param"]) == (400, "stream_options")
        other = await stage.ask(chat_body(stream=True, model="another"), headers)
        assert other.status == 200
        await stage.assert_empty()


@on_uvloop
async def test_another_400_is_the_client_s_own_and_passes_unchanged(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        reply = await stage.ask(chat_body(stream=True), {**PROMPTED, "x-sim-fault": "status_400"})
        assert (reply.status, reply.error["code"]) == (400, "simulated_400")
        assert reply.headers["x-prompt-version"] == "1"
        assert stage.simulator.stats["requests"] == 1
        assert not stage.worker.no_usage


@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_an_answer_that_is_compressed_all_the_same_is_unpacked(tmp_path: Path, stream: bool) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        plain = await stage.ask(chat_body(stream=stream), PROMPTED)
        packed = await stage.ask(chat_body(stream=stream), {**PROMPTED, "x-sim-fault": "gzip"})
        assert "content-encoding" not in packed.headers
        assert (packed.body, packed.end) == (plain.body, "clean")
        passed = await stage.ask(chat_body(stream=stream), {"x-sim-fault": "gzip"})
        assert passed.headers["content-encoding"] == "gzip"


@on_uvloop
async def test_a_stream_that_breaks_inside_of_an_event_ends_it_first(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        for headers in ({}, PROMPTED):
            body = chat_body(stream=True)
            reply = await stage.ask(body, {**headers, "x-sim-fault": "short_body"})
            assert reply.end in ("cut", "reset")
            assert json.loads(reply.events[-1].removeprefix(b"data: "))["error"]["code"] == "upstream_broken"
