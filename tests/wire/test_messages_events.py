"""Events of /v1/messages: first token, usage put together, how it ended, errors; split anywhere."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.messages import scanner
from gateway.wire.usage import Usage


def event(kind: str, **fields: Any) -> bytes:
    said = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {said}\n\n".encode()


def delta(kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=0, delta={"type": kind, **fields})


COUNTS = {"input_tokens": 3, "cache_read_input_tokens": 20, "output_tokens": 1}
START = event("message_start", message={"id": "msg_1", "usage": COUNTS, "stop_reason": None})
BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
TOOL = event("content_block_start", index=0, content_block={"type": "tool_use", "name": "f", "input": {}})
HELLO = delta("text_delta", text="hällo 😀")
END = event(
    "message_delta",
    delta={"stop_reason": "end_turn", "stop_sequence": None},
    usage={"output_tokens": 9, "input_tokens": None},
)
STOP = event("message_stop")
PING = event("ping")
ERROR = event("error", error={"type": "overloaded_error", "message": "m"})


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
    expected = (7, True, "stop", Usage(23, 9, cached=20), None, None, True, 0)
    assert run([START + BLOCK + PING + HELLO + HELLO + END + STOP]) == expected


@pytest.mark.parametrize("first", [TOOL, HELLO, delta("thinking_delta", thinking="x")])
def test_what_is_a_first_token(first: bytes) -> None:
    found = scanner()
    found.feed(b": ping\n\n" + START + PING + BLOCK + delta("signature_delta", signature="AA=="))
    assert not found.first_token
    found.feed(first)
    assert found.first_token


def test_usage_of_a_stream_that_is_cut_is_what_was_said() -> None:
    assert run([START + HELLO])[3] == Usage(23, 1, cached=20)


def test_an_error_ends_the_stream() -> None:
    found = run([START + HELLO + ERROR])
    assert (found[4], found[6]) == ({"type": "overloaded_error", "message": "m"}, True)


def test_what_cannot_be_read_is_counted() -> None:
    odd = (
        b'data: nonsense\n\ndata: [1]\n\nevent: x\n\ndata: {"type":"message_delta","delta":3,"usage":[]}\n\n'
    )
    found = run([odd + HELLO])
    assert (found[0], found[1], found[7]) == (4, True, 2)


PARTS = st.sampled_from(
    [START, BLOCK, TOOL, HELLO, END, STOP, PING, ERROR, b": ping\n\n", b"\n", b"data: broken\n\n"]
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
