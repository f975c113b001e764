"""After a rollback by API, under load, nobody who asks later than a second is answered by the canary; what
was in flight ends as it began, and nothing breaks."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.support.gateway import Answer, RawClient, make_gateway, running

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
STREAM = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"tell"}]}'
PROMISE = 1.0  # s from the commit


async def test_no_request_after_one_second_is_answered_by_the_canary(folder: Path) -> None:
    with running(make_gateway(folder)) as gateway:
        gateway.start_rollout(gateway.push("second"), 0.5)
        answers: list[Answer] = []
        stop = asyncio.Event()

        async def ask(worker: int) -> None:
            """Sessions that return and new ones, from before the rollback until after it."""
            turn = 0
            while not stop.is_set():
                client = await RawClient.connect(gateway.port)
                for _ in range(20):
                    turn += 1
                    session = f"{worker}-{turn % 40}" if turn % 2 else f"{worker}-new-{turn}"
                    answers.append(await client.post(BODY, {"x-session-id": session}))
                await client.close()

        async def stream(session: str) -> tuple[Answer, float]:
            """An answer that takes three seconds, and when it ended."""
            client = await RawClient.connect(gateway.port)
            answer = await client.post(STREAM, {"x-session-id": session, "x-sim-gap-ms": "300"})
            await client.close()
            return answer, time.time()

        asking = [asyncio.create_task(ask(number)) for number in range(8)]
        await asyncio.sleep(3.0)
        before = len(answers)
        streams = [asyncio.create_task(stream(f"stream-{number}")) for number in range(40)]
        await asyncio.sleep(1.0)
        await asyncio.to_thread(gateway.act, "roll_back")
        committed = time.time()
        await asyncio.sleep(2.5)
        stop.set()
        await asyncio.gather(*asking)
        streamed = await asyncio.gather(*streams)
    assert before > 100
    assert {answer.status for answer in answers} == {200}
    in_flight = [answer for answer, ended in streamed if answer.arm == "canary" and ended > committed]
    assert len(in_flight) > 5
    assert {(answer.status, answer.version) for answer in in_flight} == {(200, 2)}
    assert all(answer.body.endswith(b"data: [DONE]\n\n") for answer, _ in streamed)
    assert any(answer.arm == "canary" for answer in answers)
    late = [answer for answer in answers if answer.sent > committed + PROMISE]
    assert len(late) > 100
    assert not [answer for answer in late if answer.version != 1]
