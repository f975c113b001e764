"""Errors as clients need them, lines 1 to 6 of what real clients need: shape, status, moment, and what an SDK
makes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

from gateway import errors
from gateway.domain.request_id import verify
from gateway.proxy.link import ClientLink
from tests.simulator.wire import ask
from tests.support.official import MESSAGES, joined, official
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import CHAT, Reply, WorkerStage, chat_body, worker_stage

PROMPTED = {"x-prompt": "greeter"}
LIMITS = {"head_bytes": 4096, "target_bytes": 1024, "body_bytes": 64 * 1024, "body_budget_bytes": 256 * 1024}
IMPATIENT = {"idle": 1.0}


class Case(NamedTuple):
    """A request that the gateway itself refuses."""

    body: bytes
    headers: Mapping[str, str]
    status: int
    code: str
    path: str = CHAT


def our_errors() -> list[Case]:
    good, streamed = chat_body(), chat_body(stream=True)
    stalled = {"x-sim-fault": "stall_before_head", "x-stainless-read-timeout": "0.2"}
    return [
        Case(b"{oops", {}, 400, "invalid_json"),
        Case(b'{"messages":{}}', PROMPTED, 400, "invalid_value"),
        Case(b'{"messages":[],"messages":[]}', PROMPTED, 400, "duplicate_key"),
        Case(streamed, {"x-prompt-variables": "%%", **PROMPTED}, 400, "invalid_variables"),
        Case(streamed, {"x-prompt": "greeter/1"}, 403, "version_not_allowed"),
        Case(streamed, {"x-prompt": "nobody"}, 404, "prompt_not_found"),
        Case(good, {}, 404, "not_found", "/nowhere"),
        Case(chat_body("x" * 70_000, stream=True), PROMPTED, 413, "body_too_large"),
        Case(good, {}, 414, "uri_too_long", "/v1/" + "x" * 2000),
        Case(good, {"content-encoding": "br"}, 415, "unsupported_content_encoding"),
        Case(good, {"x-long": "x" * 8000}, 431, "headers_too_large"),
        Case(streamed, {"x-sim-fault": "reset_before_head"}, 502, "upstream_broken"),
        Case(streamed, {"x-sim-fault": "not_http", **PROMPTED}, 502, "upstream_broken"),
        Case(streamed, stalled, 504, "upstream_timeout"),
        Case(streamed, {**stalled, **PROMPTED}, 504, "upstream_timeout"),
    ]


async def each_reply(stage: WorkerStage) -> list[tuple[Case, Reply]]:
    cases = our_errors()
    replies = await asyncio.gather(*(stage.ask(case.body, case.headers, path=case.path) for case in cases))
    return list(zip(cases, replies, strict=True))


@on_uvloop
async def test_line_01_every_error_of_ours_has_the_shape_of_openai(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, limits=LIMITS) as stage:
        await stage.deploy()
        for case, reply in await each_reply(stage):
            assert (reply.status, reply.error["code"]) == (case.status, case.code)
            assert json.loads(reply.body).keys() == {"error"}
            assert reply.error.keys() == {"message", "type", "param", "code"}
            assert all(isinstance(reply.error[name], str) for name in ("message", "type", "code"))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504])
@on_uvloop
async def test_line_01_the_provider_s_own_errors_pass_unchanged(tmp_path: Path, status: int) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        fault = {"x-sim-fault": f"status_{status}"}
        direct = await ask(stage.simulator.port, CHAT, chat_body(), x_sim_fault=f"status_{status}")
        for headers in (fault, {**fault, **PROMPTED}):
            reply = await stage.ask(headers=headers)
            assert (reply.status, reply.body) == (status, direct.body)
        async with official(stage) as client:
            with pytest.raises(openai.APIStatusError) as raised:
                await client.chat.completions.create(model="m", messages=MESSAGES, extra_headers=fault)
        assert raised.value.status_code == status
        assert f"Simulated error {status}." in raised.value.message
        assert raised.value.code == f"simulated_{status}"


@on_uvloop
async def test_line_02_no_error_of_ours_has_status_200(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, limits=LIMITS) as stage:
        await stage.deploy()
        replies = [reply for _, reply in await each_reply(stage)]
        assert all(reply.status >= 400 and b'"error"' in reply.body for reply in replies)
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    own = [kind for kind in classes if issubclass(kind, errors.GatewayError)]
    assert len(own) > 30
    assert all(400 <= kind.status <= 599 for kind in own)


@on_uvloop
async def test_line_03_an_error_before_the_first_byte_is_no_event_stream(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, limits=LIMITS) as stage:
        await stage.deploy()
        for _, reply in await each_reply(stage):
            assert reply.headers["content-type"] == "application/json"
            assert reply.end == "clean"
        async with official(stage) as client:
            for headers, kind in (
                ({"x-prompt": "nobody"}, openai.NotFoundError),
                ({"x-sim-fault": "reset_before_head"}, openai.InternalServerError),
                ({"x-sim-fault": "status_429"}, openai.RateLimitError),
            ):
                with pytest.raises(kind):
                    await client.chat.completions.create(
                        model="m", messages=MESSAGES, stream=True, extra_headers=headers
                    )


BREAKS = ["reset_mid_stream", "close_mid_stream", "stall_mid_stream", "reset_after_head"]


async def raised_by(client: openai.AsyncOpenAI, headers: dict[str, str]) -> BaseException | None:
    """What the SDK raises of a stream whose first bytes have come."""
    stream = await client.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, extra_headers=headers
    )
    try:
        await joined(stream)
    except openai.OpenAIError as error:
        return error
    return None


@pytest.mark.parametrize("headers", [{}, PROMPTED], ids=["passed", "prompted"])
@pytest.mark.parametrize("fault", BREAKS)
@on_uvloop
async def test_line_04_an_error_after_the_first_byte_is_an_event_and_an_abrupt_end(
    tmp_path: Path, fault: str, headers: dict[str, str]
) -> None:
    async with worker_stage(tmp_path, timeouts=IMPATIENT) as stage, official(stage) as client:
        await stage.deploy()
        sent = {**headers, "x-sim-fault": fault}
        reply, raised = await asyncio.gather(stage.ask(chat_body(stream=True), sent), raised_by(client, sent))
    assert reply.status == 200
    assert reply.end in ("cut", "reset"), "a clean end would look like the whole answer"
    said = json.loads(reply.events[-1].removeprefix(b"data: "))["error"]
    assert said.keys() == {"message", "type", "param", "code"}
    assert said["type"] == "upstream_error"
    assert isinstance(raised, openai.APIError)
    assert not isinstance(raised, openai.APIConnectionError), "it was told why"
    assert raised.code == said["code"]


class NotingWire:
    """The connection below a link, which notes what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def write_pieces(self, pieces: Any) -> None:
        self.written += b"".join(pieces)

    def must_close(self) -> bool:
        return False

    def answered(self, close: bool) -> None: ...

    def cut(self, reset: bool) -> None: ...

    def body_wanted(self, wanted: bool) -> None: ...


def test_line_05_each_429_and_503_of_ours_says_when_to_come_back() -> None:
    busy = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.GatewayError) and kind.status in (429, 503)
    ]
    assert len(busy) >= 4
    for kind in busy:
        for retry_after, said in ((None, b"1"), (2.5, b"3")):
            wire = NotingWire()
            ClientLink(wire, b"POST", "1.1").fail(kind("busy", retry_after=retry_after))
            assert b"\r\nretry-after: %b\r\n" % said in wire.written, kind


@on_uvloop
async def test_line_05_a_full_worker_is_tried_again_by_the_client_and_then_answers(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, limits=LIMITS) as stage:
        await stage.deploy()
        budget = stage.worker.budget
        budget.held += 256 * 1024
        async with official(stage, max_retries=1) as client:
            asked = asyncio.create_task(
                client.chat.completions.create(model="m", messages=MESSAGES, extra_headers=PROMPTED)
            )
            async with asyncio.timeout(5):
                while not budget._waiting:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            budget.sweep(stage.worker.clock() + 10)
            budget.release(256 * 1024)
            assert (await asked).choices
        await stage.assert_empty()
        assert stage.simulator.stats["requests"] == 1


@on_uvloop
async def test_line_05_the_provider_s_retry_after_and_rate_limits_pass_unprefixed(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        for headers in ({}, PROMPTED):
            reply = await stage.ask(headers={**headers, "x-sim-fault": "status_429"})
            assert (reply.status, reply.headers["retry-after"]) == (429, "1")
            assert reply.headers["x-ratelimit-remaining-requests"] == "9999"


@on_uvloop
async def test_line_06_a_repeat_is_the_same_session_and_a_time_out_is_no_408(tmp_path: Path) -> None:
    """The SDK repeats 408, 409, 429 and 5xx; a header tells the attempts apart, and all are one session."""
    async with worker_stage(tmp_path) as stage, official(stage, max_retries=1) as client:
        await stage.deploy()
        await stage.roll_out()
        units = []
        for fault in ("status_503", "status_409"):
            with pytest.raises(openai.APIStatusError) as raised:
                await client.chat.completions.create(
                    model="m",
                    messages=MESSAGES,
                    extra_headers={**PROMPTED, "x-sim-fault": fault},
                )
            told = verify(raised.value.response.headers["x-request-id"], stage.worker.keys)
            assert told is not None
            units.append((told.session, told.version, told.rollout))
        assert units[0] == units[1]
        assert units[0][0], "it is a session"
        counts = [dict(each["headers"])["x-stainless-retry-count"] for each in stage.seen(4)]
        assert counts == ["0", "1", "0", "1"]
        late = {**PROMPTED, "x-sim-fault": "stall_before_head", "x-stainless-read-timeout": "0.2"}
        assert (await stage.ask(headers=late)).status == 504
    statuses = {kind.status for kind in vars(errors).values() if hasattr(kind, "status")}
    assert 408 not in statuses
