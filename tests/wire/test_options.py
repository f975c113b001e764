"""Options: the client's win unless locked, synonyms are one limit, members go into their objects."""

import json
from typing import Any

import pytest

from gateway.domain.prompt import Model
from gateway.errors import DuplicateKey, InvalidValue
from gateway.wire.options import Option, apply_options, check_reserved, compile_options
from gateway.wire.splice import replace, split


def applied(body: bytes, *options: Option) -> dict[str, Any]:
    fields = split(body)
    edits: dict[str, bytes | None] = {}
    apply_options(fields, options, edits)
    found: dict[str, Any] = json.loads(b"".join(replace(fields, edits)))
    return found


def test_the_clients_win_unless_locked() -> None:
    assert applied(b'{"a":1}', Option("a", b"2"), Option("b", b"3")) == {"a": 1, "b": 3}
    assert applied(b'{"a":1}', Option("a", b"2", locked=True)) == {"a": 2}


def test_synonyms_are_one_limit() -> None:
    limit = Option("a", b"2", synonyms=("old",))
    assert applied(b'{"old":1}', limit) == {"old": 1}
    assert applied(b'{"old":1}', limit._replace(locked=True)) == {"a": 2}


def test_members_of_an_object() -> None:
    options = (Option("t", b"1", inner="x"), Option("t", b"2", locked=True, inner="y"))
    assert applied(b"{}", *options) == {"t": {"x": 1, "y": 2}}
    assert applied(b'{"t":null}', *options) == {"t": {"x": 1, "y": 2}}
    assert applied(b'{"t":{"x":7,"y":8,"z":9}}', *options) == {"t": {"x": 7, "y": 2, "z": 9}}
    assert applied(b'{"t":{"x":null}}', *options) == {"t": {"x": 1, "y": 2}}
    assert applied(b'{"t":{"x":7}}', options[0]) == {"t": {"x": 7}}
    with pytest.raises(InvalidValue):
        applied(b'{"t":[1]}', *options)
    with pytest.raises(DuplicateKey):
        applied(b'{"t":{"x":1,"x":2}}', *options)


def test_names_are_translated_and_the_later_of_two_wins() -> None:
    model = Model(None, {"a": 1, "b": 2, "c": [3]}, locked=("b",))
    found = compile_options(model, {"a": "n", "b": "n", "c": "o.i"}, {"n": ("m",)})
    assert found == [Option("n", b"2", True, "", ("m",)), Option("o", b"[3]", False, "i")]


@pytest.mark.parametrize("name", ["model", "prompt", "stream", "stream_options", "input"])
def test_reserved(name: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        check_reserved(Model(None, {"ok": 1, name: 2}), "input")
    assert name in caught.value.message
