"""One question to APIs that take this and refuse that: the first way that is taken is remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from gateway.control.judging.model import JudgeModel, Reply
from gateway.evals.question import ask
from gateway.evals.rubric import Criterion, Rubric
from gateway.settings import JudgeSettings
from gateway.simulator import load_scenario, start_simulator

FIVE = Criterion("resolves", "Does it help?", ("1", "2", "3", "4", "5"))
RUBRIC = Rubric("helpful", (FIVE,))
Takes = Callable[[dict[str, Any]], bool]


class Api:
    """Answers 400 to what it does not take; its judgment is 4, with 4 and 5 equally probable."""

    def __init__(self, takes: Takes) -> None:
        self.takes = takes
        self.asked: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        if not self.takes(body):
            return web.json_response({"error": {"message": "no"}}, status=400)
        text = '{"reason": "fine", "score": 4}'
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if "tools" in body:
            call = {"type": "function", "function": {"name": "judgment", "arguments": text}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        if body.get("logprobs"):
            top = [{"token": each, "logprob": -0.693147} for each in ("4", "5")]
            tokens = [{"token": text[:-2]}, {"token": "4", "top_logprobs": top}, {"token": "}"}]
            choice["logprobs"] = {"content": tokens}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 9}})


@asynccontextmanager
async def asking(takes: Takes, **settings: Any) -> AsyncIterator[tuple[Api, Callable[[], Any]]]:
    api = Api(takes)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", api.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    given = {"base_url": f"http://127.0.0.1:{port}/v1", "model": "m", **settings}
    model = JudgeModel(JudgeSettings.model_validate(given))

    async def once() -> Reply:
        return await model.ask("m", ask(RUBRIC, FIVE, "user: Hi", "Hello.", "n0nce"), FIVE)

    try:
        yield api, once
    finally:
        await model.close()
        await runner.cleanup()


def has(*fields: str) -> Takes:
    return lambda body: not ({"response_format", "tools", "logprobs"} - set(fields)) & set(body)


@pytest.mark.parametrize(
    ("takes", "calls", "score", "weighted"),
    [
        (has("response_format", "tools", "logprobs"), 1, 0.875, True),
        (has("response_format", "tools"), 2, 0.75, False),
        (has("tools"), 3, 0.75, False),
        (has("logprobs"), 4, 0.875, True),
        (has(), 5, 0.75, False),
    ],
)
async def test_structured_output_then_a_tool_call_then_words_and_probabilities_where_offered(
    takes: Takes, calls: int, score: float, weighted: bool
) -> None:
    async with asking(takes) as (api, once):
        first = await once()
        assert len(api.asked) == calls
        assert (first.score, first.cause, first.weighted) == (pytest.approx(score, abs=1e-6), "", weighted)
        assert (await once()).score == first.score
        assert len(api.asked) == calls + 1  # remembered
        for body in api.asked[:1]:
            assert (body["logprobs"], body["top_logprobs"]) == (True, 5)
            properties = body["response_format"]["json_schema"]["schema"]["properties"]
            assert list(properties) == ["reason", "score"]


async def test_an_api_that_refuses_everything_gives_no_score() -> None:
    async with asking(lambda body: False) as (api, once):
        assert await once() == Reply(None, "refused")
        assert len(api.asked) == 5


async def test_probabilities_are_not_asked_for_where_the_configuration_says_so() -> None:
    async with asking(has("response_format"), logprobs=False) as (api, once):
        assert (await once()).score == 0.75
        assert len(api.asked) == 1


async def test_the_simulated_judge_tells_what_it_perceived() -> None:
    fast = "judge: {noise: 0, behaviour: {first_token_ms: 0, gap_ms: 0}%s}"
    for more, score in (("", 0.7), (", logprobs: false", 0.75)):
        simulator = await start_simulator(load_scenario(fast % more))
        url = f"http://127.0.0.1:{simulator.port}/v1"
        model = JudgeModel(JudgeSettings(base_url=url, model="m"))
        try:
            asked = ask(RUBRIC, FIVE, "user: Hi", "[quality 0.70] words", "n0nce")
            reply = await model.ask("m", asked, FIVE)
        finally:
            await model.close()
            await simulator.close()
        assert reply.score == pytest.approx(score)
        assert reply.weighted is (not more)
