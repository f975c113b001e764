"""Managed requests: bodies within the budget, clients that leave in each phase, what nobody thought of, and
the last byte that waits for its pin."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.pins import Assignment, Pin
from gateway.errors import GatewayError, UpstreamBroken
from gateway.proxy.base import Head, ResponseHead
from gateway.proxy.choice import Choice
from gateway.proxy.managed import Managed
from gateway.proxy.pins import Pinning
from tests.support.scripted_provider import on_uvloop
from tests.support.stores import never_at_once
from tests.support.worker import (
    WorkerStage,
    chat_body,
    request_bytes,
    until,
    worker_stage,
)

PROMPTED = {"x-prompt": "greeter"}
SMALL = {"body_bytes": 64 * 1024, "body_budget_bytes": 128 * 1024}
SLOW = {**PROMPTED, "x-sim-first-token-ms": "400"}


# --- the budget


@on_uvloop
async def test_bodies_beyond_the_budget_wait_for_room(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, limits=SMALL) as stage:
        await stage.deploy()
        body = chat_body("x" * 50_000)
        asked = [asyncio.create_task(stage.ask(body, SLOW)) for _ in range(6)]
        await until(lambda: len(stage.worker.budget._waiting) == 4)
        assert stage.worker.budget.held == 2 * len(body)
        assert [(await task).status for task in asked] == [200] * 6
        await stage.assert_empty()


@on_uvloop
async def test_who_waits_too_long_is_refused_and_who_leaves_is_forgotten(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, limits=SMALL) as stage:
        await stage.deploy()
        stage.worker.budget.held += 128 * 1024
        client = await stage.connect()
        client.writer.write(request_bytes(chat_body("x" * 1000), PROMPTED))
        await until(lambda: len(stage.worker.budget._waiting) == 1)
        first = next(iter(stage.worker.edge.connections))
        refused = asyncio.create_task(stage.ask(chat_body("y" * 1000), PROMPTED))
        await until(lambda: len(stage.worker.budget._waiting) == 2)
        first.kill()
        assert len(stage.worker.budget._waiting) == 1
        await client.close()
        stage.worker.budget.sweep(stage.worker.clock() + 10)
        reply = await refused
        assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "overloaded", "1")
        stage.worker.budget.release(128 * 1024)
        await stage.assert_empty()
        assert stage.simulator.stats["requests"] == 0


@pytest.mark.parametrize(
    ("size", "chunked", "packed", "status"),
    [
        (60_000, False, False, 200),
        (60_000, True, False, 200),
        (70_000, False, False, 413),
        (70_000, True, False, 413),
        (60_000, False, True, 200),
        (70_000, False, True, 413),
    ],
)
@on_uvloop
async def test_every_way_to_send_a_body_is_accounted_for_once(
    tmp_path: Path, size: int, chunked: bool, packed: bool, status: int
) -> None:
    async with worker_stage(tmp_path, limits=SMALL) as stage:
        await stage.deploy()
        body = chat_body("x" * size)
        headers = {**PROMPTED, "content-encoding": "gzip"} if packed else PROMPTED
        reply = await stage.ask(gzip.compress(body) if packed else body, headers, chunked=chunked)
        assert reply.status == status
        await stage.assert_empty()


@on_uvloop
async def test_what_a_compressed_body_expands_to_counts(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, limits=SMALL) as stage:
        await stage.deploy()
        stage.worker.budget.held += 100 * 1024
        packed = gzip.compress(chat_body("x" * 50_000))
        reply = await stage.ask(packed, {**PROMPTED, "content-encoding": "gzip"})
        assert (reply.status, reply.error["code"]) == (503, "overloaded")
        stage.worker.budget.release(100 * 1024)
        await stage.assert_empty()


# --- clients that leave


@pytest.mark.parametrize("phase", ["body", "look-up", "load", "connect", "first byte", "stream"])
@on_uvloop
async def test_a_client_may_leave_in_every_phase(tmp_path: Path, phase: str) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out(weight=1.0)
        worker, journal = stage.worker, stage.simulator.provider.journal
        hold = asyncio.Event()
        reached = _hold(stage, phase, hold)
        client = await stage.connect()
        headers = {**SLOW, "x-sim-gap-ms": "100"}
        if phase == "stream":
            headers["x-sim-first-token-ms"] = "0"
        raw = request_bytes(chat_body(stream=True), headers)
        client.writer.write(raw[:-5] if phase == "body" else raw)
        if phase == "stream":
            await client.reader.readuntil(b"data: ")
        elif phase == "first byte":
            await until(lambda: journal.open == 1)
        elif phase == "connect":
            await until(lambda: worker.upstream.counts.open == 1)
        elif phase == "body":
            await until(lambda: worker.budget.held > 0)
        else:
            await reached.wait()
        client.writer.transport.abort()
        await until(lambda: worker.edge.exchanges == 0)
        hold.set()
        await stage.assert_empty()
        if phase in ("body", "look-up", "load"):
            assert journal.requests == 0
        await until(lambda: journal.open == 0)
        assert journal.completed == 0


def _hold(stage: WorkerStage, phase: str, hold: asyncio.Event) -> asyncio.Event:
    """Let the store's answer wait for the test."""
    reached = asyncio.Event()
    store = never_at_once(stage.worker.store)
    name = {"look-up": "get_key", "load": "get"}.get(phase)
    if name is None:
        return reached
    if phase == "load":
        stage.worker.versions._prepared.clear()
    call = getattr(store, name)

    async def held(key: str) -> Any:
        reached.set()
        await hold.wait()
        return await call(key)

    setattr(store, name, held)
    return reached


# --- what nobody thought of


@pytest.mark.parametrize(
    "where",
    [
        "wire.selection.PATH_PREFIX",  # the route
        "wire.splice._DECODER",
        "wire.chat._TURNS",
        "wire.forwarding.API",  # the request's head
        "wire.headers.RESPONSE_OURS",
        "wire.chat_events._OPENING",
    ],
)
@on_uvloop
async def test_an_unforeseen_exception_is_answered_logged_and_leaves_nothing(
    tmp_path: Path, where: str
) -> None:
    """Data are broken, not functions: compiled modules call each other's functions directly."""
    async with worker_stage(tmp_path, quiet=False) as stage:
        await stage.deploy()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"gateway.{where}", object())
            reply = await stage.ask(chat_body(stream=True), PROMPTED)
        if "events" in where:  # the head is on its way
            assert reply.end in ("cut", "reset")
        else:
            assert (reply.status, reply.error["code"]) == (500, "internal_error")
            assert "object" not in reply.error["message"]
        await stage.assert_empty()
        assert (await stage.ask(chat_body(stream=True), PROMPTED)).status == 200


@pytest.mark.parametrize(("name", "status"), [("get_key", 200), ("get", 500)])
@on_uvloop
async def test_a_store_that_raises_what_it_should_not_keeps_nobody_waiting(
    tmp_path: Path, name: str, status: int
) -> None:
    async with worker_stage(tmp_path, quiet=False) as stage:
        await stage.deploy()
        await stage.roll_out(weight=1.0)
        stage.worker.versions._prepared.clear()
        call = getattr(never_at_once(stage.worker.store), name)

        async def fails(key: str) -> None:
            raise LookupError("surprise")

        setattr(stage.worker.store, name, fails)
        replies = await asyncio.gather(*(stage.ask(headers=PROMPTED) for _ in range(3)))
        assert [reply.status for reply in replies] == [status] * 3
        setattr(stage.worker.store, name, call)
        await stage.assert_empty()
        assert (await stage.ask(headers=PROMPTED)).status == 200


# --- requests that are odd, or concern no prompt


@on_uvloop
async def test_a_request_without_a_prompt_passes_byte_for_byte(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        body = gzip.compress(
            b' {"model" : "sim", "stream":null, "messages":[{"role":"user","content":"a"}] }'
        )
        await stage.ask(body, {"content-encoding": "gzip", "accept-encoding": "br"})
        seen = stage.seen()[-1]
        assert base64.b64decode(seen["body"]) == body
        headers = {name.lower(): value for name, value in seen["headers"]}
        assert (headers["content-encoding"], headers["accept-encoding"]) == ("gzip", "br")


@pytest.mark.parametrize("name", ["x-prompt", "x-prompt-variables", "content-encoding"])
@on_uvloop
async def test_a_header_that_must_be_unambiguous_is_sent_once(tmp_path: Path, name: str) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        raw = request_bytes(chat_body(), {name: "greeter", name.title(): "other"})
        client = await stage.connect()
        reply = await client.ask(raw)
        await client.close()
        assert (reply.status, reply.error["param"]) == (400, name)
        await stage.assert_empty()


@on_uvloop
async def test_the_body_of_a_client_that_waits_for_leave_is_asked_for(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        client = await stage.connect()
        body = chat_body()
        raw = request_bytes(body, {**PROMPTED, "expect": "100-continue"})
        client.writer.write(raw.removesuffix(body))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.ask(body)).status == 200
        await client.close()


# --- the last byte waits for the pin


class Board:
    """Writes nothing."""

    def write(self, pinning: Pinning) -> None: ...


class NotingLink:
    def __init__(self) -> None:
        self.said: list[object] = []

    def respond(self, status: int, reason: bytes, headers: Sequence[Any], length: int | None) -> None:
        self.said.append(("head", status, length))

    def send(self, data: bytes) -> None:
        self.said.append(data)

    def flush(self) -> None:
        pass

    def end(self) -> None:
        self.said.append("end")

    def abort(self) -> None:
        self.said.append("abort")

    def fail(self, error: GatewayError) -> None:
        self.said.append(error.code)

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...


PIN = Pin("stable", 1, 0.5, 1.0, 1.0, True, True, 0.0)


def _unsettled(stage: WorkerStage, link: NotingLink) -> tuple[Managed, Pinning]:
    """An exchange whose answer is due and whose pin is being written."""
    head = Head(b"POST", b"/v1/chat/completions", b"", "1.1", [], 0, 0.0)
    exchange = Managed(stage.worker, head, link, head.path, None)
    assignment = Assignment("stable", 1, "weight", "r1", True, PIN, write=True)
    pinning = Pinning(Board(), b"session", assignment)  # type: ignore[arg-type]
    exchange.choice = Choice(1, "stable", "weight", "r1", b"session", pinning)
    pinning.start(exchange._settle)
    return exchange, pinning


def _head(length: int | None, kind: bytes = b"application/json", status: int = 200) -> ResponseHead:
    return ResponseHead(status, b"OK", [(b"content-type", kind)], length)


EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("head", "data", "before"),
    [
        (_head(6), [b"abc", b"def"], [b"abc"]),
        (_head(None), [b"abc", b"def", b"ghi"], [b"abc", b"def"]),
        (_head(None, b"text/event-stream"), [EVENT, EVENT, FINISH, DONE], [EVENT, EVENT]),
        (_head(0), [], []),
        (_head(None, status=204), [], []),
    ],
    ids=["length", "chunked", "events", "empty", "no content"],
)
@pytest.mark.parametrize("settles", ["before the end", "after the end", "first", "failed"])
@on_uvloop
async def test_order_is_kept_whenever_the_pin_is_settled(
    tmp_path: Path, head: ResponseHead, data: list[bytes], before: list[bytes], settles: str
) -> None:
    async with worker_stage(tmp_path) as stage:
        link = NotingLink()
        exchange, pinning = _unsettled(stage, link)
        if settles == "first":
            pinning.settle(PIN)
        exchange.response_head(head)
        for piece in data:
            exchange.response_data(piece)
            exchange.response_flush()
        if settles != "first":
            assert link.said[1:] == before
        if settles == "before the end":
            pinning.settle(PIN)
            assert link.said[1:] == data
        exchange.response_end()
        if settles in ("after the end", "failed"):
            assert link.said[1:] == before
            pinning.settle(PIN if settles != "failed" else "failed")
        assert link.said[1:] == [*data, "end"]
        pinning.settle(PIN)
        assert link.said.count("end") == 1


@on_uvloop
async def test_an_answer_that_breaks_while_its_pin_is_unsettled_is_cut_at_once(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        link = NotingLink()
        exchange, pinning = _unsettled(stage, link)
        exchange.response_head(_head(None, b"text/event-stream"))
        for piece in (EVENT, FINISH):
            exchange.response_data(piece)
        exchange.response_failed(UpstreamBroken("gone"))
        assert link.said[1:3] == [EVENT, FINISH]
        assert json.loads(bytes(link.said[3])[6:])["error"]["code"] == "upstream_broken"  # type: ignore[arg-type]
        assert link.said[4:] == ["abort"]
        pinning.settle(PIN)
        assert link.said[4:] == ["abort"]


@on_uvloop
async def test_a_client_that_leaves_while_the_pin_is_unsettled_hears_nothing_more(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        link = NotingLink()
        exchange, pinning = _unsettled(stage, link)
        exchange.response_head(_head(3))
        exchange.response_data(b"abc")
        exchange.response_end()
        exchange.client_gone()
        pinning.settle(PIN)
        assert link.said[1:] == []
