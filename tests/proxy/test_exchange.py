"""Requests that no prompt is injected into: both directions streamed, and what a broken answer becomes."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from gateway.proxy.router import seconds
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import request_bytes, until, worker_stage


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        (None, None),
        (b"2.5", 2.5),
        (b"600", 600.0),
        (b"0", None),
        (b"-1", None),
        (b"nan", None),
        (b"inf", None),
        (b"soon", None),
        (b"", None),
    ],
)
def test_the_client_s_own_time_limit(value: bytes | None, limit: float | None) -> None:
    assert seconds(value) == limit


@pytest.mark.parametrize("chunked", [False, True])
@on_uvloop
async def test_an_upload_streams_through_without_a_limit_and_without_being_held(
    tmp_path: Path, chunked: bool
) -> None:
    limits = {"body_bytes": 1024, "body_budget_bytes": 1024}
    async with worker_stage(tmp_path, limits=limits) as stage:
        body = bytes(range(256)) * 16 * 1024
        reply = await stage.ask(body, path="/v1/files?purpose=a%20b", chunked=chunked)
        assert (reply.status, reply.end) == (200, "clean")
        seen = stage.seen()[-1]
        assert seen["target"] == "/v1/files?purpose=a%20b"
        assert base64.b64decode(seen["body"]) == body
        await stage.assert_empty()


@on_uvloop
async def test_a_client_that_leaves_in_its_upload_leaves_nothing(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        client = await stage.connect()
        client.writer.write(request_bytes(b"x" * 100_000, path="/v1/files")[:50_000])
        await until(lambda: stage.worker.upstream.counts.open == 1)
        client.writer.transport.abort()
        await stage.assert_empty()
        await until(lambda: stage.simulator.stats["truncated"] == 1 or not stage.simulator.stats["open"])
        assert stage.simulator.stats["requests"] == 0


@on_uvloop
async def test_a_client_s_patience_bounds_the_wait_for_the_first_byte(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        headers = {"x-sim-fault": "stall_before_head", "x-stainless-read-timeout": "0.2"}
        asking = asyncio.create_task(stage.ask(b"{}", headers, path="/v1/embeddings"))
        await until(lambda: stage.simulator.provider.journal.open == 1)
        reply = await asking
        assert (reply.status, reply.error["code"]) == (504, "upstream_timeout")
        await stage.assert_empty()


@on_uvloop
async def test_a_head_request_has_no_body_and_keeps_its_connection(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        client = await stage.connect()
        for _ in range(2):
            client.writer.write(b"HEAD /v1/models HTTP/1.1\r\nhost: test\r\n\r\n")
            status, _headers = await client.head()
            assert status == 200
        client.writer.write(b"GET /v1/models HTTP/1.1\r\nhost: test\r\n\r\n")
        assert (await client.reply()).body.startswith(b"{")
        await client.close()
        await stage.assert_empty()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /v1/chat/completions", 405),
        ("GET /", 404),
        ("GET /p/greeter", 400),
        ("GET /p/GREETER/v1/models", 400),
        ("GET /p/greeter/elsewhere", 404),
    ],
)
@on_uvloop
async def test_what_is_no_route_is_answered_here(tmp_path: Path, line: str, status: int) -> None:
    async with worker_stage(tmp_path) as stage:
        client = await stage.connect()
        reply = await client.ask(f"{line} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
        await client.close()
        assert (reply.status, set(reply.error)) == (status, {"message", "type", "param", "code"})
        assert stage.simulator.stats["requests"] == 0
