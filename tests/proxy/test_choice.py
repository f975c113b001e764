"""Which version serves a request: override, explicit version, label, deployment; and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.proxy.gauges import standing
from gateway.storage import local
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import BY, Reply, WorkerStage, chat_body, worker_stage

GATED = "metadata:\n  canary: {suite: hard}\n"


async def ask(stage: WorkerStage, prompt: str, **headers: str) -> Reply:
    return await stage.ask(chat_body(), {"x-prompt": prompt, **headers})


def served(reply: Reply) -> tuple[int, str, str]:
    assert reply.status == 200, reply.body
    return (
        int(reply.headers["x-prompt-version"]),
        reply.headers["x-prompt-arm"],
        reply.headers["x-prompt-reason"],
    )


def refused(reply: Reply) -> tuple[int, str]:
    assert set(reply.error) == {"message", "type", "param", "code"}
    return reply.status, reply.error["code"]


@on_uvloop
async def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.push("idle")
        await stage.deploy()
        await stage.worker.snapshots.poll()
        assert refused(await ask(stage, "nobody")) == (404, "prompt_not_found")
        assert refused(await ask(stage, "idle")) == (404, "prompt_not_deployed")
        assert refused(await ask(stage, "greeter@staging")) == (404, "version_not_found")
        assert served(await ask(stage, "greeter@live")) == (1, "stable", "live")
        assert refused(await ask(stage, "greeter/1")) == (403, "version_not_allowed")
        assert refused(await ask(stage, "GREETER")) == (400, "invalid_value")
        assert stage.simulator.stats["requests"] == 1
        await stage.assert_empty()


@on_uvloop
async def test_an_explicit_version_needs_leave_and_a_passed_gate(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, bindings={"explicit_versions": True}) as stage:
        await stage.deploy()
        second = await stage.push(edition="second")
        gated = await stage.push(edition="third", front=GATED)
        await stage.worker.snapshots.poll()
        assert served(await ask(stage, f"greeter/{second}")) == (second, "stable", "version")
        assert refused(await ask(stage, f"greeter/{gated}")) == (409, "gate_not_passed")
        assert refused(await ask(stage, "greeter/99")) == (404, "version_not_found")


@on_uvloop
async def test_an_override_wins_over_all_and_may_name_what_is_not_there(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        second = await stage.push(edition="second")
        await stage.roll_out(edition="third", weight=1.0)
        local.write_overrides(tmp_path / "data", {"greeter": second})
        stage.worker.read_overrides()
        assert served(await ask(stage, "greeter")) == (second, "stable", "override")
        local.write_overrides(tmp_path / "data", {"greeter": 99})
        stage.worker.read_overrides()
        assert refused(await ask(stage, "greeter")) == (404, "version_not_found")
        await stage.assert_empty()


@on_uvloop
async def test_an_override_brings_its_version_where_the_store_has_none(tmp_path: Path) -> None:
    """As it is kept on disk by `prompt-canary override`, for when the store is down."""
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        version = await stage.registry.version("greeter", 1)
        elsewhere = msgspec.structs.replace(version, number=7)
        local.write_override_versions(tmp_path / "data", [elsewhere])
        local.write_overrides(tmp_path / "data", {"greeter": 7})
        stage.worker.read_overrides()
        assert served(await ask(stage, "greeter")) == (7, "stable", "override")
        told = [sample for sample in standing(stage.worker) if sample[0] == "overrides"]
        assert told == [("overrides", ("greeter", "7"), (1,))]
        (tmp_path / "data" / local.OVERRIDE_VERSIONS).write_text("[{]")
        assert local.read_override_versions(tmp_path / "data") == []


@pytest.mark.parametrize("text", ['{"Bad Name": 1}', "[]", "{", '{"greeter": "x"}'])
@on_uvloop
async def test_an_override_that_cannot_be_read_changes_nothing_and_stops_nothing(
    tmp_path: Path, text: str
) -> None:
    async with worker_stage(tmp_path, quiet=False) as stage:
        await stage.deploy()
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / local.OVERRIDES).write_text(text)
        stage.worker.sweep(stage.worker.clock())
        assert served(await ask(stage, "greeter")) == (1, "stable", "live")


@on_uvloop
async def test_a_session_keeps_its_arm_and_a_request_without_one_is_drawn_alone(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, sessions={"sources": ["header"]}) as stage:
        await stage.deploy()
        await stage.roll_out(weight=0.5)
        for number in range(10):
            first = served(await ask(stage, "greeter", **{"x-session-id": f"s{number}"}))
            again = served(await ask(stage, "greeter", **{"x-session-id": f"s{number}"}))
            assert first[2] == "weight"
            assert again == (*first[:2], "pin")
        arms = {served(await ask(stage, "greeter"))[1:] for _ in range(30)}
        assert arms == {("stable", "request"), ("canary", "request")}
        assert stage.worker.sessionless["absent"] == 30
        over_long = served(await ask(stage, "greeter", **{"x-session-id": "x" * 600}))
        assert over_long[2] == "request"


@on_uvloop
async def test_of_a_repeated_session_header_the_first_counts(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, sessions={"sources": ["header"]}) as stage:
        await stage.deploy()
        await stage.roll_out(weight=0.5)
        first = served(await ask(stage, "greeter", **{"x-session-id": "mine"}))
        twice = {"x-session-id": "mine", "X-Session-Id": "somebody-else"}
        assert served(await ask(stage, "greeter", **twice)) == (*first[:2], "pin")


@on_uvloop
async def test_a_busy_key_is_no_session(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, sessions={"hot_count": 5}) as stage:
        await stage.deploy()
        await stage.roll_out(weight=0.5)
        reasons = [served(await ask(stage, "greeter", **{"x-session-id": "all"}))[2] for _ in range(8)]
        assert reasons == ["weight", *["pin"] * 4, *["request"] * 3]
        assert stage.worker.sessionless["hot"] == 3


@on_uvloop
async def test_a_rollback_takes_every_session_back(tmp_path: Path) -> None:
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.roll_out(weight=1.0)
        assert served(await ask(stage, "greeter", **{"x-session-id": "a"}))[1] == "canary"
        await stage.rollouts.change("greeter", "roll_back", BY)
        await stage.worker.snapshots.poll()
        assert served(await ask(stage, "greeter", **{"x-session-id": "a"})) == (1, "stable", "live")
