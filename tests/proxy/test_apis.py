"""/v1/responses and /v1/messages through a worker, driven by the official clients."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from gateway.promptfiles import prompty
from gateway.wire.decoding import zstd
from gateway.wire.routes import ROUTES
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import BY, Reply, WorkerStage, request_bytes, until, worker_stage

PROMPTED = {"x-prompt": "greeter"}
TEXT = "You are the first one."
FRONT = "model:\n  options: {maxOutputTokens: 500}\n"
FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
USER = [{"role": "user", "content": "Where is my order?"}]


@asynccontextmanager
async def openai_client(stage: WorkerStage) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"http://127.0.0.1:{stage.port}/p/greeter/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="sk-openai", max_retries=0) as client:
        yield client
    await stage.assert_empty()


@asynccontextmanager
async def anthropic_client(stage: WorkerStage) -> AsyncIterator[anthropic.AsyncAnthropic]:
    url = f"http://127.0.0.1:{stage.port}/p/greeter"
    async with anthropic.AsyncAnthropic(base_url=url, api_key="sk-ant", max_retries=0) as client:
        yield client
    await stage.assert_empty()


def message_body(**fields: Any) -> bytes:
    return json.dumps({"model": "sim", "max_tokens": 100, "messages": USER, **fields}).encode()


async def ask(stage: WorkerStage, path: str, body: bytes, **headers: str) -> Reply:
    return await stage.ask(body, {**PROMPTED, **headers}, path=path)


@on_uvloop
async def test_responses_by_openais_client(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy(front=FRONT)
        async with openai_client(stage) as client:
            raw = await client.responses.with_raw_response.create(
                model="sim",
                input="Where is my order?",
                instructions="And brief.",
                prompt={"id": "greeter", "variables": {}},
            )
            whole = raw.parse()
            assert raw.headers["x-prompt-version"] == "1"
            assert whole._request_id == raw.headers["x-request-id"]
            sent = stage.sent()
            assert sent["instructions"] == f"{TEXT}\n\nAnd brief."
            assert (sent["input"], sent["max_output_tokens"]) == ("Where is my order?", 500)
            assert "prompt" not in sent
            stream = await client.responses.create(
                model="sim", input="Where is my order?", instructions="And brief.", stream=True
            )
            events = [event async for event in stream]
            assert events[-1].response.output_text == whole.output_text
            async with client.responses.stream(model="sim", input=USER, tools=[FUNCTION]) as streamed:
                assert (await streamed.get_final_response()).output[0].name == "look"


@on_uvloop
async def test_messages_by_anthropics_client(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy(front=FRONT)
        async with anthropic_client(stage) as client:
            block = {"type": "text", "text": "And brief.", "cache_control": {"type": "ephemeral"}}
            asked: dict[str, Any] = {"model": "sim", "max_tokens": 100, "messages": USER, "system": [block]}
            raw = await client.messages.with_raw_response.create(**asked)
            whole = await raw.parse()
            assert raw.headers["x-prompt-version"] == "1"
            sent = stage.sent()
            assert sent["system"] == [{"type": "text", "text": TEXT}, block]
            assert (sent["messages"], sent["max_tokens"]) == (USER, 100)
            headers = dict(stage.seen()[-1]["headers"])
            assert headers["anthropic-version"] == client.default_headers["anthropic-version"]
            assert headers["authorization"] == "Bearer sk-ant"
            async with client.messages.stream(**asked) as stream:
                assert "".join([text async for text in stream.text_stream]) == whole.content[0].text
                assert (await stream.get_final_message()).usage == whole.usage
            called = await client.messages.create(**{**asked, "tools": [TOOL], "system": "And brief."})
            assert called.content[0].name == "look"
            assert stage.sent()["system"] == f"{TEXT}\n\nAnd brief."
            counted = await client.messages.count_tokens(model="sim", messages=USER)
            assert counted.input_tokens > 0
            assert "system" not in stage.sent()


@on_uvloop
async def test_what_is_anthropics_own_is_forwarded(tmp_path: Path) -> None:
    own = {"x-api-key": "sk-ant", "anthropic-version": "2023-06-01", "anthropic-beta": "a,b"}
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        for path in ("/v1/messages", "/v1/messages/count_tokens"):
            assert (await ask(stage, path, message_body(), **own)).status == 200
            headers = dict(stage.seen()[-1]["headers"])
            assert {name: headers[name] for name in own} == own
        await stage.assert_empty()


@on_uvloop
async def test_few_shot_messages_go_into_each_api(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        source = "---\nname: greeter\n---\nsystem:\nBe kind.\nuser:\nHi\nassistant:\nHello\n"
        pushed = await stage.registry.push(prompty.parse(source, source="g"), BY)
        await stage.rollouts.deploy("greeter", pushed.version, BY)
        await stage.worker.snapshots.poll()
        shots = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
        await ask(stage, "/v1/responses", b'{"model":"m","input":"x"}')
        assert stage.sent()["input"] == [*shots, {"role": "user", "content": "x"}]
        await ask(stage, "/v1/responses", b'{"model":"m","input":"x","previous_response_id":"r"}')
        assert stage.sent()["input"] == "x"
        await ask(stage, "/v1/messages", message_body())
        assert stage.sent()["messages"] == [*shots, *USER]
        await stage.assert_empty()


# --- errors


@on_uvloop
async def test_our_errors_are_the_clients_own(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        async with openai_client(stage) as client:
            with pytest.raises(openai.BadRequestError) as refused:
                await client.responses.create(model="sim", input=[{"role": 3}])  # type: ignore
            assert (refused.value.code, refused.value.param) == ("invalid_value", "input")
        async with anthropic_client(stage) as client:
            with pytest.raises(anthropic.NotFoundError) as missing:
                await client.messages.create(
                    model="sim", max_tokens=1, messages=USER, extra_body={"prompt": {"id": "nobody"}}
                )
            said = missing.value.body
            assert isinstance(said, dict)
            assert (said["type"], said["error"]["type"]) == ("error", "not_found_error")
            assert (said["error"]["code"], missing.value.type) == ("prompt_not_found", "not_found_error")


@on_uvloop
async def test_a_stream_that_breaks_raises_in_both_clients(tmp_path: Path) -> None:
    broken = {"x-sim-fault": "close_mid_stream"}
    async with worker_stage(tmp_path, quiet=False) as stage:
        await stage.deploy()
        async with openai_client(stage) as client:
            with pytest.raises(openai.APIError, match="in the middle of its answer"):
                async for _ in await client.responses.create(
                    model="sim", input="Hi", stream=True, extra_headers=broken
                ):
                    pass
        async with anthropic_client(stage) as client:
            with pytest.raises(anthropic.APIStatusError, match="in the middle of its answer"):
                async for _ in await client.messages.create(
                    model="sim", max_tokens=100, messages=USER, stream=True, extra_headers=broken
                ):
                    pass


@pytest.mark.parametrize("path", [path.decode() for path in ROUTES])
@on_uvloop
async def test_in_band_errors_have_the_apis_shape(tmp_path: Path, path: str) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        fields = {"input": "Hi"} if path.endswith("responses") else {}
        body = message_body(stream=True, **fields)
        reply = await ask(stage, path, body, **{"x-sim-fault": "close_mid_stream"})
        assert reply.end == "cut"
        name, _, data = reply.events[-1].rpartition(b"data: ")
        said = json.loads(data)
        assert said["error"]["code"] == "upstream_broken"
        assert name == (b"" if path.endswith("completions") else b"event: error\n")
        assert said.get("type") == (None if path.endswith("completions") else "error")
        await stage.assert_empty()


@pytest.mark.parametrize(
    ("path", "shape"),
    [("/v1/messages", "anthropic"), ("/v1/messages/count_tokens", "anthropic"), ("/v1/responses", "openai")],
)
@on_uvloop
async def test_errors_of_ours_before_the_answer(tmp_path: Path, path: str, shape: str) -> None:
    async with worker_stage(tmp_path, upstream={"base_url": "http://127.0.0.1:1/v1"}) as stage:
        await stage.deploy()
        reply = await ask(stage, path, message_body(input="x"))
        said = json.loads(reply.body)
        assert reply.status == 502
        kind = "api_error" if shape == "anthropic" else "upstream_error"
        assert (said.get("type"), said["error"]["type"]) == ("error" if shape == "anthropic" else None, kind)
        await stage.assert_empty()


# --- what is kept as it is


@on_uvloop
async def test_without_a_prompt_a_body_passes_unchanged(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        for path in ("/v1/responses", "/v1/messages"):
            body = b'{ "model":"m","max_tokens":1e2,"messages":[{"role":"user","content":"x"}],"input":"x" }'
            reply = await stage.ask(body, path=path)
            assert "x-prompt-name" not in reply.headers
            assert stage.seen()[-1]["body_size"] == len(body)
        await stage.assert_empty()


@on_uvloop
async def test_a_zstd_body_is_read(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        body = zstd.compress(message_body())
        reply = await ask(stage, "/v1/messages", body, **{"content-encoding": "zstd"})
        assert reply.status == 200
        assert stage.sent()["system"] == TEXT
        assert "content-encoding" not in dict(stage.seen()[-1]["headers"])
        bad = await ask(stage, "/v1/messages", body[:-2], **{"content-encoding": "zstd"})
        assert (bad.status, json.loads(bad.body)["type"]) == (400, "error")
        await stage.assert_empty()


# --- sessions


@on_uvloop
async def test_claude_clients_are_sessions_by_their_user_id_or_their_conversation(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out(weight=0.5)

        async def arm(**fields: Any) -> str:
            return (await ask(stage, "/v1/messages", message_body(**fields))).headers["x-prompt-version"]

        arms = set()
        for i in range(8):
            user = {"user_id": f"u{i}"}
            first = await arm(metadata=user)
            assert await arm(metadata=user, messages=[{"role": "user", "content": "another"}]) == first
            cached = {"type": "text", "text": f"q{i}", "cache_control": {"type": "ephemeral"}}
            opened = await arm(messages=[{"role": "user", "content": [cached]}])
            turns = [
                {"role": "user", "content": f"q{i}"},
                {"role": "assistant", "content": "a"},
                {"role": "user", "content": "more"},
            ]
            assert await arm(messages=turns) == opened
            arms |= {first, opened}
        assert arms == {"1", "2"}
        await stage.assert_empty()


@on_uvloop
async def test_a_client_that_leaves_cancels_in_each_api(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out(weight=1.0)
        for path in ("/v1/responses", "/v1/messages"):
            client = await stage.connect()
            headers = {**PROMPTED, "x-sim-gap-ms": "50", "x-sim-tokens": "100"}
            client.writer.write(request_bytes(message_body(stream=True, input="x"), headers, path=path))
            await client.head()
            client.writer.transport.abort()
            await stage.assert_empty()
        await until(lambda: stage.simulator.stats["cancelled"] == 2)
