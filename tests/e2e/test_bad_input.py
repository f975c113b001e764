"""Bad input: a clear answer in OpenAI's shape, nothing forwarded, the worker alive."""

import asyncio
import gzip
import json
from typing import Any

import pytest

from tests.support.gateway import Gateway, RawClient, ask_once

GOOD = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
DEEP = b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

BODIES: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("not JSON", b"{oops", {}, 400, "invalid_json"),
    ("empty", b"", {}, 400, "invalid_json"),
    ("not an object", b"[1]", {}, 400, "invalid_value"),
    ("bad UTF-8", b'{"messages":[{"role":"user","content":"\xff"}]}', {}, 400, "invalid_json"),
    ("deep nesting", DEEP, {}, 400, "invalid_json"),
    ("messages not a list", b'{"messages":{}}', {}, 400, "invalid_value"),
    ("a message not an object", b'{"messages":["hi"]}', {}, 400, "invalid_value"),
    ("stream not a flag", b'{"messages":[],"stream":"yes"}', {}, 400, "invalid_value"),
    ("model not a string", b'{"messages":[],"model":7}', {}, 400, "invalid_value"),
    ("a key twice", b'{"messages":[],"messages":[]}', {}, 400, "duplicate_key"),
    ("unknown prompt", GOOD, {"x-prompt": "nobody"}, 404, "prompt_not_found"),
    ("prompt not a name", GOOD, {"x-prompt": "No Body"}, 400, "invalid_value"),
    ("version not allowed", GOOD, {"x-prompt": "greeter/1"}, 403, "version_not_allowed"),
    ("unknown label", GOOD, {"x-prompt": "greeter@nowhere"}, 404, "version_not_found"),
    ("prompt of the wrong type", b'{"prompt":7,"messages":[]}', {}, 400, "invalid_value"),
    ("unknown variable", GOOD, {"x-prompt-variables": '{"what":1}'}, 400, "invalid_variables"),
    ("mistyped variable", GOOD, {"x-prompt-variables": '{"tone":1}'}, 400, "invalid_variables"),
    ("variable not in its enum", GOOD, {"x-prompt-variables": '{"tone":"hot"}'}, 400, "invalid_variables"),
    ("variables not JSON", GOOD, {"x-prompt-variables": "%%%"}, 400, "invalid_variables"),
    ("unknown encoding", GOOD, {"content-encoding": "br"}, 415, "unsupported_content_encoding"),
    ("damaged gzip", gzip.compress(GOOD)[:-9], {"content-encoding": "gzip"}, 400, "malformed_request"),
    ("long header", GOOD, {"x-long": "a" * 70_000}, 431, "headers_too_large"),
]


def error_of(body: bytes) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert len(error["message"]) > 10
    return error


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES]
)
async def test_it_is_refused_and_nothing_is_forwarded(
    gateway: Gateway, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    before = gateway.call("/__sim/stats", port=gateway.simulator)["requests"]
    answer = await ask_once(gateway.port, body, headers)
    assert (answer.status, error_of(answer.body)["code"]) == (status, code)
    assert gateway.call("/__sim/stats", port=gateway.simulator)["requests"] == before
    assert (await ask_once(gateway.port, GOOD)).status == 200


async def test_a_body_above_the_limit_is_refused_at_its_head(gateway: Gateway) -> None:
    client = await RawClient.connect(gateway.port)
    client.writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\ncontent-length: 99999999999\r\n\r\n"
    )
    answer = await client.answer(0.0)
    assert (answer.status, error_of(answer.body)["code"]) == (413, "body_too_large")
    await client.close()


async def test_a_gzip_bomb_is_refused(gateway: Gateway) -> None:
    bomb = gzip.compress(b'{"messages":[],"x":"' + b"a" * 80_000_000 + b'"}')
    answer = await ask_once(gateway.port, bomb, {"content-encoding": "gzip"})
    assert (answer.status, error_of(answer.body)["code"]) == (413, "body_too_large")


async def test_a_truncated_upload_reaches_nobody(gateway: Gateway) -> None:
    before = gateway.call("/__sim/stats", port=gateway.simulator)["requests"]
    client = await RawClient.connect(gateway.port)
    client.writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\ncontent-length: 500\r\n\r\n" + GOOD
    )
    await client.writer.drain()
    client.writer.write_eof()
    assert await asyncio.wait_for(client.reader.read(), 10) == b""
    await client.close()
    assert gateway.call("/__sim/stats", port=gateway.simulator)["requests"] == before
    assert (await ask_once(gateway.port, GOOD)).status == 200


async def test_a_gzip_body_is_read(gateway: Gateway) -> None:
    assert (await ask_once(gateway.port, gzip.compress(GOOD), {"content-encoding": "gzip"})).status == 200


async def test_a_path_outside_the_api_is_a_clear_404(gateway: Gateway) -> None:
    client = await RawClient.connect(gateway.port)
    answer = await client.post(GOOD, path="/v2/chat/completions")
    assert (answer.status, error_of(answer.body)["code"]) == (404, "not_found")
    await client.close()
