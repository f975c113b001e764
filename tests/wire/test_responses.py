"""Responses: instructions and input, the client's bytes kept, what is read of the answer."""

import json
from typing import Any

import pytest

from gateway.domain.prompt import Content, Message, Model, Part
from gateway.errors import InvalidValue, SystemMessageRefused, UpstreamBroken
from gateway.wire.api import Recipe
from gateway.wire.responses import (
    encode_messages,
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

OURS = [("system", 'Be "kind".'), ("developer", "Always."), ("user", "Hi"), ("assistant", "Hällo")]
TEXT = 'Be "kind".\n\nAlways.'
TEXT_JSON = json.dumps(TEXT)[1:-1].encode()
OWN = encode_messages(OURS)
PLAIN = encode_messages(OURS[:1])
EXAMPLES = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hällo"}]
MESSAGES = (Message("system", (Part("system", "Be kind."),)),)


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
            b'{"model":"m","stream":true,"instructions":"a","input":[{"role":"developer","content":"b"},'
            b'{"role":"user","content":[ 1]},{"type":"function_call"},{"role":"user","content":2}]}'
        )
    )
    assert (found.stream, found.model, found.messages, found.has_assistant_turn) == (True, "m", 4, True)
    assert (found.system_role, found.first_system, found.first_user) == ("developer", b'"a"', b"[ 1]")


@pytest.mark.parametrize(
    ("body", "running"),
    [
        (b'{"input":"x"}', False),
        (b'{"input":[{"role":"user","content":"assistant"}]}', False),
        (b'{"input":"x","conversation":"c"}', False),
        (b'{"input":"x","previous_response_id":null}', False),
        (b'{"input":"x","previous_response_id":"r"}', True),
        (b'{"input":[{"role":"assistant","content":"x"}]}', True),
        (b'{"input":[{"type":"reasoning","summary":[]}]}', True),
        (b'{"input":[{"type":"item_reference","id":"x"}]}', True),
        (b'{"input":[{"type":"function_call_output","output":"x"}]}', False),
    ],
)
def test_what_is_a_running_conversation(body: bytes, running: bool) -> None:
    assert inspect(split(body)).has_assistant_turn is running


def test_the_first_turn_and_the_next_have_one_fingerprint() -> None:
    first = split(b'{"instructions":"s","input":"Hi","tools":[{"type":"function","name":"f"}]}')
    second = split(
        b'{"tools":[{"name":"f","type":"function"}],"instructions":"s","input":[{"content":"Hi","role":"user"},'
        b'{"type":"message","role":"assistant","content":[]},{"role":"user","content":"more"}]}'
    )
    other = split(b'{"instructions":"s","input":"Ho","tools":[{"type":"function","name":"f"}]}')
    prints = [fingerprint(fields, inspect(fields)) for fields in (first, second, other)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"input":3}', "input"),
        (b'{"input":[3]}', "input"),
        (b'{"input":[{"role":1}]}', "input"),
        (b'{"instructions":["a"]}', "instructions"),
        (b'{"stream":1}', "stream"),
        (b'{"model":1}', "model"),
    ],
)
def test_wrong_types_are_refused(body: bytes, param: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        sent(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "given", [b"", b'"instructions":null,', b'"instructions":"",', b'"instructions": "" ,']
)
def test_instructions_where_the_client_has_none(given: bytes) -> None:
    assert after(b'{%b"input":[]}' % given)["instructions"] == TEXT


def test_instructions_go_in_front_of_the_clients_and_keep_its_bytes() -> None:
    body = b'{ "instructions" : "caf\\u00e9 / \xc3\xa4" ,"input": [ ] }'
    assert sent(body, own=PLAIN) == body.replace(b'"caf', b'"' + PLAIN.instructions + rb"\n\n" + b"caf")


def test_a_string_becomes_an_item_only_where_there_are_messages_of_ours() -> None:
    body = b'{"input": "caf\\u00e9" }'
    assert sent(body, own=PLAIN) == rb'{"input": "caf\u00e9","instructions":"Be \"kind\"." }'
    assert after(body) == {
        "input": [*EXAMPLES, {"role": "user", "content": "café"}],
        "instructions": TEXT,
    }
    assert b"caf\\u00e9" in sent(body)


@pytest.mark.parametrize(("body", "rest"), [(b"{}", []), (b'{"input":null}', []), (b'{"input":[]}', [])])
def test_no_input_of_the_client(body: bytes, rest: list[Any]) -> None:
    assert after(body)["input"] == EXAMPLES + rest


def test_a_list_is_kept_behind_ours() -> None:
    body = b'{"input":[ {"a":1.50} ,{"role":"user","content":"x"}],"z":[1, 2]}'
    assert sent(body) == body.replace(b"[ {", b"[" + OWN.items + b", {").replace(
        b"]}", b'],"instructions":"' + TEXT_JSON + b'"}'
    )


@pytest.mark.parametrize("history", [b'"previous_response_id":"r1"', b'"conversation":{"id":"c"}'])
def test_where_the_provider_keeps_a_history_only_instructions_are_put_in(history: bytes) -> None:
    body = b'{%b,"input":"x"}' % history
    assert sent(body) == body[:-1] + b',"instructions":"%b"}' % TEXT_JSON


SYSTEM = b'{"role":"system","content":"mine"}'
USER = b'{"role":"user","content":"q"}'


def test_the_clients_own_instructions_are_kept_replaced_or_refused() -> None:
    body = b'{"instructions":"mine","input":[' + SYSTEM + b" , " + USER + b"]}"
    assert after(body)["instructions"] == TEXT + "\n\nmine"
    assert len(after(body)["input"]) == 4
    replaced = after(body, made(client_system="replace"))
    assert replaced == {"instructions": TEXT, "input": [*EXAMPLES, {"role": "user", "content": "q"}]}
    only = b'{"input":[' + SYSTEM + b"]}"
    assert after(only, made(client_system="replace"))["input"] == EXAMPLES
    assert after(only, made(client_system="replace"), PLAIN)["input"] == []
    for given in (body, only, b'{"instructions":"mine"}'):
        with pytest.raises(SystemMessageRefused):
            sent(given, made(client_system="refuse"))
    assert after(b'{"input":"x"}', made(client_system="refuse"), PLAIN)["input"] == "x"


def test_a_version_without_instructions() -> None:
    own = encode_messages([("user", "Hi"), ("system", "later")])
    assert after(b'{"instructions":"mine","input":[]}', own=own) == {
        "instructions": "mine",
        "input": [{"role": "user", "content": "Hi"}, {"role": "system", "content": "later"}],
    }
    replaced = after(b'{"instructions":"mine","input":[]}', made(client_system="replace"), own)
    assert "instructions" not in replaced
    with pytest.raises(InvalidValue):
        encode_messages([("user", "\ud800")])


def test_model_prompt_and_options() -> None:
    by = made(
        model=Model(
            "big",
            {"max_tokens": 5, "temperature": 0.5, "reasoning_effort": "low", "verbosity": "low", "seed": 1},
            locked=("max_tokens",),
        ),
        outputs={"type": "object"},
    )
    body = (
        b'{"prompt":{"id":"a"},"model":"m","max_output_tokens":9,"temperature":1,"text":{"verbosity":"high"}}'
    )
    found = after(body, by, PLAIN)
    assert "prompt" not in found
    assert (found["model"], found["max_output_tokens"], found["temperature"], found["seed"]) == (
        "big",
        5,
        1,
        1,
    )
    assert found["reasoning"] == {"effort": "low"}
    form = {"type": "json_schema", "name": "support_agent", "schema": {"type": "object"}}
    assert found["text"] == {"verbosity": "high", "format": form}
    theirs = b'{"text":{"format":{"type":"text"}},"reasoning":{"effort":null,"summary":"auto"}}'
    kept = after(theirs, by, PLAIN)
    assert kept["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert kept["reasoning"] == {"effort": "low", "summary": "auto"}
    with pytest.raises(InvalidValue) as caught:
        sent(b'{"text":"plain"}', by)
    assert caught.value.param == "text"


def test_chats_response_format_is_flat_here() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}
    found = after(b"{}", made(model=Model(None, {"response_format": form})), PLAIN)
    assert found["text"] == {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}}
    plain = after(b"{}", made(model=Model(None, {"response_format": {"type": "json_object"}})), PLAIN)
    assert plain["text"] == {"format": {"type": "json_object"}}


@pytest.mark.parametrize("option", ["input", "instructions", "messages", "model", "stream"])
def test_options_that_are_the_gateways(option: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        made(model=Model(None, {option: 1}))
    assert caught.value.param == "model.options"


def test_session_sources_are_all_of_them() -> None:
    assert session_sources(["header", "previous_response_id"]) == ("header", "previous_response_id")


def test_an_answer_is_read() -> None:
    usage = {"input_tokens": 3, "output_tokens": 4}
    done = {"id": "resp_1", "status": "completed", "usage": usage, "output": [{"type": "message"}], "x": 1}
    assert read_answer(json.dumps(done).encode()) == Answer(Usage(3, 4), "stop", None, "resp_1")
    called = {**done, "output": [{"type": "reasoning"}, {"type": "function_call"}]}
    assert read_answer(json.dumps(called).encode()) == Answer(Usage(3, 4), "tool_calls", None, "resp_1")
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert read_answer(json.dumps(cut).encode()) == Answer(None, "length")
    failed = {"id": "", "status": "failed", "error": {"code": "server_error", "message": "m"}}
    assert read_answer(json.dumps(failed).encode()) == Answer(error={"code": "server_error", "message": "m"})
    for odd in (b"", b"<html>", b"[]", b'{"a":' + b"[" * 5000):
        assert read_answer(odd) is None


def test_an_error_of_ours_as_an_event() -> None:
    name, data = sse_error(UpstreamBroken("it broke")).splitlines()[:2]
    assert name == b"event: error"
    said = json.loads(data.removeprefix(b"data: "))
    assert (said["type"], said["code"], said["message"]) == ("error", "upstream_broken", "it broke")
    assert said["error"]["code"] == "upstream_broken"
