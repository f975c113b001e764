"""Headers: exactly what concerns one connection, or is ours, stays behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedRequest
from gateway.wire.headers import (
    HOP_BY_HOP,
    OURS,
    RESPONSE_OURS,
    prompt_headers,
    request_block,
    response_headers,
)

DROPPED = HOP_BY_HOP | OURS | {b"host", b"expect"}
TOKEN = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map(str.encode)
NAMES = TOKEN | st.sampled_from(sorted(DROPPED | {b"authorization", b"accept-encoding", b"content-encoding"}))
VALUES = st.binary(max_size=12).map(lambda v: bytes(b for b in v if b not in b"\r\n\0").strip(b" \t"))


def parsed(block: bytes) -> list[tuple[bytes, bytes]]:
    assert block.endswith(b"\r\n")
    pairs = [line.partition(b": ") for line in block[:-2].split(b"\r\n")]
    return [(name, value) for name, _, value in pairs]


@given(
    st.lists(st.tuples(NAMES, VALUES)),
    st.lists(TOKEN, max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_a_request_loses_exactly_what_it_should(
    headers: list[tuple[bytes, bytes]], named: list[bytes], managed: bool, replaced: bool
) -> None:
    headers = [header for header in headers if header[0] != b"connection"]
    sent = headers + [(b"connection", b" , ".join(name.upper() for name in named))]
    gone = DROPPED | set(named)
    if managed:
        gone |= {b"accept-encoding", b"content-encoding"}
    added, dropped = ([(b"authorization", b"Bearer x")], {b"authorization"}) if replaced else ([], set())
    gone |= dropped
    expected = [(b"host", b"api")] + [header for header in headers if header[0] not in gone]
    expected += [(b"accept-encoding", b"identity")] if managed else []
    expected += added
    block = request_block(sent, b"api", added=added, dropped=frozenset(dropped), managed=managed)
    assert parsed(block) == expected


def test_what_clients_send_is_forwarded() -> None:
    kept = [
        (b"authorization", b"Bearer sk"),
        (b"x-stainless-retry-count", b"1"),
        (b"openai-organization", b"o"),
        (b"openai-project", b"p"),
        (b"openai-beta", b"b"),
        (b"anthropic-version", b"v"),
        (b"idempotency-key", b"i"),
        (b"traceparent", b"t"),
        (b"cookie", b"a"),
        (b"cookie", b"b"),
        (b"accept-encoding", b"gzip"),
        (b"content-encoding", b"gzip"),
    ]
    sent = [
        *kept,
        (b"connection", b"keep-alive"),
        (b"keep-alive", b"5"),
        (b"te", b"trailers"),
        (b"x-prompt", b"a"),
    ]
    assert parsed(request_block(sent, b"api")) == [(b"host", b"api"), *kept]


def test_a_named_header_of_ours_cannot_be_taken_out() -> None:
    named = [(b"connection", b"host, authorization, accept-encoding")]
    block = request_block(named, b"api", added=[(b"authorization", b"B")], managed=True)
    assert parsed(block) == [(b"host", b"api"), (b"accept-encoding", b"identity"), (b"authorization", b"B")]


@pytest.mark.parametrize("bad", [b"a\r\nx: y", b"a\nb", b"a\rb", b"a\0b", b"\r", b"\n"])
def test_no_line_can_be_broken(bad: bytes) -> None:
    with pytest.raises(MalformedRequest):
        request_block([(b"x-a", bad)], b"api")
    with pytest.raises(MalformedRequest):
        request_block([(bad, b"a")], b"api", managed=True)
    with pytest.raises(MalformedRequest):
        request_block([], bad)
    with pytest.raises(MalformedRequest):
        request_block([], b"api", added=[(b"authorization", bad)])


UPSTREAM = [
    (b"date", b"now"),
    (b"content-type", b"application/json"),
    (b"content-length", b"3"),
    (b"connection", b"close, x-internal"),
    (b"x-internal", b"1"),
    (b"x-request-id", b"req_1"),
    (b"x-prompt-arm", b"forged"),
    (b"cache-control", b"max-age=1"),
    (b"retry-after", b"2"),
    (b"x-ratelimit-remaining-tokens", b"5"),
    (b"set-cookie", b"a"),
    (b"set-cookie", b"b"),
]


def test_a_managed_response_tells_of_itself() -> None:
    ours = prompt_headers("bot", 3, "canary", "r1", "pinned", b"pc1.x")
    assert dict(ours) == {
        b"x-prompt-name": b"bot",
        b"x-prompt-version": b"3",
        b"x-prompt-arm": b"canary",
        b"x-prompt-rollout": b"r1",
        b"x-prompt-reason": b"pinned",
        b"x-request-id": b"pc1.x",
    }
    assert response_headers(UPSTREAM, ours, managed=True) == [
        (b"date", b"now"),
        (b"content-type", b"application/json"),
        (b"x-upstream-request-id", b"req_1"),
        (b"cache-control", b"max-age=1"),
        (b"retry-after", b"2"),
        (b"x-ratelimit-remaining-tokens", b"5"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        *ours,
    ]
    assert b"x-prompt-rollout" not in dict(prompt_headers("bot", 3, "stable", "", "live", b"x"))
    assert set(dict(ours)) - {b"x-request-id"} < RESPONSE_OURS


def test_an_event_stream_is_not_to_be_buffered() -> None:
    headers = [(b"content-type", b"Text/Event-Stream; charset=utf-8"), (b"cache-control", b"max-age=1")]
    found = response_headers(headers, [], managed=True)
    assert found == [headers[0], (b"x-accel-buffering", b"no"), (b"cache-control", b"no-cache")]
    assert response_headers(headers, [], managed=False) == headers


def test_an_unmanaged_response_loses_hop_by_hop_only() -> None:
    gone = (b"content-length", b"connection", b"x-internal")
    expected = [header for header in UPSTREAM if header[0] not in gone]
    assert response_headers(UPSTREAM, [], managed=False) == expected
