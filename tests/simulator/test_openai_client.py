"""The official client, as users have it."""

from collections.abc import AsyncIterator

import openai
import pytest
from pydantic import BaseModel

from gateway.simulator import Simulator
from tests.simulator.conftest import Start
from tests.simulator.wire import until

MESSAGES = [{"role": "user", "content": "Where is my order?"}]


@pytest.fixture
async def simulator(start: Start) -> Simulator:
    return await start()


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"http://127.0.0.1:{simulator.port}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="sk-sim", max_retries=0) as made:
        yield made


async def test_chat_whole_and_streamed(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="sim-small", messages=MESSAGES)
    assert whole._request_id == "sim-1"
    stream = await client.chat.completions.create(
        model="sim-small", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


async def test_structured_outputs_are_parsed(client: openai.AsyncOpenAI) -> None:
    class Order(BaseModel):
        number: int
        city: str
        tags: list[str]

    parsed = await client.chat.completions.parse(model="m", messages=MESSAGES, response_format=Order)
    assert isinstance(parsed.choices[0].message.parsed, Order)


async def test_tools_embeddings_moderations_models(client: openai.AsyncOpenAI) -> None:
    tool = {
        "type": "function",
        "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
    }
    called = await client.chat.completions.create(model="m", messages=MESSAGES, tools=[tool])
    assert called.choices[0].message.tool_calls[0].function.name == "look"
    vectors = await client.embeddings.create(model="e", input=["a", "b"])
    floats = await client.embeddings.create(model="e", input=["a", "b"], encoding_format="float")
    assert vectors.data[1].embedding == pytest.approx(floats.data[1].embedding)
    assert not (await client.moderations.create(input="a")).results[0].flagged
    assert "sim-small" in {model.id async for model in client.models.list()}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status_429", openai.RateLimitError),
        ("status_500", openai.InternalServerError),
        ("status_401", openai.AuthenticationError),
        ("reset_before_head", openai.APIConnectionError),
        ("reset_mid_stream", openai.APIConnectionError),
        ("error_event", openai.APIError),
    ],
)
async def test_faults_reach_the_client_as_its_own_errors(
    client: openai.AsyncOpenAI, fault: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        stream = await client.chat.completions.create(
            model="m", messages=MESSAGES, stream=True, extra_headers={"x-sim-fault": fault}
        )
        async for _ in stream:
            pass


@pytest.mark.parametrize(
    "fault",
    [
        "crlf_events",
        "cr_events",
        "pings",
        "split_utf8",
        "gzip",
        "http10",
        "trailers",
        "bom",
        "chunk_extension",
    ],
)
async def test_what_is_odd_but_allowed_is_understood(client: openai.AsyncOpenAI, fault: str) -> None:
    texts = []
    for headers in ({}, {"x-sim-fault": fault}):
        stream = await client.chat.completions.create(
            model="m", messages=MESSAGES, stream=True, extra_headers=headers
        )
        texts.append("".join([chunk.choices[0].delta.content or "" async for chunk in stream]))
    assert texts[0].strip() == texts[1].strip()


async def test_a_retry_is_another_draw(start: Start) -> None:
    simulator = await start("default: {first_token_ms: 0, gap_ms: 0, error_rate: 0.5}")
    url = f"http://127.0.0.1:{simulator.port}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="sk-sim", max_retries=9) as client:
        client._calculate_retry_timeout = lambda *args, **kwargs: 0.0
        for i in range(8):
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": f"{i}"}])
    assert simulator.stats["requests"] > 8


async def test_closing_a_stream_early_cancels(client: openai.AsyncOpenAI, simulator: Simulator) -> None:
    headers = {"x-sim-tokens": "1000", "x-sim-gap-ms": "5"}
    stream = await client.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, extra_headers=headers
    )
    await anext(aiter(stream))
    await stream.close()
    await until(lambda: simulator.stats["cancelled"] == 1)
