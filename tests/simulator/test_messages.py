"""/v1/messages of the simulated provider, by hand and by Anthropic's client."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from pydantic import BaseModel

from gateway.simulator import Simulator
from tests.simulator.conftest import Start
from tests.simulator.wire import ask

PATH = "/v1/messages"
MESSAGES = [{"role": "user", "content": "Where is my order?"}]
TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "sim-small", "max_tokens": 1000, "messages": MESSAGES, **fields}


@pytest.fixture
async def simulator(start: Start) -> Simulator:
    return await start()


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    url = f"http://127.0.0.1:{simulator.port}"
    async with anthropic.AsyncAnthropic(base_url=url, api_key="sk-sim", max_retries=0) as made:
        yield made


async def test_the_same_request_gives_the_same_answer(simulator: Simulator) -> None:
    first, again, other = [
        (await ask(simulator.port, PATH, body(system=text))).json() for text in ("a", "a", "b")
    ]
    assert first == again != other


async def test_rules_go_by_the_system_text_as_string_or_blocks(start: Start) -> None:
    simulator = await start(
        "rules: [{name: kind, contains: Be kind, behaviour: {opening: Dear friend}}]\n"
        "default: {first_token_ms: 0, gap_ms: 0}"
    )
    for system in ("Be kind.", [{"type": "text", "text": "Be kind."}]):
        answer = (await ask(simulator.port, PATH, body(system=system))).json()
        assert answer["content"][0]["text"].startswith("Dear friend")


async def test_whole_and_streamed_by_the_client(client: anthropic.AsyncAnthropic) -> None:
    whole = await client.messages.create(**body())
    async with client.messages.stream(**body()) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert (final.stop_reason, final.usage) == (whole.stop_reason, whole.usage)
    counted = await client.messages.count_tokens(model="m", messages=MESSAGES)
    assert counted.input_tokens == whole.usage.input_tokens


async def test_tools_structured_outputs_and_limits(client: anthropic.AsyncAnthropic) -> None:
    class Order(BaseModel):
        number: int

    called = await client.messages.create(**body(tools=[TOOL]))
    call = called.content[0]
    assert (called.stop_reason, call.name, call.input) == ("tool_use", "look", {"a": "simulated"})
    async with client.messages.stream(**body(tools=[TOOL])) as stream:
        assert (await stream.get_final_message()).content[0].input == {"a": "simulated"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "3"}
    turns = [
        *MESSAGES,
        {"role": "assistant", "content": [call.model_dump(exclude_none=True)]},
        {"role": "user", "content": [result]},
    ]
    done = await client.messages.create(**body(tools=[TOOL], messages=turns))
    assert done.content[0].type == "text"
    parsed = await client.messages.parse(**body(output_format=Order))
    assert isinstance(parsed.parsed_output, Order)
    cut = await client.messages.create(**body(max_tokens=3))
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 3)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"messages": []}, "at least one"), ({"max_tokens": None}, "max_tokens"), ({"messages": 3}, "array")],
)
async def test_what_is_wrong_is_said_in_anthropics_shape(
    simulator: Simulator, wrong: dict[str, Any], says: str
) -> None:
    answer = await ask(simulator.port, PATH, body(**wrong))
    said = answer.json()
    assert (answer.status, said["type"], said["error"]["type"]) == (400, "error", "invalid_request_error")
    assert says in said["error"]["message"]


async def test_keys_of_both_kinds_are_taken(start: Start) -> None:
    simulator = await start("{default: {first_token_ms: 0, gap_ms: 0}, api_keys: [good]}")
    for headers, status in (({"x_api_key": "good"}, 200), ({"x_api_key": "bad"}, 401), ({}, 401)):
        assert (await ask(simulator.port, PATH, body(), **headers)).status == status
    assert (await ask(simulator.port, PATH, body(), authorization="Bearer good")).status == 200
