"""Messages (Anthropic): system as string or blocks, the client's bytes kept, what is read of the answer."""

import json
from typing import Any

import pytest

from gateway.domain.prompt import Content, Message, Model, Part
from gateway.errors import BodyTooLarge, InvalidValue, Overloaded, PromptNotFound, SystemMessageRefused
from gateway.wire.api import Recipe
from gateway.wire.messages import (
    encode_messages,
    error_body,
    inject,
    inspect,
    read_answer,
    recipe,
    session_sources,
    sse_error,
)
from gateway.wire.session_key import fingerprint
from gateway.wire.splice import split
from gateway.wire.usage import Answer, Usage

OURS = [("system", 'Be "kind".'), ("user", "Hi"), ("assistant", "Hällo"), ("developer", "Always.")]
TEXT = 'Be "kind".\n\nAlways.'
OWN = encode_messages(OURS)
PLAIN = encode_messages(OURS[:1])
EXAMPLES = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hällo"}]
MESSAGES = (Message("system", (Part("system", "Be kind."),)),)
USER = b'{"role":"user","content":"q"}'


def made(**fields: Any) -> Recipe:
    return recipe(Content(messages=MESSAGES, **fields), "support.agent")


def sent(body: bytes, by: Recipe | None = None, own: Any = OWN) -> bytes:
    fields = split(body)
    injected = inject(fields, inspect(fields), by or made(), own, ask_usage=True)
    assert not injected.asked_usage
    return b"".join(injected.pieces)


def after(body: bytes, by: Recipe | None = None, own: Any = OWN) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sent(body, by, own))
    return found


def test_inspect_reads_what_matters() -> None:
    found = inspect(
        split(
            b'{"model":"m","stream":true,"system":"a b","messages":[{"role":"user","content":"x"},'
            b'{"role":"assistant","content":"y"},{"role":"user","content":"z"}]}'
        )
    )
    assert (found.stream, found.model, found.messages, found.has_assistant_turn) == (True, "m", 3, True)
    assert (found.system_role, found.first_system, found.first_user) == ("system", b'"a b"', b'"x"')


def test_a_prefilled_answer_is_no_turn() -> None:
    body = b'{"messages":[' + USER + b',{"role":"assistant","content":"{"}]}'
    assert not inspect(split(body)).has_assistant_turn


def test_cache_control_does_not_change_the_fingerprint() -> None:
    def block(text: str, *, cached: bool) -> dict[str, Any]:
        return {"type": "text", "text": text} | ({"cache_control": {"type": "ephemeral"}} if cached else {})

    image = {"type": "image", "source": {"type": "base64", "data": "AA=="}}
    turns = [
        {"system": [block("s", cached=i == 0)], "messages": [{"role": "user", "content": content}]}
        for i, content in enumerate(
            ([block("Hi", cached=True), image], [image | {"cache_control": None}, block("Ho", cached=False)])
        )
    ]
    again = {
        "system": [block("s", cached=True)],
        "messages": [{"role": "user", "content": [block("Hi", cached=False), image]}],
    }
    prints = []
    for body in (*turns, again):
        fields = split(json.dumps(body).encode())
        prints.append(fingerprint(fields, inspect(fields)))
    assert prints[0] == prints[2] != prints[1]
    as_text = split(b'{"system":"s","messages":[{"role":"user","content":"Hi"}]}')
    as_block = split(
        b'{"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}'
    )
    assert fingerprint(as_text, inspect(as_text)) == fingerprint(as_block, inspect(as_block))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"messages":"x"}', "messages"),
        (b'{"messages":[1]}', "messages"),
        (b'{"system":3}', "system"),
        (b'{"stream":1}', "stream"),
    ],
)
def test_wrong_types_are_refused(body: bytes, param: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        sent(body)
    assert caught.value.param == param


@pytest.mark.parametrize("given", [b"", b'"system":null,', b'"system":"",'])
def test_system_where_the_client_has_none(given: bytes) -> None:
    assert after(b'{%b"messages":[%b]}' % (given, USER)) == {
        "system": TEXT,
        "messages": [*EXAMPLES, json.loads(USER)],
    }


def test_a_system_string_keeps_its_bytes_behind_ours() -> None:
    body = b'{ "system" : "caf\\u00e9 / \xc3\xa4" , "messages":[ %b ]}' % USER
    assert sent(body, own=PLAIN) == body.replace(b'"caf', b'"' + PLAIN.system + rb"\n\ncaf")


def test_system_blocks_keep_their_bytes_behind_ours() -> None:
    blocks = b'[ {"type":"text","text":"mine","cache_control":{"type": "ephemeral"}} ]'
    ours = b'{"type":"text","text":"%b"}' % PLAIN.system
    body = b'{"system":%b,"messages":[]}' % blocks
    assert sent(body, own=PLAIN) == b'{"system":[%b,%b,"messages":[]}' % (ours, blocks[1:])
    assert sent(b'{"system":[ ]}', own=PLAIN) == b'{"system":[%b ]}' % ours


@pytest.mark.parametrize("body", [b"{}", b'{"messages":[]}', b'{"messages":[ ]}'])
def test_no_messages_of_the_client(body: bytes) -> None:
    assert after(body)["messages"] == EXAMPLES


def test_the_clients_own_system_is_kept_replaced_or_refused() -> None:
    middle = b'{"role":"system","content":"note"}'
    body = b'{"system":[{"type":"text","text":"mine"}],"messages":[%b,%b]}' % (USER, middle)
    assert [block["text"] for block in after(body)["system"]] == [TEXT, "mine"]
    replaced = after(body, made(client_system="replace"))
    assert replaced == {"system": TEXT, "messages": [*EXAMPLES, json.loads(USER)]}
    bare = encode_messages([("user", "Hi")])
    assert "system" not in after(body, made(client_system="replace"), bare)
    assert [block["text"] for block in after(body, own=bare)["system"]] == ["mine"]
    for given in (body, b'{"messages":[%b]}' % middle):
        with pytest.raises(SystemMessageRefused):
            sent(given, made(client_system="refuse"))


def test_model_prompt_and_options() -> None:
    by = made(
        model=Model(
            "claude",
            {"max_tokens": 5, "stop": ["a"], "temperature": 0.5, "reasoning_effort": "low"},
            locked=("stop",),
        ),
        outputs={"type": "object"},
    )
    body = (
        b'{"prompt":{"id":"a"},"model":"m","max_tokens":9,"stop_sequences":["b"],"output_config":{"x":1.50}}'
    )
    found = after(body, by, PLAIN)
    assert "prompt" not in found
    assert (found["model"], found["max_tokens"], found["stop_sequences"]) == ("claude", 9, ["a"])
    form = {"type": "json_schema", "schema": {"type": "object"}}
    assert found["output_config"] == {"x": 1.5, "effort": "low", "format": form}
    assert b'"x":1.50' in sent(body, by, PLAIN)
    chat = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "string"}}}
    translated = after(b"{}", made(model=Model(None, {"response_format": chat})), PLAIN)
    assert translated["output_config"]["format"]["schema"] == {"type": "string"}
    with pytest.raises(InvalidValue):
        made(model=Model(None, {"system": "x"}))


def test_session_sources_in_this_apis_words() -> None:
    given = ["header", "conversation", "previous_response_id", "metadata.session_id", "user", "fingerprint"]
    assert session_sources(given) == ("header", "metadata.session_id", "metadata.user_id", "fingerprint")


def test_an_answer_is_read() -> None:
    body = {
        "id": "msg_1",
        "type": "message",
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 5},
    }
    assert read_answer(json.dumps(body).encode()) == Answer(Usage(8, 4, cached=5), "tool_calls")
    error = {"type": "overloaded_error", "message": "m"}
    assert read_answer(json.dumps({"type": "error", "error": error}).encode()) == Answer(error=error)
    assert read_answer(b"<html>") is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidValue("m", param="p"), "invalid_request_error"),
        (PromptNotFound("m"), "not_found_error"),
        (BodyTooLarge("m"), "request_too_large"),
        (Overloaded("m"), "overloaded_error"),
    ],
)
def test_errors_of_ours_in_anthropics_shape(error: Any, kind: str) -> None:
    said = json.loads(error_body(error))
    assert said["type"] == "error"
    assert (said["error"]["type"], said["error"]["message"], said["error"]["code"]) == (kind, "m", error.code)
    assert sse_error(error) == b"event: error\ndata: " + error_body(error) + b"\n\n"
