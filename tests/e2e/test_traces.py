"""Spans as a real collector gets them, by HTTP and gRPC; with the collector down nothing changes."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.domain.observation import Observed, decode_batch
from gateway.proxy.gauges import counted, standing
from gateway.storage import keys
from gateway.telemetry import grpc as own_grpc
from gateway.telemetry.delivery import TRACES
from tests.support.collector import Collector, Protocol, attributes, running_collector
from tests.support.metrics import by_key
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import WorkerStage, chat_body, until, worker_stage

PROMPTED = {"x-prompt": "greeter"}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "shop=1", "baggage": "k=v"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
SECRET = "my-very-own-words"
PROTOCOLS: list[Protocol] = ["http", "grpc"]


def traces(collector: Collector, **more: Any) -> dict[str, Any]:
    return {
        "endpoint": collector.endpoint,
        "protocol": collector.protocol,
        "sample": 0.0,
        "interval": 0.02,
        **more,
    }


def sent_headers(stage: WorkerStage) -> dict[str, str]:
    return dict(stage.seen()[-1]["headers"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@on_uvloop
async def test_a_sampled_request_has_one_span_with_the_names_of_the_conventions(
    tmp_path: Path, protocol: Protocol
) -> None:
    pace = {"x-sim-first-token-ms": "40", "x-sim-gap-ms": "5", "x-sim-tokens": "10"}
    async with running_collector(Collector(protocol)) as collector:
        given = traces(collector, headers={"x-collector-key": "k"})
        prices = {"gpt-4o-mini": {"input": 1.0, "output": 2.0}}
        async with worker_stage(tmp_path, traces=given, prices=prices) as stage:
            await stage.deploy()
            before = time.time_ns()
            body = chat_body(SECRET, model="gpt-4o-mini", stream=True, temperature=0.5)
            reply = await stage.ask(body, {**PROMPTED, **SAMPLED, **pace, "x-session-id": "s-1"})
            span = await collector.span()
            after = time.time_ns()
            onward = sent_headers(stage)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert (span.name, span.kind, span.trace_state) == ("chat gpt-4o-mini", span.SPAN_KIND_CLIENT, "shop=1")
    assert onward["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert (onward["tracestate"], onward["baggage"]) == ("shop=1", "k=v")
    assert before - 5e6 < span.start_time_unix_nano < span.end_time_unix_nano < after + 5e6
    found = attributes(span)
    port = found.pop("server.port")
    assert f"127.0.0.1:{port}" in stage.worker.upstream.members[0].pool.origin
    assert 0.03 < found.pop("gen_ai.response.time_to_first_chunk") < 2
    assert 0 < found.pop("promptcanary.overhead_seconds") < 1
    assert found.pop("promptcanary.prompt.digest").startswith("sha256:")
    assert found.pop("gen_ai.response.id").startswith("chatcmpl-")
    usage = found.pop("gen_ai.usage.input_tokens"), found.pop("gen_ai.usage.output_tokens")
    assert found.pop("promptcanary.cost_usd") == pytest.approx((usage[0] + 2 * usage[1]) / 1e6)
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "default",
        "gen_ai.prompt.name": "greeter",
        "gen_ai.prompt.version": "1",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.conversation.id": "s-1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.model": "gpt-4o-mini",
        "server.address": "127.0.0.1",
        "http.response.status_code": 200,
        "promptcanary.arm": "stable",
        "promptcanary.reason": "live",
        "promptcanary.outcome": "ok",
        "promptcanary.request.id": reply.headers["x-request-id"],
    }
    assert collector.headers[0]["x-collector-key"] == "k"
    (request,) = collector.requests
    assert attributes(request.resource_spans[0].resource)["service.name"] == "prompt-canary-gateway"
    assert SECRET.encode() not in request.SerializeToString()


HI = {"model": "m-1", "messages": [{"role": "user", "content": "Hi"}]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
ASKED: dict[str, tuple[dict[str, Any], str]] = {  # by path: a body, and what the id of its answer begins with
    "/v1/chat/completions": (HI | {"response_format": {"type": "json_object"}}, "chatcmpl-"),
    "/v1/responses": ({"model": "m-1", "input": "Hi", "text": {"format": {"type": "text"}}}, "resp_"),
    "/v1/messages": (
        HI | {"max_tokens": 9, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        "msg_",
    ),
}


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_the_model_that_answered_and_the_form_that_was_asked_for(
    tmp_path: Path, path: str, stream: bool
) -> None:
    body, begins = ASKED[path]
    async with (
        running_collector(Collector("http")) as collector,
        worker_stage(tmp_path, traces=traces(collector)) as stage,
    ):
        await stage.deploy()
        sent = json.dumps(body | {"stream": stream}).encode()
        reply = await stage.ask(sent, {**PROMPTED, **SAMPLED}, path=path)
        assert reply.status == 200, reply.body
        found = attributes(await collector.span())
    assert found["gen_ai.response.model"] == "m-1"
    assert found["gen_ai.response.id"].startswith(begins)
    assert found["gen_ai.output.type"] == ("text" if path == "/v1/responses" else "json")


@on_uvloop
async def test_odd_forms_are_the_provider_s_to_refuse(tmp_path: Path) -> None:
    async with (
        running_collector(Collector("http")) as collector,
        worker_stage(tmp_path, traces=traces(collector)) as stage,
    ):
        await stage.deploy()
        for odd in ({"type": []}, {"type": {}}, [], 1, None):
            reply = await stage.ask(chat_body(response_format=odd, temperature=None), {**PROMPTED, **SAMPLED})
            assert reply.status < 500
            assert stage.seen()  # it came to the provider


@on_uvloop
async def test_a_request_that_is_sampled_out_leaves_nothing_unless_it_fails(tmp_path: Path) -> None:
    async with running_collector(Collector("http")) as collector:
        async with worker_stage(tmp_path, traces=traces(collector)) as stage:
            await stage.deploy()
            for headers in ({}, UNSAMPLED, {"traceparent": "odd"}):
                await stage.ask(headers={**PROMPTED, **headers})
                assert sent_headers(stage).get("traceparent") == headers.get("traceparent")
            assert len(stage.worker.tracing.queue) == 0  # type: ignore[union-attr]
            await stage.ask(headers={**PROMPTED, **UNSAMPLED, "x-sim-fault": "status_500"})
            span = await collector.span()
            assert sent_headers(stage)["traceparent"] == UNSAMPLED["traceparent"]
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
        assert (span.status.code, span.status.message) == (2, "the provider answered simulated_500")
        assert attributes(span)["error.type"] == "simulated_500"
        assert attributes(span)["promptcanary.outcome"] == "provider"


@pytest.mark.parametrize("wanted", [True, False])
@on_uvloop
async def test_an_answer_with_a_safety_flag_has_a_span_though_it_was_sampled_out(
    tmp_path: Path, wanted: bool
) -> None:
    scenario = 'default: {first_token_ms: 0, gap_ms: 0, tokens: 10, opening: "Write to ann@example.org. "}'
    async with running_collector(Collector("http")) as collector:
        given = traces(collector, flags=wanted)
        async with worker_stage(tmp_path, scenario=scenario, traces=given) as stage:
            await stage.deploy()
            await stage.roll_out(policy="fast")
            await stage.ask(headers={**PROMPTED, **UNSAMPLED, "x-session-id": "s-1"})
            assert sent_headers(stage)["traceparent"] == UNSAMPLED["traceparent"]
            await until(lambda: not stage.worker.pins._tasks and not stage.worker.pins._new)
            await stage.worker.recorder.flush()
            (id,) = stage.worker.snapshots.measured
            log = await stage.worker.store.read(keys.evidence(id), after=0)
        (observed,) = [
            record
            for entry in log
            for record in decode_batch(entry.value).records
            if isinstance(record, Observed)
        ]
        assert observed.flags == ("personal",)
        if not wanted:
            assert (collector.spans, observed.trace) == ([], b"")
            return
        (span,) = collector.spans
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert attributes(span)["promptcanary.safety.flags"] == ["personal"]
    assert observed.trace == span.trace_id + span.span_id
    assert span.status.code == span.status.STATUS_CODE_UNSET


ROUTES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": f"{SECRET}, card 4111-1111"}]},
    "/v1/responses": {"input": f"{SECRET}, card 4111-1111"},
    "/v1/messages": {
        "max_tokens": 99,
        "messages": [{"role": "user", "content": [{"type": "text", "text": f"{SECRET}, card 4111-1111"}]}],
    },
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_messages_are_on_spans_only_where_the_configuration_asks(
    tmp_path: Path, path: str, stream: bool
) -> None:
    scenario = f'default: {{first_token_ms: 0, gap_ms: 0, tokens: 10, opening: "{SECRET} too. "}}'
    front = "inputs:\n  - {name: tone, kind: string, default: warm}\n"
    async with running_collector(Collector("http")) as collector:
        given = traces(collector, content=True, redact=[r"\d{4}-\d{4}"], content_bytes=1000)
        async with worker_stage(tmp_path, scenario=scenario, traces=given) as stage:
            await stage.deploy(front=front)
            headers = {**PROMPTED, "x-prompt-variables": '{"tone": "cool"}'}
            body = json.dumps({"model": "sim", "stream": stream, **ROUTES[path]}).encode()
            await stage.ask(body, {**headers, **UNSAMPLED}, path=path)
            assert len(stage.worker.tracing.queue) == 0  # type: ignore[union-attr]
            await stage.ask(body, {**headers, **SAMPLED}, path=path)
            span = await collector.span()
    found = attributes(span)
    asked = [{"type": "text", "content": f"{SECRET}, card [redacted]"}]
    assert json.loads(found["gen_ai.input.messages"]) == [{"role": "user", "parts": asked}]
    (instructions,) = json.loads(found["gen_ai.system_instructions"])
    assert instructions["content"].startswith("You are the first one.")
    assert found["gen_ai.prompt.variable.tone"] == "cool"
    (answer,) = json.loads(found["gen_ai.output.messages"])
    assert (answer["role"], answer["finish_reason"]) == ("assistant", "stop")
    assert answer["parts"][0]["content"].startswith(f"{SECRET} too. ")
    assert found["gen_ai.request.model"] == "sim"


@on_uvloop
async def test_errors_can_be_left_to_the_sample(tmp_path: Path) -> None:
    async with running_collector(Collector("http")) as collector:
        async with worker_stage(tmp_path, traces=traces(collector, errors=False)) as stage:
            await stage.deploy()
            await stage.ask(headers={**PROMPTED, "x-sim-fault": "status_500"})
            assert len(stage.worker.tracing.queue) == 0  # type: ignore[union-attr]
        assert collector.spans == []


@on_uvloop
async def test_the_assignment_of_a_session_is_an_event(tmp_path: Path) -> None:
    async with (
        running_collector(Collector("http")) as collector,
        worker_stage(tmp_path, traces=traces(collector, sample=1.0)) as stage,
    ):
        await stage.deploy()
        await stage.roll_out(policy="fast")
        reply = await stage.ask(headers={**PROMPTED, "x-session-id": "s-1"})
        span = await collector.span()
    (event,) = span.events
    assert (event.name, event.time_unix_nano) == ("feature_flag.evaluation", span.start_time_unix_nano)
    found = attributes(event)
    assert len(found.pop("feature_flag.context.id")) == 32
    assert found == {
        "feature_flag.key": "greeter",
        "feature_flag.provider.name": "promptcanary",
        "feature_flag.result.variant": reply.headers["x-prompt-arm"],
        "feature_flag.result.reason": "split",
        "feature_flag.set.id": reply.headers["x-prompt-rollout"],
    }
    assert attributes(span)["promptcanary.rollout.id"] == reply.headers["x-prompt-rollout"]
    assert attributes(span)["promptcanary.stage"] == 0
    assert span.parent_span_id == b""
    assert sent_headers(stage)["traceparent"] == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@on_uvloop
async def test_with_the_collector_down_spans_wait_in_a_queue_that_does_not_grow(
    tmp_path: Path, protocol: Protocol
) -> None:
    collector = Collector(protocol)
    async with running_collector(collector):
        pass  # now its port is free, and nobody listens
    given = traces(collector, sample=1.0, queue=5, batch=2)
    async with worker_stage(tmp_path, traces=given) as stage:
        await stage.deploy()
        for _ in range(20):
            assert (await stage.ask(headers=PROMPTED)).status == 200
        found = by_key(counted(stage.worker) + standing(stage.worker))
        waiting = found[("spans_waiting",)]
        assert waiting <= 5
        assert 13 <= found[("spans_dropped_total",)] <= 15
        async with running_collector(collector):
            await until(lambda: len(collector.spans) == 20 - found[("spans_dropped_total",)], 10.0)
        assert by_key(counted(stage.worker))[("spans_sent_total",)] == len(collector.spans)


@pytest.mark.parametrize(
    ("protocol", "again", "never"),
    [("http", 503, 400), ("grpc", grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT)],
)
@on_uvloop
async def test_what_a_collector_refuses_for_good_is_not_sent_again(
    tmp_path: Path, protocol: Protocol, again: Any, never: Any
) -> None:
    async with running_collector(Collector(protocol, refuses=[again, never])) as collector:
        given = traces(collector, sample=1.0, batch=1)
        async with worker_stage(tmp_path, quiet=False, traces=given) as stage:
            await stage.deploy()
            for _ in range(2):
                await stage.ask(headers=PROMPTED)
            await until(lambda: len(collector.spans) == 1 and not collector.refuses, 10.0)
            await until(lambda: stage.worker.exporter.sent == 1)  # type: ignore[union-attr]


@on_uvloop
async def test_the_last_spans_go_out_at_the_end(tmp_path: Path) -> None:
    async with running_collector(Collector("http")) as collector:
        async with worker_stage(tmp_path, traces=traces(collector, sample=1.0, interval=60.0)) as stage:
            await stage.deploy()
            await stage.ask(headers=PROMPTED)
        assert len(collector.spans) == 1


@on_uvloop
async def test_a_large_grpc_message_waits_for_the_server_s_windows(tmp_path: Path) -> None:
    async with running_collector(Collector("grpc")) as collector:
        big = _unknown_field(b"x" * 1_000_000)
        await own_grpc.call(("127.0.0.1", collector.port), TRACES.grpc, big)
        with pytest.raises(own_grpc.GrpcFailed) as raised:
            await own_grpc.call(("127.0.0.1", collector.port), "/nobody/Knows", b"")
        assert raised.value.status == grpc.StatusCode.UNIMPLEMENTED.value[0]
    assert len(collector.requests) == 1


def _unknown_field(value: bytes) -> bytes:
    size, length = len(value), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return b"\x82\x7d" + bytes(length) + bytes((size,)) + value  # field 2000, length-delimited


@on_uvloop
async def test_a_server_of_another_kind_is_a_failure_and_no_crash() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises((own_grpc.GrpcFailed, OSError)):
        await own_grpc.call(("127.0.0.1", port), TRACES.grpc, b"")
    server.close()
