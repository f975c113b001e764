"""Every fault that a provider is known for, through a worker: what the client sees, and what is left behind.

A broken answer never ends cleanly, no client waits for ever, and afterwards the worker holds nothing.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.simulator.faults import FAULTS
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import Reply, WorkerStage, chat_body, until, worker_stage

PROMPTED, PASSED = {"x-prompt": "greeter"}, {}
PATIENCE = {"idle": 1.0}  # s; the first byte is waited for as long as the client says

STATUSES = {name: int(name[7:]) for name in FAULTS if name.startswith("status_") and name[7:].isdigit()}
STALLS = frozenset(name for name in FAULTS if name.startswith("stall"))
NO_ANSWER = frozenset(("reset_before_head", "close_before_head"))
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
        return "timeout" if fault == "stall_before_head" else "broken"
    if fault in NO_ANSWER or fault in NOT_HTTP:
        return "bad_gateway"
    return "broken" if fault in CUT or fault == "short_body" else "answer"


def check(fault: str, reply: Reply, *, stream: bool) -> None:
    kind = expected(fault)
    if kind == "status":
        assert (reply.status, reply.end) == (STATUSES[fault], "clean")
        assert reply.error["code"] == f"simulated_{reply.status}"
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


async def tried(stage: WorkerStage, fault: str, headers: dict[str, str], *, stream: bool) -> list[str]:
    """What was wrong, so that one run tells of all faults."""
    body = chat_body("Where is my order?", stream=stream)
    asking = {**headers, "x-sim-fault": fault, "x-session-id": f"{fault}-{stream}"}
    if fault == "stall_before_head":
        asking["x-stainless-read-timeout"] = "0.3"
    try:
        reply = await stage.ask(body, asking)
        check(fault, reply, stream=stream)
        if fault not in STALLS:  # those are told at once, for they take time
            await stage.assert_empty()
        if fault == "late_bytes":  # nobody can tell them from the next answer
            await until(lambda: stage.worker.upstream.counts.open == 0)
    except (AssertionError, TimeoutError, ValueError, LookupError) as error:
        return [f"{fault}, stream={stream}: {type(error).__name__} {str(error)[:300]}"]
    return []


@pytest.mark.parametrize(
    ("headers", "rollout"),
    [(PASSED, False), (PROMPTED, False), (PROMPTED, True)],
    ids=["passed", "live", "rollout"],
)
@on_uvloop
async def test_each_fault_is_told_and_leaves_nothing(
    tmp_path: Path, headers: dict[str, str], rollout: bool
) -> None:
    async with worker_stage(tmp_path, timeouts=PATIENCE) as stage:
        await stage.deploy()
        if rollout:
            await stage.roll_out()
        failures: list[str] = []
        for fault in sorted(FAULTS):
            for stream in (False, True):
                if fault not in STALLS:
                    failures += await tried(stage, fault, headers, stream=stream)
        stalls = [tried(stage, fault, headers, stream=stream) for fault in STALLS for stream in (False, True)]
        failures += [failure for found in await asyncio.gather(*stalls) for failure in found]
        await stage.assert_empty()
        assert not failures, "\n".join(failures)
        assert (await stage.ask(headers=headers)).status == 200
