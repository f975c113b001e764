"""What follows an emergency deploy, on real processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deciding import EXTRA, PATIENCE, SCENARIO, acts, live, load_on, turn_bad, until
from tests.support.gateway import Gateway, RawClient, make_gateway, running

ME, IT = "anonymous", "controller"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("emergency")
    with running(make_gateway(folder, scenario=SCENARIO, extra=EXTRA)) as started:
        yield started


def deploy(gateway: Gateway, edition: str, **more: str) -> int:
    version = gateway.push(edition)
    body = {"version": version, "emergency": True, "reason": "the other one leaks", **more}
    gateway.call("/v1/prompts/greeter/deploy", body)
    return version


async def test_one_that_is_watched_and_does_no_harm_is_for_everyone_after_it(gateway: Gateway) -> None:
    async with load_on(gateway) as load:
        version = deploy(gateway, "sound", watch="quick")
        assert live(gateway) == version
        watched = await until(gateway, lambda rollout: bool(rollout["evidence"]))
        assert (watched["candidate"], watched["watch"]) == (version, True)
        assert watched["weights"][-1]["value"] == pytest.approx(0.9)
        seen = len(load.answers)
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
        arms = {answer.version for answer in load.answers[seen:]}
    assert (ended["phase"], ended["ended_by"], live(gateway)) == ("promoted", IT, version)
    assert arms == {version, watched["baseline"]}
    assert acts(gateway, ended["id"]) == [(ME, "emergency_deploy"), (IT, "finish")]


async def test_one_that_is_watched_and_does_harm_is_rolled_back(gateway: Gateway) -> None:
    before = live(gateway)
    turn_bad(gateway, "hasty")
    async with load_on(gateway):
        deploy(gateway, "hasty", watch="watched")
        ended = await until(gateway, lambda rollout: rollout["phase"] != "progressing")
    assert (ended["phase"], ended["ended_by"], live(gateway)) == ("rolled_back", IT, before)
    assert acts(gateway, ended["id"]) == [(ME, "emergency_deploy"), (IT, "roll_back")]
    replayed = gateway.call(f"/v1/rollouts/{ended['id']}/replay")
    assert (replayed["agree"], replayed["partial"]) == (True, False)


async def test_one_that_nobody_holds_back_is_said_to_fail_more_often_and_stays(gateway: Gateway) -> None:
    before = live(gateway)
    turn_bad(gateway, "reckless")
    await asked(gateway, 300)
    async with load_on(gateway):
        version = deploy(gateway, "reckless")
        entry = await written(gateway, "worse")
    assert (entry["actor"], live(gateway)) == ("services", version)
    assert "100 % (" in entry["reason"]
    assert f"version {before} 0 % (" in entry["reason"]
    view = gateway.call("/v1/prompts/greeter/rollout")
    assert (view["emergency"]["before"], view["emergency"]["worse"]) == (before, True)
    deploy(gateway, "sound")
    assert gateway.call("/v1/prompts/greeter/rollout")["emergency"]["worse"] is False


async def test_a_machine_that_only_has_workers_compares_what_they_count(tmp_path: Path) -> None:
    store = f"{{kind: sqlite, directory: {tmp_path / 'shared'}}}"
    control = make_gateway(tmp_path / "control", store=store, scenario=SCENARIO)
    workers = make_gateway(tmp_path / "workers", store=store, simulator=control.simulator)
    control.role, workers.role = "control", "worker"
    with running(control), running(workers):
        await asked(workers, 100)
        deploy(control, "bad")
        await asyncio.sleep(1.0)  # no worker serves the version before any more
        await asked(workers, 100)
        entry = await written(control, "worse")
    assert entry["after"]["emergency"]["worse"] is True


async def asked(gateway: Gateway, times: int) -> None:
    client = await RawClient.connect(gateway.port)
    for _ in range(times):
        await client.post(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    await client.close()


async def written(gateway: Gateway, action: str) -> dict[str, Any]:
    """The newest entry of the audit log, once it is of this action."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await asyncio.to_thread(gateway.call, "/v1/audit?prompt=greeter&limit=1")
            newest: dict[str, Any] = found["entries"][0]
            if newest["action"] == action:
                return newest
            await asyncio.sleep(0.1)
