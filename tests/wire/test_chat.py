"""Chat: our messages first, the client's bytes kept, options and roles as the version says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.prompt import Content, Message, Model, Part
from gateway.errors import DuplicateKey, InvalidValue, SystemMessageRefused
from gateway.wire.api import Injected, Recipe
from gateway.wire.chat import encode_messages, inject, inspect, recipe
from gateway.wire.splice import split

OURS = [("system", "Be kind."), ("user", "Hi"), ("assistant", "Hällo")]
OWN = encode_messages(OURS)
MESSAGES = (Message("system", (Part("system", "Be kind."),)),)


def made(**fields: Any) -> Recipe:
    return recipe(Content(messages=fields.pop("messages", MESSAGES), **fields), "support.agent")


def injected(body: bytes, by: Recipe | None = None, *, ask_usage: bool = False) -> Injected:
    fields = split(body)
    return inject(fields, inspect(fields), by or made(), OWN, ask_usage=ask_usage)


def sent(body: bytes, by: Recipe | None = None, *, ask_usage: bool = False) -> bytes:
    return b"".join(injected(body, by, ask_usage=ask_usage).pieces)


def roles(body: bytes, by: Recipe | None = None) -> list[str]:
    return [message["role"] for message in json.loads(sent(body, by))["messages"]]


def test_inspect_reads_what_matters() -> None:
    found = inspect(
        split(
            b'{"model":"m","stream":true,"messages":[{"role":"developer","content":"a b"},'
            b'{"role":"user","content":[ 1]},{"role":"assistant","tool_calls":[]},'
            b'{"role":"user","content":"x"}]}'
        )
    )
    assert (found.stream, found.model, found.messages, found.has_assistant_turn) == (True, "m", 4, True)
    assert (found.system_role, found.first_system, found.first_user) == ("developer", b'"a b"', b"[ 1]")


def test_the_word_assistant_is_no_assistant_turn() -> None:
    body = b'{"messages":[{"role":"user","name":"assistant","content":"{\\"role\\":\\"assistant\\"}"}]}'
    assert not inspect(split(body)).has_assistant_turn
    escaped = b'{"messages":[{"\\u0072ole":"\\u0061ssistant"}]}'
    assert inspect(split(escaped)).has_assistant_turn


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        (b'{"messages":"x"}', "messages", "array"),
        (b'{"messages":null}', "messages", "array"),
        (b'{"messages":{"role":"user"}}', "messages", "array"),
        (b'{"messages":[{"role":"user"},3]}', "messages", "messages[1]"),
        (b'{"messages":[{"role":7}]}', "messages", "messages[0].role"),
        (b'{"stream":"yes"}', "stream", '"yes"'),
        (b'{"stream":1}', "stream", "1"),
        (b'{"model":["m"]}', "model", '["m"]'),
    ],
)
def test_wrong_types_are_refused(body: bytes, param: str, says: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        inspect(split(body))
    assert caught.value.param == param
    assert says in caught.value.message


@pytest.mark.parametrize("key", ["messages", "model", "stream", "prompt", "temperature", "stream_options"])
def test_duplicates_of_what_we_touch_are_refused(key: str) -> None:
    body = b'{"a":1,"%b":null,"\\u00%02x%b":null}' % (key.encode(), ord(key[0]), key[1:].encode())
    with pytest.raises(DuplicateKey) as caught:
        injected(
            b'{"stream":true,' + body[1:] if key != "stream" else body,
            made(model=Model(None, {"temperature": 1})),
            ask_usage=True,
        )
    assert caught.value.param == key


def test_ours_go_first_and_the_rest_is_verbatim() -> None:
    body = b'{ "x" : 1.50, "messages":[ {"content":"\\u00e4","role":"user"} ,\n{"a":[1, 2]}], "y":{"b" :1}}'
    assert sent(body) == body.replace(b"[ {", b"[" + OWN.system + b", {")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", b'{"messages":[%b]}'),
        (b'{"messages":[]}', b'{"messages":[%b]}'),
        (b'{"messages":[ ] }', b'{"messages":[%b] }'),
        (b'{"prompt":{"id":"a"},"messages":[]}', b'{"messages":[%b]}'),
        (b'{"messages":[],"prompt":null}', b'{"messages":[%b]}'),
    ],
)
def test_no_messages_of_the_client(body: bytes, expected: bytes) -> None:
    assert sent(body) == expected % OWN.system


def test_a_large_array_is_not_copied() -> None:
    body = b'{"messages":[{"role":"user","content":"' + b"x" * 2_000_000 + b'"}],"model":"a"}'
    pieces = injected(body, made(model=Model("b"))).pieces
    assert max((len(p) for p in pieces if isinstance(p, bytes)), default=0) < 1000
    assert b"".join(pieces) == body.replace(b"[", b"[" + OWN.system + b",").replace(b'"a"', b'"b"')


SYSTEM = b'{"role":"system","content":"mine"}'
USER = b'{"role":"user","content":"q"}'


def test_a_client_system_message_is_kept_replaced_or_refused() -> None:
    body = b'{"messages":[' + SYSTEM + b" , " + USER + b"," + SYSTEM + b"]}"
    assert sent(body) == b'{"messages":[' + OWN.system + b"," + body[13:]
    assert sent(body, made(client_system="replace")) == b'{"messages":[' + OWN.system + b"," + USER + b"]}"
    with pytest.raises(SystemMessageRefused):
        sent(body, made(client_system="refuse"))
    only = b'{"messages":[' + SYSTEM + b"]}"
    assert sent(only, made(client_system="replace")) == b'{"messages":[' + OWN.system + b"]}"
    no_system = b'{"messages":[' + USER + b"]}"
    assert (
        sent(no_system, made(client_system="refuse")) == b'{"messages":[' + OWN.system + b"," + USER + b"]}"
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["system", "developer", "user", "tool"]), st.sampled_from(["", " ", "\n "])
        ),
        max_size=7,
    )
)
def test_replacing_takes_out_exactly_the_system_messages(turns: list[tuple[str, str]]) -> None:
    items = [f'{gap}{{"role":"{role}","content":"{i}"}}{gap}' for i, (role, gap) in enumerate(turns)]
    body = f'{{"messages":[{",".join(items)}]}}'.encode()
    found = json.loads(sent(body, made(client_system="replace")))["messages"]
    kept = [m for m in json.loads(body)["messages"] if m["role"] not in ("system", "developer")]
    assert found[len(OURS) :] == kept


@pytest.mark.parametrize(
    ("client", "model", "version_model", "expected"),
    [
        ("system", "gpt-5", None, "system"),
        ("developer", "gpt-4o", None, "developer"),
        ("developer", "gpt-4o", "gpt-4o", "developer"),
        ("user", "gpt-4o", None, "system"),
        ("user", "o3-mini", None, "developer"),
        ("user", "openai/gpt-5-mini", None, "developer"),
        ("user", "gpt-4o", "o1", "developer"),
        ("user", "o1", "gpt-4o", "system"),
        ("user", "llama-o3x", None, "system"),
    ],
)
def test_the_role_kind_is_the_clients_or_the_models(
    client: str, model: str, version_model: str | None, expected: str
) -> None:
    body = json.dumps({"model": model, "messages": [{"role": client, "content": "x"}]}).encode()
    found = roles(body, made(model=Model(version_model)))
    assert found[0] == expected
    assert len({"system", "developer"} & set(found)) == 1


def test_the_authors_kind_counts_where_nobody_else_cares() -> None:
    by = made(messages=(Message("developer", (Part("system", "x"),)),))
    assert roles(b'{"model":"mistral","messages":[' + USER + b"]}", by)[0] == "developer"


def test_model_and_options() -> None:
    by = made(model=Model("gpt-4o", {"temperature": 0.2, "top_p": 1, "seed": 7}, locked=("seed",)))
    body = b'{"model":"mine","temperature":1.0,"messages":[],"seed":1}'
    expected = b'{"model":"gpt-4o","temperature":1.0,"messages":[%b],"seed":7,"top_p":1}'
    assert sent(body, by) == expected % OWN.system
    assert json.loads(sent(b'{"model":"mine"}'))["model"] == "mine"


@pytest.mark.parametrize("locked", [(), ("max_tokens",)])
def test_the_two_names_of_the_token_limit_are_one_option(locked: tuple[str, ...]) -> None:
    by = made(model=Model(None, {"max_tokens": 10}, locked=locked))
    found = json.loads(sent(b'{"max_completion_tokens":99}', by))
    limits = {key: value for key, value in found.items() if key.startswith("max")}
    assert limits == ({"max_tokens": 10} if locked else {"max_completion_tokens": 99})


def test_an_option_cannot_take_what_is_the_gateways() -> None:
    with pytest.raises(InvalidValue, match="stream"):
        made(model=Model(None, {"stream": True}))


def test_the_schema_becomes_the_response_format() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    expected = {"type": "json_schema", "json_schema": {"name": "support_agent", "schema": schema}}
    by = made(outputs=schema)
    assert json.loads(sent(b"{}", by))["response_format"] == expected
    theirs = b'{"response_format":{"type":"text"}}'
    assert json.loads(sent(theirs, by))["response_format"] == {"type": "text"}
    locked = made(outputs=schema, model=Model(None, {}, locked=("response_format",)))
    assert json.loads(sent(theirs, locked))["response_format"] == expected


@pytest.mark.parametrize(
    ("body", "options", "asked"),
    [
        (b'{"stream":true}', b'{"include_usage":true}', True),
        (b'{"stream":true,"stream_options":null}', b'{"include_usage":true}', True),
        (b'{"stream":true,"stream_options":{}}', b'{"include_usage":true}', True),
        (b'{"stream":true,"stream_options":{ "x":1 }}', b'{ "x":1,"include_usage":true }', True),
        (b'{"stream":true,"stream_options":{"include_usage":false}}', b'{"include_usage":true}', True),
        (b'{"stream":true,"stream_options":{"include_usage" : true}}', b'{"include_usage" : true}', False),
        (b'{"stream":true,"stream_options":[]}', b"[]", False),
        (b'{"stream":false}', None, False),
        (b"{}", None, False),
    ],
)
def test_usage_is_asked_for(body: bytes, options: bytes | None, asked: bool) -> None:
    found = injected(body, ask_usage=True)
    given_options = split(b"".join(found.pieces)).get("stream_options")
    assert (None if given_options is None else bytes(given_options)) == options
    assert found.asked_usage is asked
    assert not injected(body).asked_usage


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.text(max_size=5).filter(lambda k: k not in ("messages", "model", "stream", "prompt")), JSON
    ),
    st.lists(
        st.dictionaries(st.text(max_size=5).filter(lambda k: k != "role"), JSON), min_size=1, max_size=4
    ),
    st.booleans(),
)
def test_any_request_arrives_as_sent_but_for_what_is_ours(
    extra: dict[str, Any], messages: list[Any], ascii_only: bool
) -> None:
    body = json.dumps({**extra, "messages": messages, "model": "m"}, ensure_ascii=ascii_only).encode()
    at = split(body).spans["messages"][1] + 1
    assert sent(body) == body[:at] + OWN.system + b"," + body[at:]
