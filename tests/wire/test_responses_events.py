"""Events of /v1/responses: first token, id, usage, how it ended, errors; split anywhere."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.responses import scanner
from gateway.wire.usage import Usage


def event(kind: str, **fields: Any) -> bytes:
    said = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {said}\n\n".encode()


USAGE = {"input_tokens": 3, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 2}}
CREATED = event("response.created", response={"id": "resp_1", "status": "in_progress", "usage": None})
ADDED = event("response.output_item.added", item={"type": "message", "content": []})
HELLO = event("response.output_text.delta", delta="hällo 😀", item_id="m")
MORE = event("response.output_text.delta", delta="x" * 60)
COMPLETED = event(
    "response.completed",
    response={"id": "resp_1", "status": "completed", "usage": USAGE, "output": [{"type": "message"}]},
)
CALLED = event(
    "response.completed", response={"id": "r", "status": "completed", "output": [{"type": "function_call"}]}
)
CUT = event(
    "response.incomplete",
    response={"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "usage": USAGE},
)
FAILED = event("response.failed", response={"status": "failed", "error": {"code": "x", "message": "m"}})
ERROR = event("error", code="x", message="m", param=None)


def run(chunks: list[bytes]) -> tuple[Any, ...]:
    found = scanner(strip_usage=True)
    assert b"".join([found.feed(chunk) for chunk in chunks]) + found.finish() == b"".join(chunks)
    return (
        found.events,
        found.first_token,
        found.finish_reason,
        found.usage,
        found.error,
        found.response_id,
        found.done,
        found.unread,
    )


def test_a_stream_is_read_and_passes_unchanged() -> None:
    expected = (5, True, "stop", Usage(3, 4, cached=2), None, "resp_1", True, 0)
    assert run([CREATED + ADDED + HELLO + MORE + COMPLETED]) == expected


def test_what_is_a_first_token() -> None:
    found = scanner()
    found.feed(b": ping\n\n" + CREATED + ADDED + event("response.output_text.delta", delta=""))
    assert not found.first_token
    assert found.response_id == "resp_1"
    found.feed(event("response.function_call_arguments.delta", delta="{"))
    assert found.first_token


@pytest.mark.parametrize(
    ("last", "reason", "error"),
    [
        (CALLED, "tool_calls", None),
        (CUT, "length", None),
        (FAILED, None, {"code": "x", "message": "m"}),
        (ERROR, None, {"code": "x", "message": "m", "param": None}),
        (event("error", error={"message": "nested"}), None, {"message": "nested"}),
    ],
)
def test_how_a_stream_ends(last: bytes, reason: str | None, error: Any) -> None:
    found = run([HELLO + last])
    assert (found[2], found[4], found[6]) == (reason, error, True)


def test_events_without_their_name_are_read_by_their_type() -> None:
    nameless = [each.partition(b"\n")[2] for each in (CREATED, HELLO, MORE, COMPLETED)]
    assert run(nameless) == (4, True, "stop", Usage(3, 4, cached=2), None, "resp_1", True, 0)


def test_what_cannot_be_read_is_counted() -> None:
    found = run([b"data: nonsense\n\ndata: [1]\n\nevent: x\n\ndata: {}\n\n" + HELLO])
    assert (found[0], found[1], found[7]) == (4, True, 2)


PARTS = st.sampled_from(
    [CREATED, ADDED, HELLO, MORE, COMPLETED, CUT, FAILED, ERROR, b": ping\n\n", b"\n", b"data: broken\n\n"]
)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(PARTS, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=10),
    st.lists(st.integers(0, 2000), max_size=12),
)
def test_split_anywhere_gives_the_same(parts: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join([part.replace(b"\n", end) for part, end in parts])
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    whole = run([stream])
    assert run([stream[a:b] for a, b in itertools.pairwise(places)]) == whole
    assert run([stream[i : i + 1] for i in range(len(stream))]) == whole
