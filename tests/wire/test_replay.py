"""A request is made fit for being asked again: nobody notices, nothing is kept, nothing acts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.wire.replay import copied
from gateway.wire.splice import split

CHAT, RESPONSES, MESSAGES = b"/v1/chat/completions", b"/v1/responses", b"/v1/messages"
FUNCTION = {"type": "function", "function": {"name": "refund", "parameters": {"type": "object"}}}


def copy(path: bytes, most: int = 10_000, **fields: object) -> tuple[Any, str]:
    body, cause = copied(path, split(json.dumps(fields).encode()), most)
    return (json.loads(body) if body else None), cause


def test_it_is_not_streamed_not_stored_and_asked_once() -> None:
    asked = {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "store": True,
        "n": 3,
        "temperature": 0.5,
    }
    body, cause = copy(CHAT, 10_000, **asked)
    assert cause == ""
    assert body == {name: asked[name] for name in ("model", "messages", "temperature")}


@pytest.mark.parametrize("given", [{}, {"store": True}, {"store": None}])
def test_responses_are_told_not_to_be_stored(given: dict[str, Any]) -> None:
    body, cause = copy(RESPONSES, model="m", input="Hi", stream=True, **given)
    assert cause == ""
    assert body == {"model": "m", "input": "Hi", "store": False}


def test_functions_stay_because_nobody_executes_their_calls() -> None:
    body, cause = copy(CHAT, messages=[], tools=[FUNCTION, {"type": "custom", "custom": {"name": "sql"}}])
    assert cause == ""
    assert body["tools"][0] == FUNCTION
    body, cause = copy(MESSAGES, messages=[], tools=[{"name": "refund", "input_schema": {}}])
    assert cause == ""
    assert len(body["tools"]) == 1


@pytest.mark.parametrize(
    ("path", "given"),
    [
        (RESPONSES, {"tools": [{"type": "web_search"}]}),
        (RESPONSES, {"tools": [FUNCTION, {"type": "code_interpreter", "container": {"type": "auto"}}]}),
        (RESPONSES, {"tools": [{"type": "mcp", "server_url": "https://example.com", "server_label": "x"}]}),
        (RESPONSES, {"tools": [{"type": "a_kind_of_next_year"}]}),
        (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        (MESSAGES, {"mcp_servers": [{"type": "url", "url": "https://example.com"}]}),
        (MESSAGES, {"container": "c_1"}),
        (CHAT, {"web_search_options": {}}),
        (CHAT, {"tools": ["a tool?"]}),
    ],
)
def test_what_the_provider_would_act_on_is_not_asked_again(path: bytes, given: dict[str, Any]) -> None:
    assert copy(path, model="m", **given) == (None, "tools")


@pytest.mark.parametrize("given", [{"conversation": "conv_1"}, {"background": True}])
def test_nor_what_it_would_keep(given: dict[str, Any]) -> None:
    assert copy(RESPONSES, model="m", input="Hi", **given) == (None, "stateful")


@pytest.mark.parametrize("given", [{"conversation": None}, {"background": False}, {"tools": []}])
def test_what_is_switched_off_does_not_matter(given: dict[str, Any]) -> None:
    assert copy(RESPONSES, model="m", input="Hi", **given)[1] == ""


def test_a_large_one_is_left_alone() -> None:
    assert copy(CHAT, 50, messages=[{"role": "user", "content": "x" * 100}]) == (None, "large")


def test_one_that_cannot_be_read_is_left_alone() -> None:
    assert copied(CHAT, split(b'{"tools": 1, "tools": 2}'), 1000) == (b"", "unreadable")
