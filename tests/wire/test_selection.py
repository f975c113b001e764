"""Selection: body, header, path, model alias, default; each error names its field."""

import base64
import json
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.wire.selection import Selection, select, split_path
from gateway.wire.splice import split

ALIASES = {"support-model": "support-agent"}


def chosen(
    body: Any = None,
    headers: dict[bytes, bytes] | None = None,
    path: str | None = None,
    default: str | None = "fallback",
) -> Selection | None:
    return select(path, headers or {}, split(json.dumps(body or {}).encode()), ALIASES, default)


BODY = {"prompt": {"id": "a"}, "model": "support-model"}
HEADER = {b"x-prompt": b"b"}


def test_the_first_that_applies_wins() -> None:
    alias = {"model": "support-model", "prompt": None}
    assert chosen(BODY, HEADER, "c") == Selection("a", None, None, {}, "body")
    assert chosen(alias, HEADER, "c") == Selection("b", None, None, {}, "header")
    assert chosen(alias, None, "c") == Selection("c", None, None, {}, "path")
    assert chosen(alias) == Selection("support-agent", None, None, {}, "model")
    assert chosen({"model": "other"}) == Selection("fallback", None, None, {}, "default")
    assert chosen({"model": ["other"]}, default=None) is None


@pytest.mark.parametrize(
    ("value", "label", "version"),
    [(b"bot", None, None), (b" bot@live ", "live", None), (b"bot/12", None, 12)],
)
def test_the_header_names_label_or_version(value: bytes, label: str | None, version: int | None) -> None:
    assert chosen(None, {b"x-prompt": value}) == Selection("bot", label, version, {}, "header")


def test_the_body_names_version_label_and_variables() -> None:
    for version in (3, "3"):
        found = chosen({"prompt": {"id": "bot", "version": version, "variables": {"x": [1]}}})
        assert found == Selection("bot", None, 3, {"x": [1]}, "body")
    assert chosen({"prompt": {"id": "bot@live", "version": None}}) == Selection(
        "bot", "live", None, {}, "body"
    )


@pytest.mark.parametrize("form", ["json", "base64url", "padded"])
def test_variables_in_the_header(form: str) -> None:
    variables = {"name": "Zoë ??>", "n": 1}
    text = json.dumps(variables, ensure_ascii=False).encode()
    if form != "json":
        text = base64.urlsafe_b64encode(text)
    headers = {b"x-prompt-variables": text.rstrip(b"=") if form == "base64url" else text}
    assert chosen(None, headers) == Selection("fallback", None, None, variables, "default")
    assert chosen({"prompt": {"id": "a"}}, headers) == Selection("a", None, None, variables, "body")
    assert chosen({"prompt": {"id": "a", "variables": {}}}, headers) == Selection("a", None, None, {}, "body")


@pytest.mark.parametrize(
    ("body", "headers", "param", "code"),
    [
        ({"prompt": "bot"}, {}, "prompt", "invalid_value"),
        ({"prompt": {}}, {}, "prompt", "invalid_value"),
        ({"prompt": {"id": 1}}, {}, "prompt", "invalid_value"),
        ({"prompt": {"id": "a", "verison": 1}}, {}, "prompt", "invalid_value"),
        ({"prompt": {"id": "a", "variables": []}}, {}, "prompt", "invalid_value"),
        ({"prompt": {"id": "Bot"}}, {}, "prompt.id", "invalid_value"),
        ({"prompt": {"id": "bot", "version": 0}}, {}, "prompt.version", "invalid_value"),
        ({"prompt": {"id": "bot", "version": "live"}}, {}, "prompt.version", "invalid_value"),
        ({"prompt": {"id": "bot", "version": "9" * 5000}}, {}, "prompt.version", "invalid_value"),
        ({"prompt": {"id": "bot/1", "version": 1}}, {}, "prompt.version", "invalid_value"),
        ({}, {b"x-prompt": b""}, "x-prompt", "invalid_value"),
        ({}, {b"x-prompt": b"a b"}, "x-prompt", "invalid_value"),
        ({}, {b"x-prompt": b"b\xc3\xb6t"}, "x-prompt", "invalid_value"),
        ({}, {b"x-prompt": b"bot@"}, "x-prompt", "invalid_value"),
        ({}, {b"x-prompt": b"bot/-1"}, "x-prompt", "invalid_value"),
        ({}, {b"x-prompt": b"bot/1/2"}, "x-prompt", "invalid_value"),
        ({}, {b"x-prompt": b"bot/\xb2"}, "x-prompt", "invalid_value"),
        ({}, {b"x-prompt-variables": b"{"}, "x-prompt-variables", "invalid_variables"),
        ({}, {b"x-prompt-variables": b"!!"}, "x-prompt-variables", "invalid_variables"),
        ({}, {b"x-prompt-variables": b"WzFd"}, "x-prompt-variables", "invalid_variables"),
        ({}, {b"x-prompt-variables": b'{"a":"\xff"}'}, "x-prompt-variables", "invalid_variables"),
        ({}, {b"x-prompt-variables": b'{"a":' + b"[" * 5000}, "x-prompt-variables", "invalid_variables"),
    ],
)
def test_what_is_wrong_is_said(body: Any, headers: dict[bytes, bytes], param: str, code: str) -> None:
    with pytest.raises(GatewayError) as caught:
        chosen(body, headers)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)
    assert len(caught.value.message) < 300


def test_paths() -> None:
    assert split_path(b"/v1/chat/completions") == (None, b"/v1/chat/completions")
    assert split_path(b"/p/bot-1.x/v1/chat/completions") == ("bot-1.x", b"/v1/chat/completions")
    assert split_path(b"/p/bot/") == ("bot", b"/")
    for path in (
        b"/p/",
        b"/p/bot",
        b"/p//v1",
        b"/p/Bot/v1",
        b"/p/../v1",
        b"/p/b%6ft/v1",
        b"/p/" + b"x" * 65 + b"/v1",
    ):
        with pytest.raises(GatewayError) as caught:
            split_path(path)
        assert caught.value.param == "path"
