"""The scanner: split anywhere, the same bytes and the same findings."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire import sse
from gateway.wire.chat_events import ChatScanner
from gateway.wire.usage import Usage


def event(value: Any, end: str = "\n") -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}{end}{end}".encode()


def delta(end: str = "\n", finish: str | None = None, **fields: Any) -> bytes:
    return event(
        {"id": "c", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}], "usage": None}, end
    )


ROLE = delta(role="assistant", content="")
HELLO = delta(content="hällo 😀")
STOP = delta(finish="stop")
COUNTS = {"prompt_tokens": 3, "completion_tokens": 4}
USAGE = event({"id": "c", "choices": [], "usage": COUNTS})
BESIDE = (
    b'data: {"choices": [{"delta": {}}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}, "x": 1}\n\n'
)
DONE = b"data: [DONE]\n\n"


def run(chunks: list[bytes], *, strip: bool) -> tuple[bytes, tuple[Any, ...]]:
    scanner = ChatScanner(strip_usage=strip)
    out = b"".join([scanner.feed(chunk) for chunk in chunks]) + scanner.finish()
    found = (
        scanner.events,
        scanner.first_token,
        scanner.finish_reason,
        scanner.usage,
        scanner.error,
        scanner.done,
        scanner.unread,
    )
    return out, found


def test_a_stream_is_read_and_passes_unchanged() -> None:
    stream = ROLE + HELLO + STOP + USAGE + DONE
    out, found = run([stream], strip=False)
    assert out == stream
    assert found == (4, True, "stop", Usage(prompt=3, completion=4), None, True, 0)


def test_our_usage_event_is_taken_out() -> None:
    out, found = run([ROLE + HELLO + STOP + USAGE + DONE], strip=True)
    assert out == ROLE + HELLO + STOP + DONE
    assert found[3] == Usage(prompt=3, completion=4)


def test_beside_a_choice_only_the_field_goes() -> None:
    out, found = run([HELLO, STOP, BESIDE, DONE], strip=True)
    assert out == HELLO + STOP + b'data: {"choices": [{"delta": {}}], "x": 1}\n\n' + DONE
    assert found[3] == Usage(prompt=3, completion=4)


def test_before_a_finish_reason_nothing_is_held_back() -> None:
    scanner = ChatScanner(strip_usage=True)
    for chunk in (ROLE[:10], ROLE[10:] + HELLO[:5], HELLO[5:], b": ping\n\n", STOP[:40], STOP[40:]):
        assert scanner.feed(chunk) == chunk
    assert scanner.feed(USAGE[:20]) == b""
    assert scanner.feed(USAGE[20:] + DONE[:4]) == b""
    assert scanner.feed(DONE[4:]) == DONE
    assert scanner.finish() == b""


def test_after_a_finish_reason_whole_events_go_out_at_once() -> None:
    scanner = ChatScanner(strip_usage=True)
    scanner.feed(STOP)
    assert scanner.feed(b": ping\n\n" + HELLO + b"data") == b": ping\n\n" + HELLO
    assert scanner.finish() == b"data"


def test_usage_in_the_event_of_the_finish_reason_stays() -> None:
    last = event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": COUNTS})
    out, found = run([HELLO + last + DONE], strip=True)
    assert out == HELLO + last + DONE
    assert found[3] == Usage(prompt=3, completion=4)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "x"},
        {"reasoning_content": "x"},
        {"reasoning": "x"},
        {"refusal": "no"},
        {"tool_calls": [{"index": 0, "id": "a"}]},
        {"function_call": {"name": "f"}},
        {"audio": {"data": "AA=="}},
        {"content": [{"type": "thinking"}]},
    ],
)
def test_what_is_a_first_token(fields: dict[str, Any]) -> None:
    scanner = ChatScanner()
    scanner.feed(b": ping\n\n" + ROLE + delta(content=None, tool_calls=[]) + event({"choices": []}))
    assert not scanner.first_token
    scanner.feed(delta(**fields))
    assert scanner.first_token


def test_an_error_in_the_stream_is_noted() -> None:
    out, found = run([HELLO + event({"error": {"message": "overloaded"}})], strip=True)
    assert found[4] == {"message": "overloaded"}
    assert out.endswith(b'"overloaded"}}\n\n')


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + HELLO,
        HELLO.replace(b"data: ", b"data:"),
        b"event: message\nid: 7\n" + HELLO,
        b"retry: 5\n: comment\n" + HELLO,
        b"\n\n\n" + HELLO,
        b'data: {"choices":\ndata: [{"delta": {"content": "x"}}]}\n\n',
        HELLO.replace(b"\n", b"\r"),
        HELLO.replace(b"\n", b"\r\n"),
        HELLO.rstrip(b"\n") + b"\n\r\n",
        HELLO.rstrip(b"\n"),  # ends without its blank line
        b"database: x\n" + HELLO,
    ],
)
def test_all_spellings_of_an_event_are_read(text: bytes) -> None:
    out, found = run([text], strip=True)
    assert out == text
    assert found[:2] == (1, True)
    assert found[6] == 0


def test_what_cannot_be_read_is_relayed_and_counted() -> None:
    odd = b'data: [1]\n\ndata: nonsense\n\ndata: {"choices": 3}\n\ndata: {' + b'"a":[' * 5000 + b"\n\n"
    out, found = run([odd + HELLO], strip=True)
    assert out == odd + HELLO
    assert (found[0], found[1], found[6]) == (5, True, 4)


PARTS = st.sampled_from(
    [
        ROLE,
        HELLO,
        STOP,
        USAGE,
        BESIDE,
        DONE,
        b": ping\n\n",
        b"\n",
        b"event: x\n\n",
        b"data: broken\n\n",
        event({"choices": [{"delta": {"content": "long" * 30}}]}),
        USAGE.rstrip(b"\n"),
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@settings(max_examples=400)
@given(
    st.lists(st.tuples(PARTS, ENDS), max_size=10),
    st.lists(st.integers(0, 2000), max_size=12),
    st.booleans(),
)
def test_split_anywhere_gives_the_same(
    parts: list[tuple[bytes, bytes]], cuts: list[int], strip: bool
) -> None:
    stream = b"".join([part.replace(b"\n", end) for part, end in parts])
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in itertools.pairwise(places)]
    limit = sse.MAX_EVENT
    sse.MAX_EVENT = 150  # so that some events are above it
    try:
        whole = run([stream], strip=strip)
        assert run(chunks, strip=strip) == whole
        assert run([stream[i : i + 1] for i in range(len(stream))], strip=strip) == whole
    finally:
        sse.MAX_EVENT = limit
    if not strip:
        assert whole[0] == stream


def test_memory_is_bounded() -> None:
    scanner = ChatScanner(strip_usage=True)
    scanner.feed(STOP)
    out = scanner.feed(b"data: ")
    block = b"x" * 65_536
    for _ in range(40):
        out += scanner.feed(block)
        assert len(scanner._pending) <= sse.MAX_EVENT + len(block)
    out += scanner.feed(b"\n\n" + USAGE + DONE) + scanner.finish()
    assert out == b"data: " + block * 40 + b"\n\n" + DONE
    assert scanner.unread == 1
    assert scanner.usage == Usage(prompt=3, completion=4)
