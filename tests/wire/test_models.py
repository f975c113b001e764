"""/v1/models: aliases first, the provider's bytes kept, in both shapes."""

import json

import pytest

from gateway.wire.models import entry, listing, merged

THEIRS = b'{ "object":"list", "data": [ {"id":"m1","created":1.0e3} , {"id":"m2"}], "x":1 }'


def test_aliases_go_first_and_the_rest_keeps_its_bytes() -> None:
    found = merged(THEIRS, ["fast", "m2"], anthropic=False)
    assert found == THEIRS.replace(b'[ {"id"', b"[" + entry("fast", anthropic=False) + b', {"id"')
    assert merged(THEIRS, ["m1"], anthropic=False) == THEIRS
    empty = merged(b'{"data":[ ]}', ["a", "b"], anthropic=True)
    assert [model["id"] for model in json.loads(empty or b"")["data"]] == ["a", "b"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"data":{}}', b'{"data":[1]}', b'{"data":[],"data":[]}']
)
def test_what_is_no_list_is_left_alone(body: bytes) -> None:
    assert merged(body, ["a"], anthropic=False) is None


def test_shapes() -> None:
    assert json.loads(entry("a", anthropic=False))["object"] == "model"
    assert json.loads(entry("a", anthropic=True))["type"] == "model"
    assert json.loads(listing(["a"], anthropic=False))["object"] == "list"
    assert json.loads(listing(["a", "b"], anthropic=True))["has_more"] is False
