"""/v1/responses of the simulated provider, by hand and by the official client."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from gateway.simulator import Simulator
from tests.simulator.conftest import Start
from tests.simulator.wire import ask

PATH = "/v1/responses"
TOOL = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "sim-small", "input": "Where is my order?", **fields}


@pytest.fixture
async def simulator(start: Start) -> Simulator:
    return await start()


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"http://127.0.0.1:{simulator.port}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="sk-sim", max_retries=0) as made:
        yield made


async def test_the_same_request_gives_the_same_answer(simulator: Simulator) -> None:
    first, again, other = [
        (await ask(simulator.port, PATH, body(input=text))).json() for text in ("a", "a", "b")
    ]
    assert first == again != other
    usage = first["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_rules_go_by_the_instructions(start: Start) -> None:
    simulator = await start(
        "rules: [{name: kind, contains: Be kind, behaviour: {opening: Dear friend}}]\n"
        "default: {first_token_ms: 0, gap_ms: 0}"
    )
    answer = (await ask(simulator.port, PATH, body(instructions="Be kind."))).json()
    assert answer["output"][0]["content"][0]["text"].startswith("Dear friend")


async def test_whole_and_streamed_by_the_client(client: openai.AsyncOpenAI) -> None:
    whole = await client.responses.create(model="sim-small", input="Hi")
    stream = await client.responses.create(model="sim-small", input=[{"role": "user", "content": "Hi"}])
    assert stream.status == "completed"
    events = [each async for each in await client.responses.create(model="m", input="Hi", stream=True)]
    assert [each.sequence_number for each in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == whole.output_text
    assert (
        "".join(each.delta for each in events if each.type == "response.output_text.delta")
        == whole.output_text
    )
    assert events[-1].response.usage == whole.usage


async def test_tools_structured_outputs_and_limits(client: openai.AsyncOpenAI) -> None:
    class Order(BaseModel):
        number: int

    called = await client.responses.create(model="m", input="Hi", tools=[TOOL])
    call = called.output[0]
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "look", {"a": "simulated"})
    done = await client.responses.create(
        model="m",
        tools=[TOOL],
        input=[
            {"role": "user", "content": "Hi"},
            {"type": "function_call", "call_id": call.call_id, "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": call.call_id, "output": "3"},
        ],
    )
    assert done.output[0].type == "message"
    parsed = await client.responses.parse(model="m", input="Hi", text_format=Order)
    assert isinstance(parsed.output_parsed, Order)
    cut = await client.responses.create(model="m", input="Hi", max_output_tokens=16)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    async with client.responses.stream(model="m", input="Hi", tools=[TOOL]) as streamed:
        assert (await streamed.get_final_response()).output[0].name == "look"


@pytest.mark.parametrize("wrong", [{"input": []}, {"input": 3}, {"input": "a", "instructions": 3}])
async def test_what_is_wrong_is_said(simulator: Simulator, wrong: dict[str, Any]) -> None:
    answer = await ask(simulator.port, PATH, body(**wrong))
    assert answer.status == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
