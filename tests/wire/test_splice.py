"""Splice: whatever is not changed keeps its bytes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import DuplicateKey, GatewayError, InvalidJson, InvalidValue
from gateway.wire.splice import LARGE, elements, gaps, mask_surrogates, replace, split

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
SPACE = st.text(" \t\r\n", max_size=2)
EDITED = ("messages", "model", "prompt", "new", "ключ", 'q"\\')
KEYS = st.sampled_from(EDITED) | st.text(max_size=6)


@st.composite
def texts(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A JSON object with any white space and escapes, and its members as written; keys are unique."""
    members = []
    body = draw(SPACE) + "{"
    keys = draw(st.lists(KEYS, max_size=6, unique=True))
    for index, key in enumerate(keys):
        ascii_only = draw(st.booleans())
        value = json.dumps(draw(VALUES), ensure_ascii=ascii_only, indent=draw(st.sampled_from([None, 1])))
        name = json.dumps(key, ensure_ascii=draw(st.booleans()))
        body += draw(SPACE) + name + draw(SPACE) + ":" + draw(SPACE) + value + draw(SPACE)
        body += "," if index < len(keys) - 1 else ""
        members.append((key, value))
    body += draw(SPACE) + "}" + draw(SPACE)
    return body.encode("utf-8", "surrogatepass"), [
        (k, v.encode("utf-8", "surrogatepass")) for k, v in members
    ]


def joined(pieces: list[Any]) -> bytes:
    return b"".join(pieces)


def members_of(body: bytes) -> list[tuple[str, bytes]]:
    fields = split(body)
    return [(key, body[start:end]) for key, (_, start, end) in fields.spans.items()]


@given(texts())
def test_members_are_found_as_written_in_order(text: tuple[bytes, list[tuple[str, bytes]]]) -> None:
    body, members = text
    fields = split(body)
    assert members_of(body) == members
    assert all(bytes(fields.get(key) or b"") == value for key, value in members)
    assert joined(replace(fields, {})) == body


@settings(max_examples=300)
@given(
    texts(), st.dictionaries(st.sampled_from(EDITED), st.none() | st.sampled_from([b"1", b'"x"', b"[ 1,2]"]))
)
def test_every_other_value_keeps_its_bytes(
    text: tuple[bytes, list[tuple[str, bytes]]], edits: dict[str, bytes | None]
) -> None:
    body, members = text
    changed = joined(replace(split(body), edits))
    present = [key for key, _ in members]
    expected = [(key, edits.get(key, value)) for key, value in members]
    expected += [(key, value) for key, value in edits.items() if key not in present]
    assert members_of(changed) == [(key, value) for key, value in expected if value is not None]


@given(st.binary(max_size=60) | st.text('{}[]":,\\u0d8 1e-', max_size=24).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        fields = split(body)
    except GatewayError as error:
        assert error.status == 400
        return
    assert joined(replace(fields, {})) == body
    json.loads(body)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", InvalidJson),
        (b"{", InvalidJson),
        (b'{"a":1}x', InvalidJson),
        (b'{"a":1}}', InvalidJson),
        (b'{"a":NaN}', InvalidJson),
        (b'{"a":-Infinity}', InvalidJson),
        (b'{"a":01}', InvalidJson),
        (b'{"a":1,}', InvalidJson),
        (b"{'a':1}", InvalidJson),
        (b'{"a":"\x01"}', InvalidJson),
        (b'{"a":"\\x"}', InvalidJson),
        (b"\xef\xbb\xbf{}", InvalidJson),
        (b'{"a":"\xff"}', InvalidJson),
        (b'{"\xff":1}', InvalidJson),
        (b'{"a":"\xed\xa0\xbd"}', InvalidJson),  # a surrogate in UTF-8
        (b'{"a":"\xc3\xa4' + b"x" * LARGE + b'\xc3"}', InvalidJson),
        (b'{"a":"' + b"x" * LARGE + b"\xc3", InvalidJson),
        (b'{"a":' + b"[" * 100_000, InvalidJson),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", InvalidJson),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, InvalidJson),
        (b'{"a":1,"a":' + b"[" * 900 + b"\\ud800", InvalidJson),
        (b"[" * 100_000, InvalidValue),
        (b"[]", InvalidValue),
        (b"{" + b",".join(b'"%d":1' % i for i in range(1001)) + b"}", InvalidValue),
        (b'"text"', InvalidValue),
        (b"null", InvalidValue),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else "",
)
def test_what_is_no_json_object_is_refused(body: bytes, error: type[GatewayError]) -> None:
    with pytest.raises(error) as caught:
        split(body)
    assert caught.value.status == 400
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[1],"x":0,"messages":[2]}',
        b'{"messages":[1],"\\u006dessages":[2]}',
        b'{"\\u006Dessages":[1],"messages":[1]}',
        b'{ "messages" : {"a":1,  "x" : 0}, "x" : 0, "messages" : {"a":1,  "x" : 0} }',
        b'{"messages":"{\\"a\\"","messages":1, "x":"\\ud83d"}',
    ],
)
def test_a_duplicate_is_found_however_it_is_spelled(body: bytes) -> None:
    fields = split(body)
    with pytest.raises(DuplicateKey) as caught:
        fields.get("messages")
    assert caught.value.param == "messages"
    with pytest.raises(DuplicateKey):
        replace(fields, {"messages": b"[]"})


def test_other_duplicates_pass_as_they_are() -> None:
    fields = split(b'{"a":1, "b":2, "a":[3], "c":4, "a":5}')
    assert joined(replace(fields, {"b": b"9"})) == b'{"a":1, "b":9, "a":[3], "c":4, "a":5}'
    assert joined(replace(fields, {"b": None, "c": None, "d": b"0"})) == b'{"a":1, "a":[3], "a":5,"d":0}'


def test_a_large_body_must_not_repeat_a_key() -> None:
    with pytest.raises(DuplicateKey):
        split(b'{"a":1,"a":"' + b"x" * LARGE + b'"}')


def test_lone_surrogates_stay_as_they_are() -> None:
    body = rb'{"a":"cut \ud83d","b":"\ud83d\ude00 \\ud83d \\\ud83d","\udc00":1}'
    fields = split(body)
    assert joined(replace(fields, {"c": b"1"})) == body[:-1] + b',"c":1}'
    assert bytes(fields.get("a") or b"") == rb'"cut \ufffd"'
    assert bytes(fields.get("b") or b"") == rb'"\ud83d\ude00 \\ud83d \\\ufffd"'


@given(
    st.lists(st.sampled_from(["\\\\", '\\"', "\\ud83d", "\\ude00", "\\u0041", "\\uD83D\\uDE00", "u", "d83d"]))
)
def test_masking_makes_any_string_readable_and_keeps_positions(tokens: list[str]) -> None:
    body = ('{"a":"' + "".join(tokens) + '"}').encode()
    masked = mask_surrogates(body)
    assert len(masked) == len(body)
    given_text = json.loads(body)["a"]
    assert json.loads(masked)["a"] == given_text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    split(body)


def test_a_large_body_is_not_copied() -> None:
    body = b'{"model":"m","big":"' + b"x" * LARGE + b'","z":1}'
    pieces = replace(split(body), {"model": b'"other"', "z": None})
    assert joined(pieces) == b'{"model":"other","big":"' + b"x" * LARGE + b'"}'
    assert all(isinstance(piece, memoryview) for piece in pieces if len(piece) > 100)


def test_elements_and_gaps_find_their_commas() -> None:
    body = b'{"m":[ 1 ,{"a":[2]},\n"x" ] }'
    fields = split(body)
    values = [b"1", b'{"a":[2]}', b'"x"']
    ranges = elements(fields, "m", [memoryview(value) for value in values])  # type: ignore[misc]
    assert [body[start:end] for start, end in ranges] == values
    spans = [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert gaps(spans, [True, False, False, False]) == [(0, 2)]
    assert gaps(spans, [False, False, True, True]) == [(3, 7)]
    assert gaps(spans, [False, True, False, True]) == [(2, 4), (5, 7)]
    assert gaps(spans, [True] * 4) == [(0, 7)]
    assert gaps([], []) == []
