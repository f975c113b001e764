"""The bytes of every value that we do not change stay as the client sent them, in all three APIs."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.prompt import Content, Message, Model, Part
from gateway.wire import chat, messages, responses
from gateway.wire.api import Api
from gateway.wire.splice import split

OURS = [("system", 'Be "kind".'), ("user", "Hi"), ("assistant", "Hällo")]
CONTENT = Content(
    messages=(Message("system", (Part("system", "Be kind."),)),),
    model=Model("ours", {"temperature": 0.5}, locked=("temperature",)),
)
# Spellings that a decoder and an encoder would not give back.
SPELLINGS = [
    "1.50",
    "1E+2",
    "-0.0",
    "12345678901234567890123",
    '"\\u00e4\\/\\ud83d\\ude00"',
    '"ä😀"',
    '{"b" : 1,\n"a":[ 1 , 2 ]}',
    "[ ]",
    "{ }",
    "null",
    "true",
    '"\\ud800"',
    '{"x":1,"x":2}',
]
SPACE = st.sampled_from(["", " ", "\n\t"])
VALUE = st.sampled_from(SPELLINGS)
UNKNOWN = st.dictionaries(
    st.sampled_from(["x", "tools", "metadata", "ünknown", "store", "y"]), VALUE, max_size=5
)
TEXTS = ['"plain"', '"\\u0041\\n"', '"ä"']
TURN = st.one_of(
    st.tuples(st.sampled_from(["user", "assistant"]), st.sampled_from(TEXTS), VALUE).map(
        lambda t: f'{{ "role":"{t[0]}", "content" : {t[1]},"extra":{t[2]} }}'
    ),
    st.sampled_from(TEXTS).map(
        lambda t: f'{{"content":[ {{"type":"text","text":{t},"n":1.0}} ],"role":"user"}}'
    ),
)


def joined(items: list[str], space: str) -> str:
    return "[" + space + f"{space},{space}".join(items) + space + "]"


def body_of(members: list[tuple[str, str]], space: str) -> bytes:
    inner = f"{space},{space}".join(
        f"{json.dumps(k, ensure_ascii=False)}{space}:{space}{v}" for k, v in members
    )
    return f"{space}{{{space}{inner}{space}}}{space}".encode()


def injected(api: Api[Any], body: bytes) -> bytes:
    fields = split(body)
    own = api.encode_messages(OURS)
    found = api.inject(fields, api.inspect(fields), api.recipe(CONTENT, "p"), own, ask_usage=False)
    return b"".join(found.pieces)


@pytest.mark.parametrize("api", [chat, responses, messages])
@settings(max_examples=150)
@given(data=st.data())
def test_every_value_but_the_injected_ones_keeps_its_bytes(api: Api[Any], data: st.DataObject) -> None:
    unknown = data.draw(UNKNOWN)
    space = data.draw(SPACE)
    turns = data.draw(st.lists(TURN, max_size=4))
    listed = joined(turns, space)
    theirs = data.draw(st.sampled_from(TEXTS))
    members = {**unknown, "model": '"theirs"'}
    name = "input" if api is responses else "messages"
    as_text = api is responses and data.draw(st.booleans())
    members[name] = theirs if as_text else listed
    system = {responses: "instructions", messages: "system"}.get(api)  # type: ignore[call-overload]
    if system is not None and data.draw(st.booleans()):
        members[system] = theirs
    order = data.draw(st.permutations(sorted(members.items())))
    after = split(injected(api, body_of(order, space)))
    for key, value in unknown.items():
        assert after.body[slice(*after.spans[key][1:])] == value.encode()
    own = api.encode_messages(OURS)
    raw = after.body[slice(*after.spans[name][1:])]
    examples = own.system if api is chat else own[1]
    if as_text:
        assert raw == b"[%b,%b]" % (examples, b'{"role":"user","content":%b}' % theirs.encode())
    elif turns:
        assert raw == b"[" + examples + b"," + listed.encode()[1:]
    if system in members:
        kept = after.body[slice(*after.spans[system][1:])]
        assert kept == b'"%b\\n\\n%b' % (own[0], theirs[1:].encode())
    assert [key for key in after.spans if key in members] == [key for key, _ in order]
    assert after.body[slice(*after.spans["model"][1:])] == b'"ours"'
    assert after.body[slice(*after.spans["temperature"][1:])] == b"0.5"
