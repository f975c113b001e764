"""A session keeps its version: over workers, connections and steps of the weight."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from tests.support.gateway import Answer, Gateway, RawClient, ask_once, make_gateway, running

SESSIONS, TURNS = 1000, 5
NEW_SESSIONS, CONNECTIONS = 20_000, 32


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Beside other tests the machine itself may stand still for longer than the usual limit of a look-up,
    beyond which a session is served by its hash."""
    made = make_gateway(tmp_path_factory.mktemp("affinity"), extra="sessions: {lookup_timeout: 2}")
    with running(made) as gateway:
        yield gateway


@dataclass(frozen=True, slots=True)
class Rollout:
    gateway: Gateway
    candidate: int

    @property
    def port(self) -> int:
        return self.gateway.port


@pytest.fixture
def rollout(patient: Gateway, request: pytest.FixtureRequest) -> Iterator[Rollout]:
    """A version that no other test knows, at weight 0.10, in effect; rolled back in the end."""
    candidate = patient.push(request.node.name)
    patient.start_rollout(candidate, 0.10)
    time.sleep(1.6)  # one second ahead, and half a second until every worker knows
    yield Rollout(patient, candidate)
    patient.act("roll_back")


def chat(session: int, turn: int) -> bytes:
    """The whole history, as chat clients resend it."""
    messages = [{"role": "user", "content": f"conversation {session}"}]
    for past in range(turn):
        messages += [
            {"role": "assistant", "content": f"answer {past}"},
            {"role": "user", "content": f"question {past}"},
        ]
    return json.dumps({"model": "m", "messages": messages}).encode()


async def test_the_weight_is_the_share_of_new_sessions(rollout: Rollout) -> None:
    numbers = iter(range(NEW_SESSIONS))
    arms: list[str] = []

    async def ask() -> None:
        client = await RawClient.connect(rollout.port)
        for number in numbers:
            answer = await client.post(chat(0, 0), {"x-session-id": f"new-{number}"})
            assert answer.status == 200, answer.body
            arms.append(answer.arm)
            if answer.headers.get("connection") == "close":
                await client.close()
                client = await RawClient.connect(rollout.port)
        await client.close()

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    assert len(arms) == NEW_SESSIONS
    assert 0.09 <= arms.count("canary") / NEW_SESSIONS <= 0.11


async def paced(count: int, rate: float) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(count):
        await asyncio.sleep(max(0.0, started + number / rate - loop.time()))
        yield number


@pytest.mark.timeout(240)
@pytest.mark.parametrize("key", ["header", "fingerprint"])
@pytest.mark.parametrize("gap", [0.05, 2.0])
@pytest.mark.parametrize("steps", [(), (0.5, 1.0)], ids=["steady", "raised"])
async def test_a_session_sees_one_version(
    rollout: Rollout, key: str, gap: float, steps: tuple[float, ...]
) -> None:
    versions: dict[int, list[int]] = {}
    failed: list[Answer] = []

    async def converse(session: int) -> None:
        headers = {"x-session-id": f"s-{session}"} if key == "header" else {}
        for turn in range(TURNS):
            answer = await ask_once(rollout.port, chat(session, turn), headers)
            if answer.status != 200:
                failed.append(answer)
                return
            versions.setdefault(session, []).append(answer.version)
            await asyncio.sleep(gap)

    async def raise_weight() -> None:
        for step in steps:
            await asyncio.sleep(1.3)
            await asyncio.to_thread(rollout.gateway.act, "weight", weight=step)

    raising = asyncio.create_task(raise_weight())
    conversations = [asyncio.create_task(converse(number)) async for number in paced(SESSIONS, 250)]
    await asyncio.gather(raising, *conversations)
    assert not failed
    flipped = {session: seen for session, seen in versions.items() if len(set(seen)) != 1}
    assert not flipped
    assert len(versions) == SESSIONS
    assert {1, rollout.candidate} == {version for seen in versions.values() for version in seen}
