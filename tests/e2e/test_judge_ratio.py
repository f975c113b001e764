"""With real processes, at weights .05 and .5: judged are exactly the sessions whose hash says so, whichever
worker serves them and however often they come, and each of them once. (What ratio of the arms that hash gives
is tests/proxy/test_judged_ratio.py, with enough sessions to see 5 %.)"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from gateway.control.replay import read_all
from gateway.domain.assignment import bucket, judged
from gateway.domain.observation import Assigned, Drawn, Observed, Scored, decode_batch
from gateway.domain.rollout import Deployment, Rollout
from gateway.storage import codec, keys
from gateway.storage.create import create_store
from tests.support.gateway import RawClient, running
from tests.support.judged import build, quiet, start

SESSIONS, CLIENTS = 1600, 8


async def turns(port: int, client: int) -> None:
    """Two turns of each session, on connections of their own, and so on any worker."""
    for _ in range(2):
        connection = await RawClient.connect(port)
        for number in range(client, SESSIONS, CLIENTS):
            body = b'{"model":"m","messages":[{"role":"user","content":"hi %d"}]}' % number
            assert (await connection.post(body, {"x-session-id": f"s-{number}"})).status == 200
        await connection.close()


@pytest.mark.parametrize(("weight", "ratio"), [("5%", 3.0), ("50%", 1.0)])
async def test_judged_are_the_sessions_that_were_drawn_and_each_once(
    tmp_path: Path, weight: str, ratio: float
) -> None:
    gateway = build(tmp_path)
    text = (
        gateway.config.read_text().replace("[40%, 50%]", f"[{weight}, 60%]").replace("[2s, 2s]", "[10m, 1s]")
    )
    text = text.replace("judged_first: 1", f"judged_first: {ratio}").replace(
        "judge_limit: 5", "judge_limit: 90"
    )
    text = text.replace("event_window: 4", "event_window: 90")
    text += "sessions: {lookup_timeout: 5}\n"  # a session whose pin is looked up for too long is no evidence
    gateway.config.write_text(text)
    units: dict[bytes, Drawn] = {}
    answered: set[bytes] = set()
    scored: Counter[bytes] = Counter()
    with running(gateway):
        id = start(gateway, "good")
        await asyncio.sleep(1.5)  # its weight counts from a second after its start
        await asyncio.gather(*(turns(gateway.port, client) for client in range(CLIENTS)))
        await quiet(create_store("sqlite", str(tmp_path / "data")))
        store = create_store("sqlite", str(tmp_path / "data"))
        await store.open()
        document = await store.get(keys.deployment("greeter"))
        async for entry in read_all(store, keys.evidence(id)):
            for record in decode_batch(entry.value).records:
                match record:
                    case Assigned():
                        assert record.unit.session not in units
                        units[record.unit.session] = record.unit
                    case Observed() if record.first and record.outcome == "ok":
                        answered.add(record.unit.session)
                    case Scored():
                        scored[record.unit.session] += 1
        await store.close()
    assert document is not None
    rollout = codec.decode_document(document, Deployment).rollout
    assert isinstance(rollout, Rollout)
    assert len(units) > 0.9 * SESSIONS  # the rest is no evidence: on a busy machine a store call may time out
    for session, unit in units.items():
        assert unit.canary is (bucket(rollout.salt, session) < unit.weight)
        assert unit.judged is (judged(rollout.salt, session) < (unit.j1 if unit.canary else unit.j0))
    assert set(scored) == {session for session, unit in units.items() if unit.judged} & answered
    assert set(scored.values()) == {1}
    arms = Counter(units[session].canary for session in scored)
    chance = 4.0 * ratio * (1.0 / arms[True] + 1.0 / arms[False]) ** 0.5  # four standard errors
    assert abs(arms[False] / arms[True] - ratio) < chance
