"""Fidelity as clients need it, lines 15 to 23 of what real clients need."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.wire.decoding import zstd
from tests.simulator.wire import ask
from tests.support.official import MESSAGES, official
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import CHAT, WorkerStage, chat_body, request_bytes, until, worker_stage

PROMPTED = {"x-prompt": "greeter"}
SYSTEM = b'{"role":"system","content":"You are the first one."}'
IMAGE = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 8).decode()
MIB = 2**20

top_level = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def values(body: bytes) -> dict[str, bytes]:
    """The top level of a JSON object, each value's bytes as they stand there."""
    return {name: bytes(value) for name, value in top_level(body).items()}


# --- 15 to 17: bodies

STRANGE = (
    b'{ "z":1.0e+2,  "model" : "sim", "seed":12345678901234567890 ,"messages":[{"role":"user", "content":'
    b'"Gr\\u00fc\\u00dfe \\ud83d\\ude00 \xe2\x98\x83 \\/ \\u2028", "future": [1.50, -0, 1E5]}] ,'
    b'"a":{ "b" :\t[ ]},'
    b'"metadata":{"x":"1"}\n}'
)


@on_uvloop
async def test_line_15_every_value_keeps_its_bytes_and_the_top_level_its_order(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        assert (await stage.ask(STRANGE, PROMPTED)).status == 200
        assert stage.sent_bytes() == STRANGE.replace(b'"messages":[', b'"messages":[' + SYSTEM + b",")
        assert (await stage.ask(STRANGE)).status == 200
        assert stage.sent_bytes() == STRANGE


FIELDS: dict[str, Any] = {
    "model": "m",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is here? ☃"},
                {"type": "image_url", "image_url": {"url": IMAGE, "detail": "high"}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
            ],
        }
    ],
    "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {}}}],
    "tool_choice": "auto",
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "store": True,
    "metadata": {"a": "b"},
    "logit_bias": {"50256": -100},
    "prediction": {"type": "content", "content": "x"},
    "service_tier": "flex",
    "verbosity": "low",
    "extra_body": {"future_field": {"deep": [1.0, None, "\u2028"]}},
}


@on_uvloop
async def test_line_16_contents_tools_formats_and_future_fields_are_untouched(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        sent = []
        for prompt in ("", "greeter"):  # without a prompt the client's own bytes pass
            async with official(stage, prompt=prompt) as client:
                await client.chat.completions.create(**FIELDS)
            sent.append(values(stage.sent_bytes()))
        own, ours = sent
        assert list(own) == list(ours)
        assert set(own) == (set(FIELDS) - {"extra_body"}) | {"future_field"}
        assert ours.pop("messages") == b"[" + SYSTEM + b"," + own.pop("messages")[1:]
        assert own == ours


@pytest.mark.parametrize(
    ("messages", "model", "role"),
    [
        (["system", "user"], "gpt-4o", "system"),
        (["developer", "user"], "gpt-4o", "developer"),
        (["system", "user"], "o3-mini", "system"),
        (["user"], "o3-mini", "developer"),
        (["user"], "gpt-4o", "system"),
    ],
)
@on_uvloop
async def test_line_17_our_role_is_the_client_s_or_the_model_s(
    tmp_path: Path, messages: list[str], model: str, role: str
) -> None:
    async with worker_stage(tmp_path) as stage, official(stage, prompt="greeter") as client:
        await stage.deploy()
        given: Any = [{"role": kind, "content": f"I am {kind}"} for kind in messages]
        await client.chat.completions.create(model=model, messages=given)
        first, *others = stage.sent()["messages"]
        assert first == {"role": role, "content": "You are the first one."}
        assert others == given


# --- 18: other routes


@on_uvloop
async def test_line_18_embeddings_models_and_moderations_pass_in_both_directions(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, bindings={"default": "greeter"}) as stage:
        await stage.deploy()
        async with official(stage) as client:
            vectors = (await client.embeddings.create(model="e", input=["a", "ü"])).data
            assert stage.sent()["encoding_format"] == "base64"
            models = [model.id async for model in client.models.list()]
            flagged = (await client.moderations.create(input="simulated-harm")).results[0].flagged
        assert [len(vector.embedding) for vector in vectors] == [256, 256]
        assert (models, flagged) == (["sim-small", "sim-large"], True)
        body = b'{"model":"e",  "input":"a","encoding_format":"base64"}'
        direct = await ask(stage.simulator.port, "/v1/embeddings", body)
        reply = await stage.ask(body, path="/v1/embeddings")
        assert reply.body == direct.body
        assert not [name for name in reply.headers if name.startswith("x-prompt-")]
        assert reply.headers["x-request-id"].startswith("sim-"), "the provider's own"


ROUTES = [
    "files",
    "audio/transcriptions",
    "images/generations",
    "batches",
    "fine_tuning/jobs",
    "not/yet/known",
]


@pytest.mark.parametrize("route", ROUTES)
@on_uvloop
async def test_line_18_any_other_route_passes_byte_for_byte(tmp_path: Path, route: str) -> None:
    body = bytes(range(256)) * 300
    async with worker_stage(tmp_path, bindings={"default": "greeter"}) as stage:
        await stage.deploy()
        for chunked in (False, True):
            reply = await stage.ask(body, {"x-a": "b"}, path=f"/v1/{route}?x=%2F&y", chunked=chunked)
            told = json.loads(reply.body)
            assert (told["path"], told["query"]) == (f"/v1/{route}", "x=%2F&y")
            assert (told["body_size"], told["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())


@on_uvloop
async def test_line_18_an_upload_of_the_official_client_arrives_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    async with worker_stage(tmp_path) as stage, official(stage) as client:
        raw = await client.files.with_raw_response.create(file=("a.jsonl", content), purpose="batch")
        told = json.loads(raw.content)
        sent = raw.http_request.headers
        assert told["body_size"] == int(sent["content-length"]) > len(content)
        received = {name.lower(): value for name, value in told["headers"]}
        assert received["content-type"] == sent["content-type"]


# --- 19, 20: encodings and sizes


PACKERS = {"gzip": gzip.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("encoding", PACKERS)
@on_uvloop
async def test_line_19_a_compressed_request_is_read_and_goes_on_in_the_clear(
    tmp_path: Path, encoding: str
) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        plain = chat_body()
        packed = PACKERS[encoding](plain)
        reply = await stage.ask(packed, {**PROMPTED, "content-encoding": encoding})
        assert reply.status == 200
        seen = {name.lower(): value for name, value in stage.seen()[-1]["headers"]}
        assert "content-encoding" not in seen
        assert int(seen["content-length"]) == len(stage.sent_bytes())
        assert stage.sent_bytes() == plain.replace(b"[", b"[" + SYSTEM + b",", 1)
        assert (await stage.ask(packed, {"content-encoding": encoding})).status == 400, "as the provider says"
        assert stage.sent_bytes() == packed, "what is not read passes as it is"


@pytest.mark.parametrize("encoding", PACKERS)
@on_uvloop
async def test_line_19_what_a_request_expands_to_is_capped(tmp_path: Path, encoding: str) -> None:
    async with worker_stage(tmp_path, limits={"body_bytes": MIB}) as stage:
        await stage.deploy()
        bomb = PACKERS[encoding](chat_body("x" * 40 * MIB))
        assert len(bomb) < MIB
        reply = await stage.ask(bomb, {**PROMPTED, "content-encoding": encoding})
        assert (reply.status, reply.error["code"]) == (413, "body_too_large")
        await stage.assert_empty()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("right", [True, False], ids=["answer", "error"])
@on_uvloop
async def test_line_19_a_compressed_answer_is_unpacked_where_it_is_read_and_else_kept(
    tmp_path: Path, stream: bool, right: bool
) -> None:
    body = chat_body(stream=stream) if right else chat_body(stream=stream, tools="none")
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        plain = await stage.ask(body, PROMPTED)
        assert plain.status == (200 if right else 400)
        packed = await stage.ask(body, {**PROMPTED, "x-sim-fault": "gzip"})
        assert (packed.status, packed.body, packed.end) == (plain.status, plain.body, "clean")
        assert "content-encoding" not in packed.headers
        assert packed.headers.get("content-length", str(len(plain.body))) == str(len(plain.body))
        assert dict(stage.seen()[-1]["headers"])["accept-encoding"] == "identity"
        passed = await stage.ask(body, {"x-sim-fault": "gzip"})
        assert passed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(passed.body) == (await stage.ask(body)).body


@on_uvloop
async def test_line_20_large_bodies_are_normal_and_above_the_limit_is_413(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage, official(stage, prompt="greeter") as client:
        await stage.deploy()
        url = "data:image/png;base64," + "A" * 40 * MIB
        parts: Any = [{"type": "image_url", "image_url": {"url": url}}]
        answer = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": parts}]
        )
        assert answer.choices[0].message.content
        assert stage.sent()["messages"][1]["content"][0]["image_url"]["url"] == url
        head = request_bytes(b"", PROMPTED).replace(b"length: 0", b"length: %d" % (65 * MIB))
        other = await stage.connect()
        reply = await other.ask(head)
        await other.close()
        assert (reply.status, reply.error["code"]) == (413, "body_too_large")
        await stage.assert_empty()


@pytest.mark.parametrize("chunked", [False, True])
@on_uvloop
async def test_line_20_other_uploads_have_no_limit_and_are_not_held(tmp_path: Path, chunked: bool) -> None:
    """96 MiB, far above the limit of managed bodies here."""
    block, count = b"x" * MIB, 96
    async with worker_stage(tmp_path, limits={"body_bytes": MIB, "body_budget_bytes": MIB}) as stage:
        client = await stage.connect()
        framing = "transfer-encoding: chunked" if chunked else f"content-length: {count * MIB}"
        client.writer.write(f"POST /v1/files HTTP/1.1\r\nhost: test\r\n{framing}\r\n\r\n".encode())
        most = 0
        for _ in range(count):
            client.writer.write(b"%x\r\n%b\r\n" % (MIB, block) if chunked else block)
            await client.writer.drain()
            most = max(most, held_bytes(stage))
        client.writer.write(b"0\r\n\r\n" if chunked else b"")
        reply = await client.reply()
        await client.close()
        assert json.loads(reply.body)["body_size"] == count * MIB
        assert most <= 2 * MIB
        await stage.assert_empty()


def held_bytes(stage: WorkerStage) -> int:
    """Of bodies on their way: read and not yet handed on, and handed on and not yet taken by the kernel."""
    waiting = sum(
        connection.transport.get_write_buffer_size()
        for member in stage.worker.upstream.members
        for connection in member.pool._connections
        if connection.ready
    )
    return waiting + stage.worker.edge.buffered


# --- 21 to 23: headers and connections

HOP = {
    "connection": "keep-alive, x-named",
    "x-named": "1",
    "keep-alive": "timeout=5",
    "proxy-authorization": "Basic xxx",
    "proxy-connection": "keep-alive",
    "te": "trailers",
    "trailer": "x-t",
    "x-prompt": "greeter",
    "x-prompt-variables": "{}",
}
KEPT = {
    "x-stainless-lang": "python",
    "x-stainless-retry-count": "0",
    "openai-organization": "org",
    "openai-project": "proj",
    "openai-beta": "assistants=v2",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "a,b",
    "idempotency-key": "k",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "authorization": "Bearer sk-test",
    "x-custom": "Ünïcode",
}


@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
@on_uvloop
async def test_line_21_hop_by_hop_headers_and_ours_stay_and_the_others_go_on(
    tmp_path: Path, path: str
) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        assert (await stage.ask(headers={**HOP, **KEPT}, path=path)).status == 200
        seen = {name.lower(): value for name, value in stage.seen()[-1]["headers"]}
        assert not seen.keys() & HOP.keys()
        kept = {name: value.encode().decode("latin-1") for name, value in KEPT.items()}
        assert {name: seen.get(name) for name in KEPT} == kept
        assert seen["host"] == f"127.0.0.1:{stage.simulator.port}"


@on_uvloop
async def test_line_21_the_answer_s_hop_by_hop_headers_stay_too(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        for headers in ({}, PROMPTED):
            reply = await stage.ask(headers={**headers, "x-sim-fault": "hop_headers"})
            assert not reply.headers.keys() & {"x-hop", "keep-alive"}
            assert reply.headers["openai-version"] == "2020-10-01"


@on_uvloop
async def test_line_22_connections_that_churn_are_cheap_and_leave_nothing(tmp_path: Path) -> None:
    limits = {"upstream_idle": 4}
    async with worker_stage(tmp_path, limits=limits) as stage:
        await stage.deploy()
        started = time.process_time()
        for _ in range(10):
            replies = await asyncio.gather(*(stage.ask(chat_body(stream=True), PROMPTED) for _ in range(50)))
            assert {reply.status for reply in replies} == {200}
        assert time.process_time() - started < 500 * 0.01, "client, gateway and provider together"
        await until(lambda: not stage.worker.edge.connections)
        assert stage.worker.edge.accepted == 500
        assert stage.worker.upstream.counts.open <= 4
        await stage.assert_empty()


@on_uvloop
async def test_line_22_idle_clients_are_closed_and_too_many_are_refused(tmp_path: Path) -> None:
    limits, timeouts = {"connections": 10}, {"keep_alive": 0.1}
    async with worker_stage(tmp_path, limits=limits, timeouts=timeouts) as stage:
        await stage.deploy()
        idle = [await stage.connect() for _ in range(10)]
        await until(lambda: len(stage.worker.edge.connections) == 10)
        reply = await stage.ask(headers=PROMPTED)
        assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "overloaded", "1")
        await until(lambda: not stage.worker.edge.connections)
        assert (await stage.ask(headers=PROMPTED)).status == 200
        for client in idle:
            assert await client.reader.read() == b""
            await client.close()


@on_uvloop
async def test_line_23_a_stale_pooled_connection_is_replaced_and_nobody_notices(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage, official(stage, prompt="greeter") as client:
        await stage.deploy()
        for stream in (False, True, False, True):
            raw = await client.chat.completions.with_raw_response.create(
                model="m",
                messages=MESSAGES,
                stream=stream,
                extra_headers={"x-sim-fault": "stale_on_reuse"},
            )
            assert raw.status_code == 200
            await raw.http_response.aread()
        counts = stage.worker.upstream.counts
        assert counts.retried >= 1
        assert counts.failures == 0
