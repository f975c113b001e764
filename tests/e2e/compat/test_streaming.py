"""Streams as clients need them, lines 7 to 14 of what real clients need."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.wire.chat_events import ChatScanner
from tests.simulator.wire import ask
from tests.support.gateway import make_gateway
from tests.support.official import MESSAGES, joined, official
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import CHAT, chat_body, request_bytes, until, worker_stage

PROMPTED = {"x-prompt": "greeter"}
WISH = {"stream_options": {"include_usage": True}}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


async def streamed(client: openai.AsyncOpenAI, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    return await client.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, extra_headers=headers or {}, **fields
    )


SHAPES = ["split_utf8", "byte_by_byte", "crlf_events", "cr_events", "bom", "huge_event", "chunk_extension"]


@pytest.mark.parametrize("fault", SHAPES)
@on_uvloop
async def test_line_07_bytes_are_relayed_as_they_come_wherever_they_are_split(
    tmp_path: Path, fault: str
) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        for headers in ({}, PROMPTED):
            body = chat_body("Grüße ☃ 🙂", stream=True, **WISH)
            reply = await stage.ask(body, {**headers, "x-sim-fault": fault})
            direct = await ask(stage.simulator.port, CHAT, stage.sent_bytes(), x_sim_fault=fault)
            assert (reply.body, reply.end) == (direct.body, "clean")


@pytest.mark.parametrize("fault", ["split_utf8", "byte_by_byte", "crlf_events", "pings"])
@on_uvloop
async def test_line_07_the_official_client_reads_the_same_text(tmp_path: Path, fault: str) -> None:
    async with worker_stage(tmp_path) as stage, official(stage, prompt="greeter") as client:
        await stage.deploy()
        plain = await joined(await streamed(client))
        assert plain.startswith("[quality ")
        assert await joined(await streamed(client, {"x-sim-fault": fault})) == plain


@on_uvloop
async def test_line_08_a_ping_is_a_comment_passes_and_is_no_token(tmp_path: Path) -> None:
    scanner = ChatScanner()
    assert scanner.feed(b": ping\n\n") == b": ping\n\n"
    assert (scanner.events, scanner.first_token) == (0, False)
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        reply = await stage.ask(chat_body(stream=True), {**PROMPTED, "x-sim-fault": "pings"})
        assert reply.events[0] == b": ping"
        assert reply.end == "clean"


@on_uvloop
async def test_line_08_the_gateway_sends_none_of_its_own_into_a_silence(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        client = await stage.connect()
        headers = {**PROMPTED, "x-sim-first-token-ms": "0", "x-sim-gap-ms": "1200", "x-sim-tokens": "1"}
        reply = await client.ask(request_bytes(chat_body(stream=True), headers))
        await client.close()
        assert all(event.startswith(b"data: ") for event in reply.events)


@on_uvloop
async def test_line_09_usage_is_asked_for_and_hidden_from_who_did_not_ask(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage, official(stage, prompt="greeter") as client:
        await stage.deploy()
        chunks = [chunk async for chunk in await streamed(client)]
        assert stage.sent()["stream_options"] == {"include_usage": True}
        assert all(chunk.choices and chunk.usage is None for chunk in chunks)
        *others, last = [chunk async for chunk in await streamed(client, **WISH)]
        assert (last.choices, last.usage.total_tokens > 0) == ([], True)
        assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in others)
        options = {"include_obfuscation": False}
        await joined(await streamed(client, stream_options=options))
        assert stage.sent()["stream_options"] == {"include_obfuscation": False, "include_usage": True}
        await client.chat.completions.create(model="m", messages=MESSAGES)
        assert "stream_options" not in stage.sent()


@on_uvloop
async def test_line_09_usage_beside_a_last_choice_loses_only_the_usage(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage, official(stage, prompt="greeter") as client:
        await stage.deploy()
        fault = {"x-sim-fault": "usage_in_last_choice"}
        chunks = [chunk async for chunk in await streamed(client, fault)]
        assert chunks[-1].choices[0].delta.content is None
        assert all(chunk.usage is None for chunk in chunks)
        chunks = [chunk async for chunk in await streamed(client, fault, **WISH)]
        assert chunks[-1].usage.total_tokens > 0


@on_uvloop
async def test_line_09_a_provider_that_refuses_stream_options_is_remembered(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage, official(stage, prompt="greeter") as client:
        await stage.deploy()
        fault = {"x-sim-fault": "status_400_stream_options"}
        for requests in (2, 3):  # one is refused, and from then on none
            assert (await joined(await streamed(client, fault))).startswith("[quality ")
            assert stage.simulator.stats["requests"] == requests


@on_uvloop
async def test_line_10_the_id_of_a_tool_call_is_in_its_first_delta_only(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage, official(stage, prompt="greeter") as client:
        await stage.deploy()
        chunks = [chunk async for chunk in await streamed(client, tools=TOOLS)]
        deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
        assert {call.index for call in deltas} == {0}
        assert [bool(call.id) for call in deltas] == [True] + [False] * (len(deltas) - 1)
        assert json.loads("".join(call.function.arguments for call in deltas)) == {}
        async with client.chat.completions.stream(model="m", messages=MESSAGES, tools=TOOLS) as events:
            message = (await events.get_final_completion()).choices[0].message
        assert message.tool_calls[0].id == deltas[0].id


GAP = 0.06  # s between two events


@on_uvloop
async def test_line_11_nothing_is_buffered(tmp_path: Path) -> None:
    scenario = (
        f"default: {{first_token_ms: 60, gap_ms: {GAP * 1000:.0f}, jitter: 0, tokens: 12, tokens_spread: 0}}"
    )
    async with worker_stage(tmp_path, scenario=scenario) as stage:
        await stage.deploy()
        async with official(stage, prompt="greeter") as client:
            stream = await streamed(client)
            arrived = [time.monotonic() async for _ in stream]
            headers = stream.response.headers
        assert headers["x-accel-buffering"] == "no"
        assert headers["cache-control"] == "no-cache"
    tokens = arrived[1:-1]  # the role comes with the first token, the end with the last
    off = sorted(abs(later - at - GAP) for at, later in itertools.pairwise(tokens))
    assert len(tokens) >= 12
    assert off[len(off) // 2] < GAP / 2, off  # the middle one: this machine may be busy for a moment


@on_uvloop
async def test_line_12_there_is_no_total_limit_and_the_others_are_apart(tmp_path: Path) -> None:
    limits = {"first_byte": 0.5, "idle": 1.0}
    async with worker_stage(tmp_path, timeouts=limits) as stage:
        await stage.deploy()
        slow = {**PROMPTED, "x-sim-first-token-ms": "10", "x-sim-gap-ms": "400", "x-sim-tokens": "6"}
        silent = {**PROMPTED, "x-sim-fault": "stall_before_head"}
        stalled = {**PROMPTED, "x-sim-fault": "stall_mid_stream"}
        whole, late, cut = await asyncio.gather(
            stage.ask(chat_body(stream=True), slow),  # 2.4 s: longer than both
            stage.ask(chat_body(stream=True), silent),
            stage.ask(chat_body(stream=True), stalled),
        )
        assert (whole.end, whole.events[-1]) == ("clean", b"data: [DONE]")
        assert (late.status, late.error["code"]) == (504, "upstream_timeout")
        assert "within 0.5 s" in late.error["message"]
        assert cut.end in ("cut", "reset")


@on_uvloop
async def test_line_12_the_client_s_own_read_time_out_bounds_the_wait(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage, official(stage, timeout=0.4) as client:
        await stage.deploy()
        with contextlib.suppress(openai.APITimeoutError, openai.InternalServerError):
            await streamed(client, {**PROMPTED, "x-sim-fault": "stall_before_head"})
        assert dict(stage.seen()[-1]["headers"])["x-stainless-read-timeout"] == "0.4"
        headers = {"x-sim-fault": "stall_before_head", "x-stainless-read-timeout": "0.4"}
        reply = await stage.ask(headers=headers)  # one that is still there to hear of it
        assert (reply.status, "within 0.4 s" in reply.error["message"]) == (504, True)


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port that completes no connection: its queue is full, and the kernel drops what comes."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@on_uvloop
async def test_line_12_connecting_has_a_limit_of_its_own(tmp_path: Path) -> None:
    with deaf_port() as port:
        upstream = {"base_url": f"http://127.0.0.1:{port}/v1"}
        async with worker_stage(tmp_path, timeouts={"connect": 0.3}, upstream=upstream) as stage:
            reply = await stage.ask()
            assert (reply.status, reply.error["code"]) == (504, "upstream_timeout")
            assert "no connection" in reply.error["message"]
            await stage.assert_empty()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("moment", ["before the first token", "in the middle"])
@on_uvloop
async def test_line_13_a_client_that_leaves_cancels_the_provider(
    tmp_path: Path, stream: bool, moment: str
) -> None:
    pace = {"x-sim-first-token-ms": "30", "x-sim-gap-ms": "100", "x-sim-tokens": "500"}
    if moment == "before the first token":
        pace["x-sim-first-token-ms"] = "60000"
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        async with official(stage, prompt="greeter") as client:
            asking = asyncio.create_task(_read(client, stream, pace))
            journal = stage.simulator.provider.journal
            await until(lambda: journal.open == 1)
            if moment == "in the middle":
                await asyncio.sleep(0.2)
            asking.cancel()
            await until(lambda: journal.cancelled == 1, 1.0)
            with contextlib.suppress(asyncio.CancelledError):
                await asking
        await stage.assert_empty()


async def _read(client: openai.AsyncOpenAI, stream: bool, headers: dict[str, str]) -> None:
    if stream:
        await joined(await streamed(client, headers))
    else:
        await client.chat.completions.create(model="m", messages=MESSAGES, extra_headers=headers)


async def test_line_14_sigterm_lets_streams_finish(tmp_path: Path) -> None:
    scenario = "default: {first_token_ms: 0, gap_ms: 100, jitter: 0, tokens: 10, tokens_spread: 0}"
    gateway = make_gateway(tmp_path, workers=1, scenario=scenario)
    await asyncio.to_thread(gateway.start)
    try:
        async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="k", max_retries=0) as client:
            stream = await streamed(client)
            text, finish = "", None
            async for chunk in stream:
                if not text and chunk.choices[0].delta.content:
                    assert gateway.process is not None
                    gateway.process.send_signal(signal.SIGTERM)
                text += chunk.choices[0].delta.content or ""
                finish = chunk.choices[0].finish_reason
        assert (len(text.split()), finish) == (11, "stop")
        assert await asyncio.to_thread(gateway.stop) == 0
    finally:
        await asyncio.to_thread(gateway.stop)
