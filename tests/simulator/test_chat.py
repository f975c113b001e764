import asyncio
import json
from statistics import fmean
from typing import Any

import jsonschema
import pytest

from tests.simulator.conftest import Start
from tests.simulator.wire import CHAT, Client, ask, chat

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_order",
            "parameters": {"type": "object", "properties": {"number": {"type": "integer", "minimum": 5}}},
        },
    }
]


def schema_of(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


async def test_a_whole_answer_and_its_stream_say_the_same(start: Start) -> None:
    port = (await start()).port
    whole = (await ask(port, CHAT, chat())).json()
    streamed = (await ask(port, CHAT, chat(stream=True, stream_options={"include_usage": True}))).events()
    assert streamed[-1] == "[DONE]"
    assert streamed[-2]["choices"] == []
    chunks = streamed[:-2]
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert {chunk["id"] for chunk in streamed[:-1]} == {whole["id"]}
    usage = streamed[-2]["usage"]
    assert usage["completion_tokens"] == whole["usage"]["completion_tokens"] == len(chunks) - 2
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}])
async def test_usage_is_streamed_only_when_asked_for(start: Start, options: Any) -> None:
    events = (await ask((await start()).port, CHAT, chat(stream=True, stream_options=options))).events()
    assert not any("usage" in event for event in events[:-1])


async def test_the_same_seed_and_request_give_the_same_bytes_anywhere(start: Start) -> None:
    first, second, other = await start(), await start(), await start("seed: 2")
    bodies = [(await ask(each.port, CHAT, chat())).body for each in (first, first, second)]
    assert len(set(bodies)) == 1
    assert (
        await ask(other.port, CHAT, chat(), x_sim_first_token_ms="0", x_sim_gap_ms="0")
    ).body not in bodies


async def test_retries_and_the_seed_header_draw_anew(start: Start) -> None:
    port = (await start()).port
    headers: list[dict[str, str]] = [{}, {"x_stainless_retry_count": "1"}, {"x_sim_seed": "b"}]
    assert len({(await ask(port, CHAT, chat(), **each)).body for each in headers}) == 3
    same = {(await ask(port, CHAT, chat(), **each)).body for each in ({}, {"x_stainless_retry_count": "0"})}
    assert len(same) == 1


async def test_behaviour_follows_the_system_text(start: Start) -> None:
    simulator = await start("""
default: {first_token_ms: 0, gap_ms: 0, quality_spread: 0, tokens_spread: 0, tokens: 5}
rules:
  - {name: canary, contains: "[v2]", behaviour: {quality: 0.4, tokens: 9, opening: "v2 \\"here\\""}}
""")
    stable = (await ask(simulator.port, CHAT, chat())).json()
    canary = (await ask(simulator.port, CHAT, chat(system="You help. [v2]"))).json()
    assert stable["choices"][0]["message"]["content"].startswith("[quality 0.85] ")
    assert stable["usage"]["completion_tokens"] == 5
    assert canary["choices"][0]["message"]["content"].startswith('v2 "here" [quality 0.40] ')
    assert canary["usage"]["completion_tokens"] == 9
    assert simulator.provider.journal.rules == {"default": 1, "canary": 1}


async def test_developer_messages_and_content_parts_are_system_text_too(start: Start) -> None:
    simulator = await start(
        'rules: [{name: seen, contains: "a\\nb", behaviour: {first_token_ms: 0, gap_ms: 0}}]'
    )
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "a"}]},
        {"role": "user", "content": None},
        {"role": "system", "content": "b"},
    ]
    await ask(simulator.port, CHAT, {"model": "m", "messages": messages})
    assert simulator.provider.journal.rules == {"seen": 1}


async def test_rates_are_kept_over_many_requests(start: Start) -> None:
    simulator = await start("""
default: {first_token_ms: 0, gap_ms: 0, error_rate: 0.1, error_status: 529, refusal_rate: 0.2, flag_rate: 0.1,
  quality: 0.6, quality_spread: 0.1, tokens: 6}
""")
    client = await Client.connect(simulator.port)
    answers = [await client.ask(CHAT, chat(f"question {i}")) for i in range(1500)]
    await client.close()
    failed = [answer for answer in answers if answer.status == 529]
    choices = [answer.json()["choices"][0] for answer in answers if answer.status == 200]
    contents = [choice["message"]["content"] for choice in choices]
    marks = [float(text[9:13]) for text in contents if text.startswith("[quality")]
    assert len(failed) / len(answers) == pytest.approx(0.1, abs=0.03)
    assert fmean("can't help" in text or text == "" for text in contents) == pytest.approx(0.2, abs=0.05)
    assert fmean(choice["finish_reason"] == "content_filter" for choice in choices) == pytest.approx(
        0.1, abs=0.03
    )
    assert fmean(marks) == pytest.approx(0.6, abs=0.02)


async def test_times_are_kept(start: Start) -> None:
    port = (
        await start("default: {first_token_ms: 200, gap_ms: 20, jitter: 0, tokens: 5, tokens_spread: 0}")
    ).port
    clock = asyncio.get_running_loop().time
    for stream in (False, True):
        begun = clock()
        await ask(port, CHAT, chat(stream=stream))
        assert clock() - begun >= 0.28
    begun = clock()
    await ask(port, CHAT, chat(stream=True), x_sim_first_token_ms="0", x_sim_gap_ms="1")
    assert clock() - begun < 0.28


async def test_max_tokens_cuts_with_finish_reason_length(start: Start) -> None:
    port = (await start()).port
    for field in ("max_tokens", "max_completion_tokens"):
        answer = (await ask(port, CHAT, chat(**{field: 3}))).json()
        assert (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) == ("length", 3)


@pytest.mark.parametrize("count", [1, 2, 77, 5000])
async def test_a_request_can_fix_its_number_of_tokens(start: Start, count: int) -> None:
    answer = await ask((await start()).port, CHAT, chat(stream=True), x_sim_tokens=str(count))
    assert len(answer.events()) == count + 3  # role, finish, [DONE]


async def test_a_tool_is_called_whole_and_in_deltas_keyed_by_index(start: Start) -> None:
    port = (await start()).port
    choice = (await ask(port, CHAT, chat(tools=TOOLS))).json()["choices"][0]
    call = choice["message"]["tool_calls"][0]
    assert (choice["finish_reason"], call["function"]["name"]) == ("tool_calls", "find_order")
    assert json.loads(call["function"]["arguments"])["number"] >= 5
    events = (await ask(port, CHAT, chat(tools=TOOLS, stream=True))).events()[:-1]
    deltas = [each for event in events for each in event["choices"][0]["delta"].get("tool_calls", [])]
    assert {each["index"] for each in deltas} == {0}
    assert ["id" in each for each in deltas] == [True] + [False] * (len(deltas) - 1)
    assert "".join(each["function"]["arguments"] for each in deltas) == call["function"]["arguments"]


async def test_after_a_tool_has_answered_text_follows(start: Start) -> None:
    port = (await start()).port
    body = chat(tools=TOOLS)
    body["messages"].append({"role": "tool", "tool_call_id": "call_1", "content": "42"})
    assert (await ask(port, CHAT, body)).json()["choices"][0]["finish_reason"] == "stop"
    assert (await ask(port, CHAT, chat(tools=TOOLS, tool_choice="none"))).json()["choices"][0]["message"][
        "content"
    ]


async def test_a_json_schema_is_answered_by_json_that_fits(start: Start) -> None:
    port = (await start()).port
    wanted = schema_of({"city": {"type": "string"}, "size": {"type": "integer", "minimum": 3}})
    for stream in (False, True):
        answer = await ask(port, CHAT, chat(response_format=wanted, stream=stream))
        if stream:
            deltas = [event["choices"][0]["delta"] for event in answer.events()[:-1]]
            text = "".join(delta.get("content", "") for delta in deltas)
        else:
            text = answer.json()["choices"][0]["message"]["content"]
        jsonschema.validate(json.loads(text), wanted["json_schema"]["schema"])
    plain = await ask(port, CHAT, chat(response_format={"type": "json_object"}))
    assert "answer" in json.loads(plain.json()["choices"][0]["message"]["content"])


async def test_a_refused_json_answer_is_a_refusal_not_content(start: Start) -> None:
    port = (await start("default: {first_token_ms: 0, gap_ms: 0, refusal_rate: 1}")).port
    body = chat(response_format=schema_of({"city": {"type": "string"}}))
    message = (await ask(port, CHAT, body)).json()["choices"][0]["message"]
    assert message["content"] is None
    assert "can't help" in message["refusal"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "could not parse"),
        (b"{", "could not parse"),
        (b"[" * 100_000, "could not parse"),
        (b'{"model":"m","messages":"\xff"}', "could not parse"),
        (b'{"messages":[]}', "model"),
        (b'{"model":"m"}', "messages"),
        (b'{"model":"m","messages":[]}', "too short"),
        (b'{"model":"m","messages":"hi"}', "Expected `array`"),
        (b'{"model":1,"messages":[]}', "$.model"),
        (b'{"model":"m","n":2,"messages":[{"role":"user","content":"hi"}]}', "1 choice"),
    ],
)
async def test_bad_requests_get_an_error_of_the_provider_s_shape(
    start: Start, body: bytes, says: str
) -> None:
    answer = await ask((await start()).port, CHAT, body, method="POST")
    assert answer.status == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert says in answer.json()["error"]["message"]


async def test_bad_steering_headers_are_refused(start: Start) -> None:
    port = (await start()).port
    assert (await ask(port, CHAT, chat(), x_sim_tokens="many")).status == 400
    unknown = await ask(port, CHAT, chat(), x_sim_fault="nope")
    assert unknown.status == 400
    assert "reset_mid_stream" in unknown.json()["error"]["message"]


async def test_api_keys_are_checked_where_the_scenario_lists_them(start: Start) -> None:
    port = (await start("{api_keys: [sk-real], default: {first_token_ms: 0, gap_ms: 0}}")).port
    assert (await ask(port, CHAT, chat())).status == 401
    assert (await ask(port, CHAT, chat(), authorization="Bearer sk-wrong")).status == 401
    assert (await ask(port, CHAT, chat(), authorization="Bearer sk-real")).status == 200
