"""Aliases: which session a response belongs to, written with its id and looked up by the next turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import StoreUnavailable
from gateway.proxy.aliases import MOST_BYTES, AliasBoard, Aliasing
from gateway.proxy.sessions import Sessions
from gateway.wire.responses import read_answer, scanner
from tests.support.scripted_provider import on_uvloop
from tests.support.stores import NeverAtOnce, never_at_once
from tests.support.worker import Reply, WorkerStage, until, worker_stage

RESPONSES = "/v1/responses"
PROMPTED = {"x-prompt": "greeter"}


class Store(NeverAtOnce):
    """Keys in memory; `hold` delays writes, `broken` fails them."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.calls: list[int] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.broken = False

    async def get_key(self, key: str) -> bytes | None:
        if self.broken:
            raise StoreUnavailable("gone")
        return self.kept.get(key)

    async def set_all_if_absent(self, items: Sequence[tuple[str, bytes, float]]) -> tuple[bytes, ...]:
        self.calls.append(len(items))
        await self.hold.wait()
        if self.broken:
            raise StoreUnavailable("gone")
        return tuple(self.kept.setdefault(key, value) for key, value, _ in items)


def board(store: Store, patience: float = 5.0) -> AliasBoard:
    return AliasBoard(store, ttl=60.0, patience=patience)  # type: ignore[arg-type]


def aliasing(of: AliasBoard, session: bytes, done: list[bytes]) -> Aliasing:
    return Aliasing(of, session, lambda id: id.encode(), lambda: done.append(session))


async def looked_up(of: AliasBoard, alias: bytes) -> Any:
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    of.look_up(alias, found.set_result)
    return await found


async def test_ids_are_written_together_and_found_again() -> None:
    store, done = Store(), []
    aliases = board(store)
    for session in (b"s1", b"s2"):
        one = aliasing(aliases, session, done)
        one.write("r" + session.decode())
        assert not one.wanted and not one.settled
    await until(lambda: len(done) == 2)
    assert store.calls == [2]
    assert await looked_up(aliases, b"rs1") == b"s1"
    assert await looked_up(aliases, b"other") is None
    await aliases.close()


async def test_a_store_that_fails_or_is_slow_holds_no_answer() -> None:
    store, done = Store(), []
    store.broken = True
    aliases = board(store)
    aliasing(aliases, b"s", done).write("r")
    await until(lambda: done == [b"s"])
    assert await looked_up(aliases, b"r") == "failed"
    slow = Store()
    slow.hold.clear()
    aliases = board(slow, patience=0.01)
    one = aliasing(aliases, b"t", done)
    one.write("r")
    await until(lambda: done == [b"s", b"t"])
    assert one.settled
    slow.hold.set()
    await aliases.close()
    assert list(slow.kept.values()) == [b"t"]
    assert done == [b"s", b"t"]


async def test_where_the_id_is_found() -> None:
    store, done = Store(), []
    aliases = board(store)
    whole = aliasing(aliases, b"w", done)
    whole.hear(b'{"object":"response",', None)
    whole.hear(b'"id":"r1"}', None)
    whole.end(None, read_answer)
    streamed = aliasing(aliases, b"e", done)
    events = scanner()
    events.feed(b'data: {"type":"response.in_progress"}\n\n')
    streamed.hear(b"x", events)
    assert streamed.wanted
    events.feed(b'data: {"type":"response.created","response":{"id":"r2"}}\n\n')
    streamed.hear(b"x", events)
    assert not streamed.wanted
    await aliases.close()
    await until(lambda: len(done) == 2)
    assert sorted(store.kept.values()) == [b"e", b"w"]


async def test_without_an_id_nothing_is_waited_for() -> None:
    done: list[bytes] = []
    aliases = board(Store())
    for session in (b"a", b"b", b"c"):
        one = aliasing(aliases, session, done)
        if session == b"a":
            one.hear(b"x" * (MOST_BYTES + 1), None)
        elif session == b"b":
            one.hear(b"<html>", None)
            one.end(None, read_answer)
        else:
            one.end(scanner(), read_answer)
        assert one.settled and not one.wanted
    assert done == [b"a", b"b", b"c"]


# --- through a worker


def turn(text: str, previous: str | None = None, **fields: Any) -> bytes:
    named = {} if previous is None else {"previous_response_id": previous}
    return json.dumps({"model": "sim", "input": text, **named, **fields}).encode()


async def ask(stage: WorkerStage, body: bytes, **headers: str) -> Reply:
    return await stage.ask(body, {**PROMPTED, **headers}, path=RESPONSES)


def id_of(reply: Reply) -> str:
    if reply.headers["content-type"].startswith("text/event-stream"):
        for event in reply.events:
            found = json.loads(event.partition(b"data: ")[2])
            if found["type"] == "response.created":
                return str(found["response"]["id"])
    return str(json.loads(reply.body)["id"])


@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_a_conversation_by_previous_response_id_keeps_its_version(tmp_path: Path, stream: bool) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out(weight=0.5)
        arms = set()
        for i in range(12):
            reply = await ask(stage, turn(f"user {i}", stream=stream))
            first = (reply.headers["x-prompt-version"], reply.headers["x-prompt-reason"])
            arms.add(first[0])
            for n in range(2):
                stage.worker.pins.sessions = Sessions(100)  # as if another worker had it
                reply = await ask(stage, turn(f"more {i} {n}", id_of(reply), stream=stream))
                assert reply.headers["x-prompt-version"] == first[0]
                assert reply.headers["x-prompt-reason"] in ("pin", "weight")
            assert first[1] == "weight"
        assert arms == {"1", "2"}
        await stage.assert_empty()


@on_uvloop
async def test_an_answer_ends_when_its_alias_stands(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, sessions={"lookup_timeout": 5}) as stage:
        await stage.deploy()
        await stage.roll_out(weight=1.0)
        never_at_once(stage.worker.store)
        hold, write = asyncio.Event(), stage.worker.aliases._store.set_all_if_absent

        async def held(items: Sequence[tuple[str, bytes, float]]) -> tuple[bytes, ...]:
            if items[0][0].startswith("alias/"):
                await hold.wait()
            return await write(items)

        stage.worker.store.set_all_if_absent = held  # type: ignore[method-assign]
        for count, stream in enumerate((False, True), 1):
            hold.clear()
            asked = asyncio.create_task(ask(stage, turn("Hi", stream=stream)))
            await until(lambda count=count: stage.simulator.stats["completed"] == count)
            await until(lambda: len(stage.worker.aliases._tasks) == 1)
            assert not asked.done()
            hold.set()
            assert (await asked).end == "clean"
        await stage.assert_empty()


@pytest.mark.parametrize(
    "fault", ["gzip", "http10", "until_close", "reset_mid_stream", "status_400", "error_in_200"]
)
@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_every_way_an_answer_ends_leaves_nothing(tmp_path: Path, fault: str, stream: bool) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out(weight=1.0)
        reply = await ask(stage, turn("Hi", stream=stream), **{"x-sim-fault": fault})
        if fault in ("gzip", "http10", "until_close"):
            assert reply.end == "clean"
            again = await ask(stage, turn("more", id_of(reply)))
            assert again.headers["x-prompt-reason"] == "pin"
        await stage.assert_empty()


@on_uvloop
async def test_nothing_is_written_or_looked_up_where_it_is_not_needed(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        asked: list[str] = []
        board = stage.worker.aliases
        look_up, write = board.look_up, board.write
        board.look_up = lambda *given: (asked.append("look-up"), look_up(*given))[0]  # type: ignore
        board.write = lambda *given: (asked.append("write"), write(*given))[0]  # type: ignore
        assert (await ask(stage, turn("Hi", "resp_0"))).status == 200  # no rollout
        await stage.roll_out(weight=0.5)
        assert (await ask(stage, turn("Hi", "resp_0"), **{"x-session-id": "s"})).status == 200
        assert (await ask(stage, turn("Hi", store=False))).status == 200
        assert asked == []
        assert (await ask(stage, turn("Hi", "resp_0"))).status == 200
        assert asked == ["look-up", "write"]
        assert stage.sent()["previous_response_id"] == "resp_0"
        await stage.assert_empty()


@on_uvloop
async def test_a_look_up_that_fails_is_no_session_and_no_evidence(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out(weight=0.9)
        get_key = never_at_once(stage.worker.store).get_key

        async def broken(key: str) -> bytes | None:
            if key.startswith("alias/"):
                raise StoreUnavailable("gone")
            return await get_key(key)

        stage.worker.store.get_key = broken  # type: ignore[method-assign]
        reply = await ask(stage, turn("Hi", "resp_0"))
        assert (reply.headers["x-prompt-arm"], reply.headers["x-prompt-reason"]) == ("canary", "request")
        assert stage.worker.sessionless == {"alias": 1}
        await stage.assert_empty()
