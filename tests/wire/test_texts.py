"""What was asked and answered, in words, in the shapes of three APIs, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.wire import chat, messages, responses
from gateway.wire.splice import split
from gateway.wire.sse import MOST_TEXT
from gateway.wire.texts import answer_of, asked_of, question_of, refused


def question(body: dict[str, Any], most: int = 1000) -> str:
    return question_of(split(json.dumps(body).encode()), most)


def events(*values: dict[str, Any], named: bool = False) -> bytes:
    return b"".join(
        (f"event: {value['type']}\n" if named else "").encode()
        + b"data: "
        + json.dumps(value).encode()
        + b"\n\n"
        for value in values
    )


@pytest.mark.parametrize("most", [50, 5000, 3_000_000])
def test_of_a_long_conversation_the_same_end_is_kept(most: int) -> None:
    """Above 1 MiB the turns are decoded from the newest on, as far as they are needed."""
    turns: list[Any] = [{"role": "user", "content": f"turn {i}: " + "é" * 500} for i in range(1500)]
    turns.insert(1499, {"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "x"}}]})
    whole = "\n\n".join(f"user: turn {i}: " + "é" * 500 for i in range(1500))
    assert question({"messages": turns}, most) == whole.encode()[-most:].decode("utf-8", "ignore")
    assert question({"input": "é" * 1_000_000 + " end"}, 50).endswith("é end")


def test_a_conversation_keeps_roles_and_leaves_out_what_is_no_text() -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {}}],
        },
        {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": '{"a":1}'}}]},
        {"role": "tool", "content": "found"},
        {"role": "user"},
        7,
    ]
    said = question({"messages": turns})
    assert said == 'system: Be brief.\n\nuser: Hello\n\nassistant: [tool look] {"a":1}\n\ntool: found'


def test_an_input_is_a_string_or_items() -> None:
    assert question({"input": "Hello"}) == "Hello"
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "function_call", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "output": "found"},
    ]
    assert question({"input": items}) == "user: Hi\n\n[tool look] {}\n\nfound"
    assert question({"input": {"odd": 1}}) == question({}) == ""


def test_a_question_keeps_its_end_and_an_answer_its_beginning_in_whole_characters() -> None:
    assert question({"input": "aaaa" + "é" * 4}, most=7) == "é" * 3
    body = json.dumps({"choices": [{"message": {"content": "é" * 4 + "aaaa"}}]}).encode()
    assert answer_of(body, 7) == "é" * 3
    assert answer_of(body, 12) == "é" * 4 + "aaaa"


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"content": "Yes."}}, {"message": {"content": "No."}}]},
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Yes."}]}]},
        {"content": [{"type": "text", "text": "Yes."}]},
    ],
)
def test_whole_answers(body: dict[str, Any]) -> None:
    assert answer_of(json.dumps(body).encode(), 100) == "Yes."


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"choices":[7]}', b'{"output":7}', b'{"content":[null]}']
)
def test_what_is_no_answer_says_nothing(body: bytes) -> None:
    assert answer_of(body, 100) == ""


def test_a_streamed_chat_answer_is_heard_from_its_first_choice() -> None:
    scanner = chat.scanner()
    scanner.text = []
    call = {"function": {"name": "look", "arguments": ""}}
    sent = events(
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Ye"}}]},
        {"choices": [{"index": 1, "delta": {"content": "No"}}]},
        {"choices": [{"index": 0, "delta": {"content": "s. "}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"function": {"arguments": '{"a"'}}]}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"function": {"arguments": ":1}"}}]}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    )
    for start in range(0, len(sent), 7):
        scanner.feed(sent[start : start + 7])
    assert "".join(scanner.text) == 'Yes. [tool look] {"a":1}'


def test_a_streamed_message_and_a_streamed_response() -> None:
    scanner: Any = messages.scanner()
    scanner.text = []
    scanner.feed(
        events(
            {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Ye"}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "s. "}},
            {
                "type": "content_block_start",
                "content_block": {"type": "tool_use", "name": "look", "input": {}},
            },
            {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{}"}},
            named=True,
        )
    )
    assert "".join(scanner.text) == "Yes. [tool look] {}"
    scanner = responses.scanner()
    scanner.text = []
    scanner.feed(
        events(
            {"type": "response.output_text.delta", "delta": "Ye"},
            {"type": "response.output_text.delta", "delta": "s. "},
            {"type": "response.reasoning_text.delta", "delta": "hm"},
            {"type": "response.output_item.added", "item": {"type": "function_call", "name": "look"}},
            {"type": "response.function_call_arguments.delta", "delta": "{}"},
            named=True,
        )
    )
    assert "".join(scanner.text) == "Yes. [tool look] {}"


def test_nothing_is_kept_unless_it_is_wanted_and_never_more_than_the_limit() -> None:
    one = events({"choices": [{"index": 0, "delta": {"content": "x" * 1000}}]})
    scanner = chat.scanner()
    scanner.feed(one)
    assert scanner.text is None
    scanner = chat.scanner()
    scanner.text = []
    for _ in range(100):
        assert scanner.feed(one) == one
    assert len("".join(scanner.text)) == MOST_TEXT
    assert scanner.events == 100


def test_a_refusal_in_a_field_of_its_own_is_heard() -> None:
    whole = [
        ({"choices": [{"message": {"content": None, "refusal": "No."}}]}, True),
        ({"choices": [{"message": {"content": "Yes.", "refusal": None}}]}, False),
        ({"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]}, True),
    ]
    for body, expected in whole:
        assert refused(json.dumps(body).encode()) is expected
        assert refused(json.dumps(body, separators=(",", ":")).encode()) is expected
    for scanner, event in (
        (chat.scanner(), {"choices": [{"index": 0, "delta": {"refusal": "No."}}]}),
        (responses.scanner(), {"type": "response.refusal.delta", "delta": "No."}),
    ):
        scanner.text = []
        scanner.feed(events(event))
        assert scanner.refused
        assert scanner.text == ["No."]


@pytest.mark.parametrize(
    ("body", "turns"),
    [
        ({"messages": [{"role": "user", "content": "a"}]}, 1),
        (
            {
                "messages": [
                    {"role": "system", "content": "user"},
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": "b"},
                    {"role": "user", "content": [{"type": "text"}]},
                ]
            },
            2,
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": []},
                    {"role": "user", "content": [{"type": "tool_result", "content": "x"}]},
                ]
            },
            1,
        ),
        ({"input": "a"}, 1),
        (
            {
                "input": [
                    {"role": "user", "content": "a"},
                    {"type": "function_call_output", "output": "x"},
                    {"role": "user", "content": "b"},
                ]
            },
            2,
        ),
        ({"messages": [1, 2]}, 1),
        ({"model": "m"}, 0),
    ],
)
def test_what_users_said_is_counted(body: dict[str, object], turns: int) -> None:
    fields = split(json.dumps(body).encode())
    assert asked_of(fields, 100, count=True).turns == turns
    assert asked_of(fields, 100, count=False) == (question_of(fields, 100), 0)
