"""Session keys: the first source that gives one; the fingerprint of a growing conversation."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import chat, messages, responses
from gateway.wire.chat import inspect
from gateway.wire.session_key import NoKey, SessionKey, find_session, fingerprint, session_hash
from gateway.wire.splice import LARGE, split

SOURCES = (
    "header",
    "conversation",
    "previous_response_id",
    "metadata.session_id",
    "safety_identifier",
    "user",
    "fingerprint",
    "prompt_cache_key",
)
NAMES = (b"x-session-id", b"x-conversation-id")
USER = {"role": "user", "content": "hello"}


def found(
    body: dict[str, Any], headers: dict[bytes, bytes] | None = None, sources: tuple[str, ...] = SOURCES
) -> SessionKey | NoKey:
    fields = split(json.dumps(body).encode())
    return find_session(sources, NAMES, headers or {}, fields, inspect(fields))


def test_sources_are_asked_in_order() -> None:
    body: dict[str, Any] = {
        "conversation": {"id": "c"},
        "previous_response_id": "r",
        "metadata": {"session_id": "m"},
        "safety_identifier": "s",
        "user": "u",
        "messages": [USER],
        "prompt_cache_key": "k",
    }
    headers = {b"x-conversation-id": b"h"}
    assert found(body, headers) == SessionKey("header", b"h")
    for source, key in (
        ("conversation", b"c"),
        ("previous_response_id", b"r"),
        ("metadata.session_id", b"m"),
        ("safety_identifier", b"s"),
        ("user", b"u"),
    ):
        assert found(body) == SessionKey(source, key)
        del body[source.partition(".")[0]]
    fingerprint = found(body)
    assert isinstance(fingerprint, SessionKey)
    assert (fingerprint.kind, len(fingerprint.raw)) == ("fingerprint", 16)
    body["messages"] = []
    assert found(body) == SessionKey("prompt_cache_key", b"k")
    assert found({"conversation": "text"}) == SessionKey("conversation", b"text")


@pytest.mark.parametrize(
    "body",
    [
        {"user": ""},
        {"user": 7},
        {"user": None},
        {"user": ["x"]},
        {"metadata": {"session_id": 1}},
        {"metadata": {"other": "x"}},
        {"metadata": "x"},
        {"metadata": None},
        {"conversation": {}},
        {"conversation": {"id": 5}},
        {"conversation": 1},
        {"messages": []},
        {"messages": [{"role": "system", "content": "only ours"}]},
    ],
)
def test_what_is_no_key_gives_none(body: dict[str, Any]) -> None:
    assert found(body, {b"x-session-id": b""}) == "absent"


def test_an_over_long_key_is_no_session() -> None:
    assert found({"user": "u"}, {b"x-session-id": b"x" * 513}) == "over_long"
    assert found({"user": "ä" * 257}) == "over_long"
    assert found({}, {b"x-session-id": b"x" * 512}) == SessionKey("header", b"x" * 512)


TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["assistant", "user", "tool", "system"]), "content": st.text()}
    )
)
TOOLS = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("function"), "function": st.fixed_dictionaries({"name": st.text()})}
    ),
    max_size=3,
)


@given(st.text(), st.text(), TURNS, TOOLS)
def test_the_fingerprint_stays_when_the_history_grows(
    first: str, said: str, later: list[Any], tools: list[Any]
) -> None:
    start = [{"role": "system", "content": first}, {"role": "user", "content": said}]
    one = found({"messages": start, "tools": tools, "temperature": 0})
    many = found({"messages": start + later, "tools": tools, "stream": True})
    assert one == many
    assert isinstance(one, SessionKey)


def test_the_fingerprint_differs_with_what_it_covers() -> None:
    def tool(name: str) -> dict[str, Any]:
        return {"type": "function", "function": {"name": name}}

    system = {"role": "system", "content": "s"}
    bodies: list[dict[str, Any]] = [
        {"messages": [USER]},
        {"messages": [system, USER]},
        {"messages": [system, {"role": "user", "content": "other"}]},
        {"messages": [USER], "tools": [tool("a")]},
        {"messages": [USER], "tools": [tool("b")]},
        {"messages": [USER], "tools": [tool("a"), tool("b")]},
        {"messages": [USER], "tools": [{"type": "custom", "name": "z"}]},
    ]
    assert len({repr(found(body)) for body in bodies}) == len(bodies)
    assert found({"messages": [USER], "tools": "odd"}) == found({"messages": [USER]})


def test_hashes_are_scoped() -> None:
    key = SessionKey("user", b"u")
    variants = [
        session_hash(b"k" * 32, "bot", b"", key),
        session_hash(b"j" * 32, "bot", b"", key),
        session_hash(b"k" * 200, "bot", b"", key),
        session_hash(b"k" * 32, "other", b"", key),
        session_hash(b"k" * 32, "bot", b"u", SessionKey("user", b"")),
        session_hash(b"k" * 32, "bot", b"key1", key),
        session_hash(b"k" * 32, "bot", b"", SessionKey("header", b"u")),
    ]
    assert len(set(variants)) == len(variants)
    assert {len(value) for value in variants} == {16}
    # Pins outlive a deploy of the gateway, so the value is part of the promise.
    assert session_hash(b"k" * 32, "bot", b"", key) == variants[0]


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
def test_a_first_message_above_a_mebibyte_is_known_by_length_and_ends(api: str) -> None:
    """An image in the first message: copied and hashed whole it would stop the loop."""
    inspect_of = {"chat": chat.inspect, "responses": responses.inspect, "messages": messages.inspect}[api]

    def of(first: str) -> bytes:
        turns = "input" if api == "responses" else "messages"
        body = {turns: [{"role": "user", "content": first}, {"role": "user", "content": "later"}]}
        fields = split(json.dumps(body).encode())
        asked = inspect_of(fields)
        assert len(asked.first_user) < LARGE
        return fingerprint(fields, asked)

    image = "A" * (2 * LARGE)
    assert of(image) == of(image)
    assert of(image) != of(image + "A")
    assert of(image) != of("B" + image[1:])
    assert of(image) != of(image[:-1] + "B")
    assert of(image) == of(image[:LARGE] + "B" + image[LARGE + 1 :])
