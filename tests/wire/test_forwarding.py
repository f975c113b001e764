"""How requests are put for one provider: target, query, headers, which it serves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidValue, MalformedRequest
from gateway.settings import Upstream
from gateway.wire.forwarding import Forwarding, model_of
from gateway.wire.headers import request_block
from gateway.wire.splice import split

AZURE = {"/chat/completions": "/openai/deployments/{model}/chat/completions", "/m/*": "/x/*/{model}"}


def forwarding(*, keyed: bool = False, **fields: Any) -> Forwarding:
    given = {"base_url": "https://host:444/api", **fields}
    return Forwarding(Upstream.model_validate(given), keyed=keyed)


def sent(made: Forwarding, *headers: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    lines = made.block(list(headers), managed=False).split(b"\r\n")[:-1]
    pairs = [line.partition(b": ")[::2] for line in lines]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        (b"/v1/models", b"", b"/api/models"),
        (b"/v1/files", b"purpose=a%20b", b"/api/files?purpose=a%20b"),
        (b"/v1/", b"", b"/api/"),
    ],
)
def test_the_base_path_stands_for_our_v1(path: bytes, query: bytes, target: bytes) -> None:
    assert forwarding().target(path, query, None) == target


@pytest.mark.parametrize(
    ("path", "model", "target"),
    [
        (b"/v1/chat/completions", "gpt", b"/api/openai/deployments/gpt/chat/completions"),
        (
            b"/v1/chat/completions",
            "a/../b?c#d%",
            b"/api/openai/deployments/a%2F..%2Fb%3Fc%23d%25/chat/completions",
        ),
        (b"/v1/m/n/o", "a*{model}", b"/api/x/n/o/a%2A%7Bmodel%7D"),
        (b"/v1/embeddings", "gpt", b"/api/embeddings"),
    ],
)
def test_a_path_can_hold_the_model(path: bytes, model: str, target: bytes) -> None:
    assert forwarding(paths=AZURE).target(path, b"", model) == target


@given(st.text(max_size=20))
def test_no_model_leaves_its_segment(model: str) -> None:
    model = model.encode("utf-8", "replace").decode()
    try:
        target = forwarding(paths=AZURE).target(b"/v1/chat/completions", b"", model)
    except InvalidValue:
        assert model in ("", ".", "..")
        return
    assert target.count(b"/") == 6
    assert b"?" not in target
    assert target.isascii()


@pytest.mark.parametrize("model", [None, "", ".", ".."])
def test_a_path_that_needs_a_model_says_so(model: str | None) -> None:
    with pytest.raises(InvalidValue) as caught:
        forwarding(paths=AZURE).target(b"/v1/chat/completions", b"", model)
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", b"api-version=2024-10-21"),
        (b"a=1&b", b"a=1&b&api-version=2024-10-21"),
        (b"api-version=x&a=1&api%2Dversion=y", b"a=1&api-version=2024-10-21"),
    ],
)
def test_configured_parameters_win(query: bytes, expected: bytes) -> None:
    made = forwarding(query={"api-version": "2024-10-21"})
    assert made.target(b"/v1/models", query, None) == b"/api/models?" + expected


def test_without_a_key_the_client_s_passes() -> None:
    assert sent(forwarding(), (b"authorization", b"Bearer c"), (b"x-api-key", b"d")) == {
        b"host": b"host:444",
        b"authorization": b"Bearer c",
        b"x-api-key": b"d",
    }


@pytest.mark.parametrize("held", [True, False])
def test_a_client_s_credentials_stay_here_if_the_gateway_has_its_own_or_they_were_for_it(held: bool) -> None:
    made = forwarding(api_key="k" if held else None, keyed=not held)
    theirs = [(name, b"c") for name in (b"authorization", b"api-key", b"x-api-key", b"x-goog-api-key")]
    expected = {b"host": b"host:444", b"x-a": b"1"} | ({b"authorization": b"Bearer k"} if held else {})
    assert sent(made, *theirs, (b"x-a", b"1")) == expected


def test_a_key_goes_into_its_own_header() -> None:
    made = forwarding(api_key="k", key_header="Api-Key")
    assert sent(made, (b"authorization", b"Bearer c")) == {b"host": b"host:444", b"api-key": b"k"}


@pytest.mark.parametrize("value", [b"Bearer c", b"bearer  c"])
def test_a_client_s_bearer_token_goes_where_the_provider_wants_it(value: bytes) -> None:
    made = forwarding(key_header="api-key")
    assert sent(made, (b"authorization", value)) == {b"host": b"host:444", b"api-key": b"c"}
    assert sent(made, (b"authorization", b"Basic x"))[b"authorization"] == b"Basic x"


def test_configured_headers_replace_the_client_s() -> None:
    made = forwarding(headers={"X-Title": "ours", "anthropic-version": "2023-06-01"})
    assert sent(made, (b"x-title", b"theirs"), (b"x-other", b"1")) == {
        b"host": b"host:444",
        b"x-other": b"1",
        b"x-title": b"ours",
        b"anthropic-version": b"2023-06-01",
    }


@pytest.mark.parametrize(
    ("fields", "path", "model", "served"),
    [
        ({}, b"/v1/any", None, True),
        ({"routes": ["/chat/*", "/models"]}, b"/v1/chat/completions", "m", True),
        ({"routes": ["/chat/*", "/models"]}, b"/v1/models", None, True),
        ({"routes": ["/chat/*", "/models"]}, b"/v1/models/x", None, False),
        ({"models": ["gpt-*", "o3"]}, b"/v1/chat/completions", "gpt-4o", True),
        ({"models": ["gpt-*", "o3"]}, b"/v1/chat/completions", "o3-mini", False),
        ({"models": ["gpt-*"]}, b"/v1/files", None, False),
        ({"models": ["a.c"]}, b"/v1/chat/completions", "abc", False),
    ],
)
def test_which_requests_it_serves(
    fields: dict[str, Any], path: bytes, model: str | None, served: bool
) -> None:
    assert forwarding(**fields).serves(path, model) is served


def test_whether_the_model_must_be_known() -> None:
    assert not forwarding().wants_model(b"/v1/chat/completions")
    assert forwarding(models=["x"]).wants_model(b"/v1/anything")
    assert forwarding(paths=AZURE).wants_model(b"/v1/chat/completions")
    assert not forwarding(paths=AZURE).wants_model(b"/v1/embeddings")


@pytest.mark.parametrize(
    ("body", "model"),
    [(b'{"model": "m"}', "m"), (b'{"model": 1}', None), (b"{}", None), (b'{"model": null}', None)],
)
def test_the_model_of_a_body(body: bytes, model: str | None) -> None:
    assert model_of(split(body)) == model


NAMES = st.sampled_from(
    [b"authorization", b"connection", b"te", b"x-a", b"accept-encoding", b"host", b"x-prompt"]
)
VALUES = st.sampled_from([b"Bearer k", b"x-a, te", b"close", b"keep-alive", b"gzip", b"v"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.booleans())
def test_headers_are_put_as_if_each_were_new(headers: list[tuple[bytes, bytes]], managed: bool) -> None:
    made = forwarding(headers={"x-own": "1"})
    added, dropped = [(b"x-own", b"1")], frozenset((b"x-own",))
    expected = request_block(headers, b"host:444", added=added, dropped=dropped, managed=managed)
    for _ in range(3):
        assert made.block(headers, managed=managed) == expected


def test_a_header_that_would_end_its_line_is_refused_each_time() -> None:
    made = forwarding()
    for _ in range(3):
        with pytest.raises(MalformedRequest, match="CR, LF or NUL"):
            made.block([(b"x-a", b"a\nb")], managed=True)
