"""The main job with the official client: only base_url changes, and the prompt is there."""

import base64
import json

import httpx2 as httpx
import openai
import pytest

from tests.support.gateway import Gateway

MESSAGES = [{"role": "user", "content": "Grüße, naïve ☃ and \u2028 too"}]


@pytest.fixture
def client(gateway: Gateway) -> openai.OpenAI:
    with openai.OpenAI(base_url=gateway.base_url, api_key="sk-test", max_retries=0) as made:
        yield made


def test_an_answer_names_its_prompt_version(client: openai.OpenAI, gateway: Gateway) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES)
    assert raw.headers["x-prompt-name"] == "greeter"
    assert raw.headers["x-prompt-version"] == "1"
    assert raw.headers["x-prompt-arm"] == "stable"
    assert raw.headers["x-request-id"].startswith("pc1.")
    assert raw.headers["x-upstream-request-id"]
    completion = raw.parse()
    assert completion.choices[0].message.content
    assert completion.usage.total_tokens > 0
    assert completion._request_id == raw.headers["x-request-id"]


def test_a_stream_ends_whole_and_hides_the_usage_that_only_we_asked_for(client: openai.OpenAI) -> None:
    with client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=MESSAGES, stream=True
    ).parse() as stream:
        assert stream.response.headers["x-prompt-version"] == "1"
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_keeps_the_usage_that_the_client_asked_for(client: openai.OpenAI) -> None:
    options = {"include_usage": True}
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES, stream=True, stream_options=options
    )
    last = list(stream)[-1]
    assert last.choices == []
    assert last.usage.total_tokens > 0


def test_the_upstream_gets_the_rendered_version_and_then_the_clients_own_bytes(gateway: Gateway) -> None:
    own = '{"role":"user", "content":"Gr\\u00fc\\u00dfe 1.0e+2 \\ud83d\\ude00"}'
    sent = f'{{ "model":"x","messages":[ {own} ] , "top_p": 1.0, "seed":  12345678901234567890}}'
    answer = httpx.post(
        f"{gateway.base_url}/chat/completions",
        content=sent,
        headers={"content-type": "application/json", "x-prompt-variables": '{"tone":"cool"}'},
    )
    assert answer.status_code == 200, answer.text
    seen = base64.b64decode(gateway.seen()[-1]["body"]).decode()
    ours = '{"role":"system","content":"You are the first greeter. Be cool."}'
    assert f"[{ours}, {own} ]".replace(" ", "") == seen[seen.index("[") : seen.index("]") + 1].replace(
        " ", ""
    )
    assert own in seen
    assert '"top_p": 1.0, "seed":  12345678901234567890' in seen
    assert json.loads(seen)["model"] == "gpt-4o-mini"
    assert "x-prompt-variables" not in {name.lower() for name, _ in gateway.seen()[-1]["headers"]}


def test_the_path_alone_binds_an_application(gateway: Gateway) -> None:
    base_url = f"http://127.0.0.1:{gateway.port}/p/greeter/v1"
    with openai.OpenAI(base_url=base_url, api_key="sk-test", max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(model="x", messages=MESSAGES)
    assert raw.headers["x-prompt-name"] == "greeter"


def test_every_other_route_passes_through(client: openai.OpenAI) -> None:
    assert client.models.list().data
    vector = client.embeddings.create(model="text-embedding-3-small", input="hello").data[0].embedding
    assert len(vector) > 8
    uploaded = client.post("/files", cast_to=httpx.Response, body={"any": "thing"})
    assert uploaded.status_code == 200
    assert "x-prompt-name" not in uploaded.headers


def test_the_fingerprint_keeps_a_conversation_together(gateway: Gateway, client: openai.OpenAI) -> None:
    messages = list(MESSAGES)
    ids = []
    for _ in range(3):
        raw = client.chat.completions.with_raw_response.create(model="x", messages=messages)
        ids.append(raw.headers["x-request-id"])
        messages += [
            {"role": "assistant", "content": raw.parse().choices[0].message.content},
            {"role": "user", "content": "go on"},
        ]
    assert len(set(ids)) == 3
