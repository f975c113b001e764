import asyncio
import json
from statistics import fmean
from typing import Any

import pytest

from gateway.simulator.judge import on_scale
from tests.simulator.conftest import Start
from tests.simulator.wire import CHAT, Client, ask, chat

FAST = """
default: {first_token_ms: 0, gap_ms: 0}
judge: {noise: 0.05, behaviour: {first_token_ms: 0, gap_ms: 0%s}%s}
"""
SCORE = {
    "type": "json_schema",
    "json_schema": {
        "name": "judgment",
        "schema": {
            "type": "object",
            "properties": {
                "reason": {"type": "string"},
                "score": {"type": "number", "minimum": 0, "maximum": 1},
            },
        },
    },
}


async def scores(port: int, quality: str, count: int) -> list[float]:
    client = await Client.connect(port)
    answers = [
        await client.ask(
            CHAT,
            chat(f"Question {i}: [quality 0.11]\nAnswer: [quality {quality}] words", response_format=SCORE),
        )
        for i in range(count)
    ]
    await client.close()
    return [json.loads(answer.json()["choices"][0]["message"]["content"])["score"] for answer in answers]


async def test_scores_follow_the_quality_of_the_last_answer_with_noise(start: Start) -> None:
    port = (await start(FAST % ("", ""))).port
    good, bad = await scores(port, "0.80", 200), await scores(port, "0.30", 200)
    assert fmean(good) == pytest.approx(0.8, abs=0.02)
    assert fmean(bad) == pytest.approx(0.3, abs=0.02)
    assert len(set(good)) > 50


async def test_a_real_answer_is_judged_by_the_quality_of_its_prompt(start: Start) -> None:
    port = (
        await start(FAST % ("", "") + "\nrules: [{name: bad, contains: bad, behaviour: {quality: 0.2}}]")
    ).port
    found = {}
    for system in ("good", "bad"):
        answer = (await ask(port, CHAT, chat(system=system))).json()["choices"][0]["message"]["content"]
        judged = chat(f"Judge this answer: {answer}", system="You judge.", response_format=SCORE)
        found[system] = json.loads((await ask(port, CHAT, judged)).json()["choices"][0]["message"]["content"])
    assert found["good"]["score"] > found["bad"]["score"] + 0.2
    assert "quality" in found["good"]["reason"]


async def test_the_marker_makes_a_judge_without_a_schema(start: Start) -> None:
    simulator = await start(FAST % ("", ""))
    answer = await ask(simulator.port, CHAT, chat("[quality 0.50]", system="prompt-canary-judge: rate it"))
    assert set(json.loads(answer.json()["choices"][0]["message"]["content"])) == {"reason", "score"}
    assert simulator.provider.journal.rules == {"judge": 1}


@pytest.mark.parametrize(
    ("schema", "score", "expected"),
    [
        ({"type": "number"}, 0.25, 0.25),
        ({"type": "number", "minimum": 0, "maximum": 10}, 0.25, 2.5),
        ({"type": "integer"}, 0.0, 1),
        ({"type": "integer"}, 1.0, 5),
        ({"type": "integer", "minimum": 0, "maximum": 10}, 0.72, 7),
        ({"enum": [1, 2, 3, 4, 5]}, 1.0, 5),
        ({"enum": ["bad", "good"]}, 0.49, "bad"),
    ],
)
def test_scores_come_on_the_schema_s_scale(schema: dict[str, Any], score: float, expected: Any) -> None:
    assert on_scale(schema, score) == expected


async def test_a_judge_breaks_its_json_and_times_out_at_the_scenario_s_rates(start: Start) -> None:
    port = (await start(FAST % (", broken_json_rate: 0.5", ""))).port
    client = await Client.connect(port)
    broken = 0
    for i in range(200):
        text = (await client.ask(CHAT, chat(f"{i}", response_format=SCORE))).json()["choices"][0]["message"][
            "content"
        ]
        try:
            json.loads(text)
        except ValueError:
            broken += 1
    await client.close()
    assert 70 <= broken <= 130
    silent = await start(FAST % ("", ", timeout_rate: 1"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await ask(silent.port, CHAT, chat(response_format=SCORE))
