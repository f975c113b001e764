"""Every fault that a provider is known for, through a worker: what the client sees, and what is left behind.

A broken answer never ends cleanly, no client waits for ever, and afterwards the worker holds nothing.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from gateway.simulator.faults import FAULTS
from tests.simulator.wire import CHAT, ask
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import Reply, WorkerStage, chat_body, request_bytes, until, worker_stage

PROMPTED, PASSED = {"x-prompt": "greeter"}, {}
PATIENCE = {"idle": 1.0}  # s; the first byte is waited for as long as the client says

STATUSES = {name: int(name[7:]) for name in FAULTS if name.startswith("status_") and name[7:].isdigit()}
STATUSES["answer_mid_request"] = 413
STALLS = frozenset(name for name in FAULTS if name.startswith("stall"))
SILENT = frozenset(("stall_before_head", "stall_mid_request"))
NO_ANSWER = frozenset(("reset_before_head", "close_before_head", "reset_mid_request", "close_mid_request"))
NOT_HTTP = frozenset(
    (
        "two_lengths",
        "length_and_chunked",
        "bad_status_line",
        "not_http",
        "nul_header",
        "folded_header",
        "huge_header",
        "bad_chunk",  # in one read with the head, which is not passed on then
    )
)
CUT = frozenset(("reset_after_head", "close_after_head", "reset_mid_stream", "close_mid_stream"))


def expected(fault: str) -> str:
    """The class of a fault: what its client must see."""
    if fault in STATUSES:
        return "status"
    if fault in STALLS:
        return "timeout" if fault in SILENT else "broken"
    if fault in NO_ANSWER or fault in NOT_HTTP:
        return "bad_gateway"
    return "broken" if fault in CUT or fault == "short_body" else "answer"


def check(fault: str, reply: Reply, *, stream: bool) -> None:
    kind = expected(fault)
    if kind == "status":
        assert (reply.status, reply.end) == (STATUSES[fault], "clean")
        assert reply.error["code"] == f"simulated_{reply.status}"
        assert reply.headers.get("retry-after") == ("1" if reply.status in (429, 503) else None)
    elif kind == "timeout":
        assert (reply.status, reply.end, reply.error["code"]) == (504, "clean", "upstream_timeout")
    elif kind == "bad_gateway":
        assert (reply.status, reply.end, reply.error["code"]) == (502, "clean", "upstream_broken")
    elif kind == "broken":
        assert reply.end in ("cut", "reset"), "a broken answer must not look whole"
        assert reply.status == 200
        if reply.headers["content-type"].startswith("text/event-stream"):
            assert json.loads(reply.events[-1].removeprefix(b"data: "))["error"]["type"] == "upstream_error"
    else:
        assert reply.end == "clean"
        assert reply.status == (204 if fault == "no_content" else 200)
        if stream and fault in WHOLE_STREAMS:
            assert reply.body.rstrip().endswith(b"[DONE]")


WHOLE_STREAMS = frozenset(
    name
    for name in FAULTS
    if expected(name) == "answer"
    and name not in ("no_content", "error_in_200", "huge_body", "gzip", "close_without_done", "error_event")
    and name not in ("broken_json", "long_body")
)


async def check_verbatim(stage: WorkerStage, fault: str, reply: Reply) -> None:
    """What the provider sends to the same request, however it is cut, compressed or framed on the way."""
    direct = (await ask(stage.simulator.port, CHAT, stage.sent_bytes(), x_sim_fault=fault)).body
    packed = fault == "gzip" and "content-encoding" not in reply.headers
    assert reply.body == (gzip.decompress(direct) if packed else direct)


async def tried(
    stage: WorkerStage, fault: str, headers: dict[str, str], *, stream: bool, usage: bool
) -> list[str]:
    """What was wrong, so that one run tells of all faults. With `usage` the client itself asks for it, so
    that nothing may be taken out."""
    usage = usage and fault != "status_400_stream_options"  # else the refusal is the client's own
    wish = {"stream_options": {"include_usage": True}} if stream and usage else {}
    body = chat_body("Where is my order?", stream=stream, **wish)
    asking = {**headers, "x-sim-fault": fault, "x-session-id": f"{fault}-{stream}"}
    if fault in SILENT:
        asking["x-stainless-read-timeout"] = "0.3"
    try:
        reply = await stage.ask(body, asking)
        check(fault, reply, stream=stream)
        if expected(fault) == "answer" and (usage or not stream) and fault != "huge_body":
            await check_verbatim(stage, fault, reply)
        if fault not in STALLS:  # those are told at once, for they take time
            await stage.assert_empty()
        if fault == "late_bytes":  # nobody can tell them from the next answer
            await until(lambda: stage.worker.upstream.counts.open == 0)
    except (AssertionError, TimeoutError, ValueError, LookupError) as error:
        return [f"{fault}, stream={stream}: {type(error).__name__} {str(error)[:300]}"]
    return []


@pytest.mark.parametrize(
    ("headers", "rollout", "usage"),
    [(PASSED, False, True), (PROMPTED, False, False), (PROMPTED, True, True)],
    ids=["passed", "live", "rollout"],
)
@on_uvloop
async def test_each_fault_is_told_and_leaves_nothing(
    tmp_path: Path, headers: dict[str, str], rollout: bool, usage: bool
) -> None:
    async with worker_stage(tmp_path, timeouts=PATIENCE) as stage:
        await stage.deploy()
        if rollout:
            await stage.roll_out()
        tasks = asyncio.all_tasks()
        failures: list[str] = []
        for fault in sorted(FAULTS):
            for stream in (False, True):
                if fault not in STALLS:
                    failures += await tried(stage, fault, headers, stream=stream, usage=usage)
        stalls = [
            tried(stage, fault, headers, stream=stream, usage=usage)
            for fault in STALLS
            for stream in (False, True)
        ]
        failures += [failure for found in await asyncio.gather(*stalls) for failure in found]
        await stage.assert_empty()
        await until(lambda: not stage.worker.edge.connections and asyncio.all_tasks() == tasks)
        assert not failures, "\n".join(failures)
        assert (await stage.ask(headers=headers)).status == 200


UPLOAD = 8 * 2**20


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("reset_mid_request", 502, "upstream_broken"),
        ("close_mid_request", 502, "upstream_broken"),
        ("answer_mid_request", 413, "simulated_413"),
        ("stall_mid_request", 504, "upstream_timeout"),
    ],
)
@pytest.mark.parametrize(("path", "chunked"), [("/v1/files", False), ("/v1/files", True), (CHAT, False)])
@on_uvloop
async def test_a_provider_that_fails_before_it_has_the_whole_body(
    tmp_path: Path, fault: str, status: int, code: str, path: str, chunked: bool
) -> None:
    async with worker_stage(tmp_path, timeouts=PATIENCE) as stage:
        await stage.deploy()
        body = chat_body("x" * UPLOAD)
        headers = {**PROMPTED, "x-sim-fault": fault, "x-stainless-read-timeout": "0.3"}
        client = await stage.connect()
        async with asyncio.timeout(10):
            reply = await client.ask(request_bytes(body, headers, path=path, chunked=chunked))
        assert (reply.status, reply.end, reply.error["code"]) == (status, "clean", code)
        await client.close()
        await stage.assert_empty()
        assert (await stage.ask(headers=PROMPTED)).status == 200


@pytest.mark.parametrize("headers", [PASSED, PROMPTED], ids=["passed", "live"])
@on_uvloop
async def test_a_provider_that_refuses_connections_is_told_at_once_and_used_again(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        assert (await stage.ask(headers=headers)).status == 200
        await stage.simulator.refuse()
        for stream in (False, True):
            reply = await stage.ask(chat_body(stream=stream), headers)
            assert (reply.status, reply.end, reply.error["code"]) == (502, "clean", "upstream_unreachable")
            assert reply.headers["content-type"] == "application/json"
            await stage.assert_empty()
        assert stage.worker.upstream.counts.open == 0
        await stage.simulator.listen()
        assert (await stage.ask(headers=headers)).status == 200
