"""What is counted and what it costs, lines 24 and 25 of what real clients need."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gateway.proxy.gauges import counted
from tests.support.gateway import Gateway, ask_once, make_gateway, running
from tests.support.metrics import Key, by_key, read, scraped, total
from tests.support.official import joined, official
from tests.support.providers import Provider, answer, providers_stage
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import WorkerStage, chat_body, request_bytes, until, worker_stage

PROMPTED = {"x-prompt": "greeter"}
PRICES = {
    "sim": {
        "input": 1.0,
        "output": 10.0,
        "cache_read": 0.1,
        "cache_write": 1.25,
        "audio_in": 40.0,
        "audio_out": 80.0,
    }
}  # USD per million tokens


def told(stage: WorkerStage) -> dict[Key, float]:
    return by_key(counted(stage.worker))


def tokens(found: dict[Key, float], version: int = 1) -> dict[str, float]:
    return {
        key[3]: value for key, value in found.items() if key[:3] == ("tokens_total", "greeter", str(version))
    }


@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_line_24_cached_reasoning_and_audio_tokens_are_kept_apart(tmp_path: Path, stream: bool) -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 300,
        "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 50},
    }
    async with providers_stage(tmp_path, [Provider(completion(usage, stream))], prices=PRICES) as stage:
        await stage.deploy()
        reply = await stage.ask(chat_body(stream=stream), PROMPTED)
        assert (reply.status, reply.end) == (200, "clean")
        found = told(stage)
    assert tokens(found) == {
        "input": 300,
        "cache_read": 600,
        "input_audio": 100,
        "output": 50,
        "reasoning": 200,
        "output_audio": 50,
    }
    cost = (300 * 1.0 + 600 * 0.1 + 100 * 40.0 + 250 * 10.0 + 50 * 80.0) / 1e6
    assert found[("cost_usd_total", "greeter", "1")] == pytest.approx(cost)


def completion(usage: dict[str, Any], stream: bool) -> bytes:
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    if not stream:
        choice["message"] = {"role": "assistant", "content": "Yes."}
        return answer(body=json.dumps({"id": "c", "choices": [choice], "usage": usage}).encode())
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": "Yes."}}]},
        {"choices": [{**choice, "delta": {}}]},
        {"choices": [], "usage": usage},
    ]
    events = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
    return head % len(events) + events


@on_uvloop
async def test_line_24_cache_writes_are_priced(tmp_path: Path) -> None:
    usage = {
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 400,
    }
    body = json.dumps({"type": "message", "content": [], "stop_reason": "end_turn", "usage": usage}).encode()
    async with providers_stage(tmp_path, [Provider(answer(body=body))], prices=PRICES) as stage:
        await stage.deploy()
        reply = await stage.ask(chat_body(max_tokens=64), PROMPTED, path="/v1/messages")
        assert reply.status == 200, reply.body
        found = told(stage)
    assert tokens(found) == {"input": 100, "cache_read": 1000, "cache_write": 400, "output": 20}
    cost = (100 * 1.0 + 1000 * 0.1 + 400 * 1.25 + 20 * 10.0) / 1e6
    assert found[("cost_usd_total", "greeter", "1")] == pytest.approx(cost)


@on_uvloop
async def test_line_24_a_stream_that_the_client_left_costs_what_it_had_brought(tmp_path: Path) -> None:
    pace = {"x-sim-first-token-ms": "0", "x-sim-gap-ms": "20", "x-sim-tokens": "500"}
    async with worker_stage(tmp_path, prices=PRICES) as stage:
        await stage.deploy()
        client = await stage.connect()
        client.writer.write(request_bytes(chat_body("word " * 400, stream=True), {**PROMPTED, **pace}))
        await client.reader.readuntil(b"\r\n\r\n")
        for _ in range(10):
            await client.reader.readuntil(b"\n\n\r\n")
        await client.close()
        await until(lambda: stage.simulator.provider.journal.cancelled == 1)
        found = told(stage)
    assert found[("requests_total", "greeter", "1", "stable", "client")] == 1
    assert found[("estimated_answers_total", "greeter", "1")] == 1
    used = tokens(found)
    assert used["input"] == pytest.approx(530, rel=0.1)  # 2000 bytes, and what stands around them
    assert 10 <= used["output"] < 100
    assert found[("cost_usd_total", "greeter", "1")] == pytest.approx(
        (used["input"] * 1.0 + used["output"] * 10.0) / 1e6
    )


@on_uvloop
async def test_line_24_a_whole_answer_is_never_estimated(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage, official(stage, prompt="greeter") as client:
        await stage.deploy()
        messages: Any = [{"role": "user", "content": "Hello?"}]
        await joined(
            await client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
        )
        await stage.ask(chat_body(), {**PROMPTED, "x-sim-fault": "close_before_head"})
        found = told(stage)
    assert not total(found, "estimated_answers_total")
    assert found[("requests_total", "greeter", "1", "stable", "ok")] == 1
    assert tokens(found)["output"] > 0
    assert total(found, "cost_usd_total") > 0  # of the price list that comes with the gateway


async def test_line_25_metrics_add_up_all_workers_and_never_go_back(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path)
    with running(gateway):
        ok: Key = ("requests_total", "greeter", "1", "stable", "ok")
        await _ask(gateway, 40)
        found = await _until_counted(gateway, ok, 40)
        assert found[("total_seconds_count", "greeter", "1", "default", "gpt-4o-mini")] == 40
        assert found[("overhead_seconds_count",)] == 40
        assert found[("processes", "worker", "true")] == 2
        assert found[("upstream_workers", "default", "closed")] == 2

        killed = gateway.worker_pids()[0]
        os.kill(killed, signal.SIGKILL)
        await _until_replaced(gateway, {killed})
        found = await _until_counted(gateway, ok, 40)
        assert found[("process_restarts_total", "worker")] == 1
        await _ask(gateway, 40)
        await _until_counted(gateway, ok, 80)

        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGHUP)
        await _until_replaced(gateway, set(gateway.worker_pids()))
        await _ask(gateway, 10)
        await _until_counted(gateway, ok, 90)


async def _ask(gateway: Gateway, times: int) -> None:
    """On connections of their own, and so on any worker."""
    await asyncio.gather(*(ask_once(gateway.port, chat_body()) for _ in range(times)))


async def _until_replaced(gateway: Gateway, pids: set[int]) -> None:
    async with asyncio.timeout(30):
        while True:
            status = await asyncio.to_thread(gateway.ready)
            workers = [child for name, child in status["children"].items() if name.startswith("worker-")]
            if all(child["ready"] and child["pid"] not in pids for child in workers):
                return
            await asyncio.sleep(0.05)


async def _until_counted(gateway: Gateway, key: Key, count: int) -> dict[Key, float]:
    """Workers tell what they counted about once a second."""
    async with asyncio.timeout(20):
        while (found := read(await asyncio.to_thread(scraped, gateway))).get(key, 0) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert found[key] == count
    return found
