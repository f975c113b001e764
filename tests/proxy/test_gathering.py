"""Large bodies: gathered without a copy at the end, and worked on in steps that others come between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.proxy.gathering import Gathered, soon
from gateway.wire.splice import LARGE
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import chat_body, worker_stage

PROMPTED = {"x-prompt": "greeter"}


@pytest.mark.parametrize("sizes", [[], [5], [5, 0, 7], [LARGE, 1], [LARGE + 1], [700_000] * 4])
def test_a_body_is_what_came_however_it_was_cut(sizes: list[int]) -> None:
    pieces = [bytes([65 + index]) * size for index, size in enumerate(sizes)]
    gathered = Gathered()
    for piece in pieces:
        gathered.add(piece)
    assert gathered.size == sum(sizes)
    assert gathered.take() == b"".join(pieces)
    assert gathered.take() == b""


def test_the_only_piece_of_a_body_is_not_copied() -> None:
    gathered, piece = Gathered(), b"x" * 1000
    gathered.add(piece)
    assert gathered.take() is piece


async def test_what_waits_comes_between_the_steps_of_a_large_body() -> None:
    seen: list[str] = []

    def step(work: object, what: str) -> None:
        seen.append(what)

    soon(step, seen.append, "small", LARGE)
    soon(step, seen.append, "large", LARGE + 1)
    assert seen == ["small"]
    asyncio.get_running_loop().call_soon(seen.append, "other")
    await asyncio.sleep(0)
    assert seen == ["small", "large", "other"]


@on_uvloop
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_goes_through_every_step(tmp_path: Path, chunked: bool) -> None:
    """Measured, so that its question is read too; the same conversation has the same version."""
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out(weight=1.0, policy="fast")
        body = chat_body("what is this? " + "x" * (2 * LARGE))
        arms = [await stage.ask(body, PROMPTED, chunked=chunked) for _ in range(2)]
        assert [(reply.status, reply.headers["x-prompt-version"]) for reply in arms] == [(200, "2")] * 2
        assert stage.sent()["messages"][0] == {"role": "system", "content": "You are the second one."}
        assert stage.sent()["messages"][1]["content"].endswith("x" * 100)
        refused = await stage.ask(b'{"messages":[' + b" " * LARGE + b"1]}", PROMPTED)
        assert (refused.status, refused.error["param"]) == (400, "messages")
        await stage.assert_empty()


@on_uvloop
async def test_a_client_may_leave_between_the_steps_of_its_large_body(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        client = await stage.connect()
        body = chat_body("x" * (2 * LARGE))
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nx-prompt: greeter\r\n"
        client.writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body[:-1])
        await client.writer.drain()
        client.writer.write(body[-1:])
        await client.close()
        await stage.assert_empty()
