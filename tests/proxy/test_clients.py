"""The gateway's own client keys at the worker: who gets in, for what, how often; and what never leaves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from gateway.control.client_keys import ClientKeys, NewKey
from gateway.domain.client_key import Wanted
from gateway.proxy.clients import Bucket
from gateway.storage import local
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import BY, Reply, WorkerStage, chat_body, worker_stage

KEYS = {"clients": "keys"}
GATED = "metadata:\n  canary: {suite: hard}\n"


async def key_for(stage: WorkerStage, name: str = "shop", **fields: Any) -> NewKey:
    made = await ClientKeys(stage.registry.store).create(Wanted(name, **fields), BY)
    await stage.worker.snapshots.poll()
    return made


async def ask(stage: WorkerStage, key: str, prompt: str = "greeter", **kwargs: Any) -> Reply:
    headers = {"authorization": f"Bearer {key}"} | ({"x-prompt": prompt} if prompt else {})
    return await stage.ask(headers=headers | kwargs.pop("more", {}), **kwargs)


def refused(reply: Reply) -> tuple[int, str]:
    assert set(reply.error) == {"message", "type", "param", "code"}
    return reply.status, reply.error["code"]


@on_uvloop
async def test_only_a_key_gets_in_and_it_stays_here(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, **KEYS) as stage:
        await stage.deploy()
        made = await key_for(stage)
        assert refused(await stage.ask()) == (401, "invalid_api_key")
        assert refused(await ask(stage, "sk-theirs")) == (401, "invalid_api_key")
        assert refused(await ask(stage, made.key[:-1] + "~")) == (401, "invalid_api_key")
        assert refused(await ask(stage, "sk", path="/v1/embeddings")) == (401, "invalid_api_key")
        assert stage.simulator.stats["requests"] == 0
        for headers in (
            {"authorization": f"bearer {made.key}"},
            {"x-api-key": made.key},
            {"api-key": made.key},
        ):
            reply = await stage.ask(headers={"x-prompt": "greeter", **headers})
            assert reply.status == 200
            assert made.key not in json.dumps(stage.seen()[-1]["headers"])
        await stage.assert_empty()


@on_uvloop
async def test_the_gateway_s_key_goes_to_the_provider_instead(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, **KEYS) as stage:
        stage_upstream = f"http://127.0.0.1:{stage.simulator.port}/v1"
        upstream = {"base_url": stage_upstream, "api_key": "sk-held"}
        async with worker_stage(tmp_path / "held", upstream=upstream, **KEYS) as held:
            made = await key_for(held)
            assert (await ask(held, made.key, "")).status == 200
        sent = {name.lower(): value for name, value in stage.seen()[-1]["headers"]}
        assert sent["authorization"] == "Bearer sk-held"


@on_uvloop
async def test_a_revoked_key_is_refused_after_the_next_look_at_the_store(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, **KEYS) as stage:
        made = await key_for(stage)
        assert (await ask(stage, made.key, "")).status == 200
        await ClientKeys(stage.registry.store).revoke(made.id, BY)
        await stage.worker.snapshots.poll()
        assert refused(await ask(stage, made.key, "")) == (401, "invalid_api_key")


@on_uvloop
async def test_a_worker_learns_of_a_key_within_half_a_second(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, **KEYS) as stage:
        keys = ClientKeys(stage.registry.store)
        made = await keys.create(Wanted("shop"), BY)
        async with asyncio.timeout(0.5):
            while (await ask(stage, made.key, "")).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@on_uvloop
async def test_a_key_is_for_its_prompts(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, **KEYS) as stage:
        await stage.deploy("greeter")
        await stage.deploy("seller")
        narrow = await key_for(stage, prompts=("greet*",))
        assert (await ask(stage, narrow.key)).status == 200
        assert refused(await ask(stage, narrow.key, "seller")) == (403, "forbidden")
        assert refused(await ask(stage, narrow.key, "nobody")) == (403, "forbidden")
        assert refused(await ask(stage, narrow.key, "")) == (403, "forbidden")
        assert refused(await ask(stage, narrow.key, "", path="/v1/embeddings")) == (403, "forbidden")
        wide = await key_for(stage, prompts=("greet*",), permissions=("unmanaged",))
        assert (await ask(stage, wide.key, "")).status == 200
        assert (await ask(stage, wide.key, "", path="/v1/files")).status == 200
        await stage.assert_empty()


@on_uvloop
async def test_versions_are_chosen_only_by_keys_that_may(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, **KEYS) as stage:
        await stage.deploy()
        second = await stage.push(edition="second")
        gated = await stage.push(edition="third", front=GATED)
        plain = await key_for(stage)
        chooses = await key_for(stage, permissions=("explicit_versions",))
        previews = await key_for(stage, permissions=("preview",))
        assert refused(await ask(stage, plain.key, f"greeter/{second}")) == (403, "version_not_allowed")
        reply = await ask(stage, chooses.key, f"greeter/{second}")
        assert (reply.headers["x-prompt-version"], reply.headers["x-prompt-reason"]) == ("2", "version")
        assert refused(await ask(stage, chooses.key, f"greeter/{gated}")) == (409, "gate_not_passed")
        assert (await ask(stage, previews.key, f"greeter/{gated}")).headers["x-prompt-version"] == "3"


@on_uvloop
async def test_a_session_is_a_key_s_own(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, **KEYS) as stage:
        await stage.deploy()
        keys = [await key_for(stage, f"k{number}") for number in range(12)]
        await stage.roll_out(weight=0.5)
        more = {"x-session-id": "the same"}
        arms = [(await ask(stage, key.key, more=more)).headers["x-prompt-arm"] for key in keys]
        assert set(arms) == {"stable", "canary"}
        again = [(await ask(stage, key.key, more=more)).headers["x-prompt-arm"] for key in keys]
        assert again == arms


@on_uvloop
async def test_a_rate_is_kept_and_said(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, **KEYS) as stage:
        slow = await key_for(stage, rate=0.1, burst=2)
        other = await key_for(stage)
        statuses = [(await ask(stage, slow.key, "", body=chat_body())).status for _ in range(2)]
        assert statuses == [200, 200]
        reply = await ask(stage, slow.key, "")
        assert refused(reply) == (429, "rate_limit_exceeded")
        assert 9 <= int(reply.headers["retry-after"]) <= 10
        assert (await ask(stage, other.key, "")).status == 200


def test_a_bucket_refills_and_holds_no_more_than_its_burst() -> None:
    bucket = Bucket(2, 0.0)
    assert [bucket.take(0.5, 2, 0.0) for _ in range(3)] == [0.0, 0.0, 2.0]
    assert bucket.take(0.5, 2, 1.0) == 1.0
    assert bucket.take(0.5, 2, 2.0) == 0.0
    assert [bucket.take(0.5, 2, 1000.0) for _ in range(3)] == [0.0, 0.0, 2.0]


@on_uvloop
async def test_without_the_store_the_keys_known_last_count(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, **KEYS) as stage:
        await stage.deploy()
        made = await key_for(stage)
        await stage.worker._write_view()
        kept = local.read_snapshot(tmp_path / "data")
        assert kept is not None
        stage.worker.snapshots.client_keys.clear()
        stage.worker.snapshots.complete = False
        assert refused(await ask(stage, made.key)) == (503, "snapshot_missing")
        stage.worker.snapshots.restore(kept.deployments, kept.client_keys, 0.0)
        assert (await ask(stage, made.key)).status == 200
        assert refused(await ask(stage, "sk-x")) == (401, "invalid_api_key")


def test_a_file_of_an_older_gateway_can_be_read(tmp_path: Path) -> None:
    (tmp_path / local.SNAPSHOT).write_text('{"deployments": {}, "versions": []}')
    kept = local.read_snapshot(tmp_path)
    assert kept is not None
    assert kept.client_keys == {}
