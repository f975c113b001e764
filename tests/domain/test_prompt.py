"""A version is its content: the digest says so, whoever wrote it and in whichever order."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.prompt import Content, Input, Message, Model, Part, Version, digest
from gateway.errors import InvalidValue

LAW = settings(max_examples=80, deadline=None, derandomize=True)
HELLO = Message("system", (Part("system", "Hello"),))

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    parts = st.builds(Part, st.sampled_from(["system", "output_format", "few_shot", "user"]), TEXT)
    roles = st.sampled_from(["system", "developer", "user", "assistant"])
    messages = st.builds(Message, roles, st.lists(parts, min_size=1, max_size=2).map(tuple))
    names = draw(st.lists(TEXT, unique=True, max_size=3))
    options = draw(st.dictionaries(TEXT, JSON, max_size=3))
    return Content(
        messages=tuple(draw(st.lists(messages, min_size=1, max_size=3))),
        inputs=tuple(Input(name, "string", default=draw(JSON)) for name in names),
        outputs=draw(st.none() | st.dictionaries(TEXT, JSON, max_size=3)),
        model=Model(id=draw(st.none() | TEXT), options=options, locked=tuple(options)),
        client_system=draw(st.sampled_from(["keep", "replace", "refuse"])),
    )


def test_the_digest_is_sha256_of_canonical_json() -> None:
    canonical = b'{"messages":[{"parts":[{"kind":"system","template":"Hello"}],"role":"system"}]}'
    assert digest(Content(messages=(HELLO,))) == "sha256:" + hashlib.sha256(canonical).hexdigest()


def test_a_default_that_is_spelled_out_makes_no_difference() -> None:
    keep: Any = "".join(["k", "eep"])  # equal to the default, not the same object
    spelled = Content(messages=(HELLO,), model=Model(options={}), client_system=keep)
    assert digest(spelled) == digest(Content(messages=(HELLO,)))


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@LAW
@given(contents())
def test_it_does_not_depend_on_order_of_keys_inputs_or_locks(content: Content) -> None:
    shuffled = msgspec.convert(reversed_keys(json.loads(msgspec.json.encode(content))), Content)
    shuffled = msgspec.structs.replace(
        shuffled,
        inputs=shuffled.inputs[::-1],
        model=msgspec.structs.replace(shuffled.model, locked=shuffled.model.locked[::-1]),
    )
    assert digest(shuffled) == digest(content)


@LAW
@given(contents())
def test_it_survives_the_store(content: Content) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(content), type=Content)
    assert stored == content
    assert digest(stored) == digest(content)


@LAW
@given(contents(), contents())
def test_it_tells_contents_apart(one: Content, other: Content) -> None:
    # Equal as Python values, but 1 == 1.0 == True: only the first two are one number in JSON.
    if digest(one) == digest(other):
        assert one.messages == other.messages
        assert {each.name: each.default for each in one.inputs} == {
            each.name: each.default for each in other.inputs
        }
        assert (one.outputs, one.model.id, one.model.options) == (
            other.outputs,
            other.model.id,
            other.model.options,
        )
        assert one.client_system == other.client_system


@pytest.mark.parametrize("value", [2**53, float("nan"), float("inf"), "\ud800", {"x": [-(2**53)]}], ids=ascii)
def test_what_is_not_canonical_json_has_no_digest(value: Any) -> None:
    content = Content(messages=(HELLO,), model=Model(options={"x": value}))
    with pytest.raises(InvalidValue, match="cannot be written as canonical JSON"):
        digest(content)


def test_content_is_checked_at_birth() -> None:
    with pytest.raises(InvalidValue, match="needs at least one message"):
        Content(messages=())
    with pytest.raises(InvalidValue, match="input 'a' is declared twice"):
        Content(messages=(HELLO,), inputs=(Input("a", "string"), Input("a", "integer")))


@pytest.mark.parametrize(("prompt", "number"), [("A", 1), ("a/b", 1), ("", 1), ("a", 0), ("a", -1)])
def test_a_version_is_checked_at_birth(prompt: str, number: int) -> None:
    content = Content(messages=(HELLO,))
    with pytest.raises(InvalidValue):
        Version(prompt, number, digest(content), content, created_at=0.0, created_by="test")
