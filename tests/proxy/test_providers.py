"""config/providers.yaml: what each provider sees of a request, by configuration alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.settings import Upstream, load_settings
from tests.support.providers import Provider, providers_stage
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import chat_body

CONFIG = Path(__file__).parents[2] / "config" / "providers.yaml"
KEYS = {
    f"{name}_API_KEY": f"sk-{name}"
    for name in ("OPENAI", "AZURE_OPENAI", "OPENROUTER", "GEMINI", "ANTHROPIC")
}


def upstreams() -> dict[str, Upstream]:
    settings = load_settings(CONFIG.read_text(), source=CONFIG.name, environment=KEYS)
    return {upstream.name: upstream for upstream in settings.upstreams}


def fields_of(name: str) -> dict[str, Any]:
    """As configured, but for the host."""
    upstream = upstreams()[name]
    return {**upstream.model_dump(mode="json"), "base_url": urlsplit(upstream.base_url).path}


@pytest.mark.parametrize(
    ("name", "model", "line", "headers"),
    [
        ("openai", "gpt-4o", "/v1/chat/completions", {"authorization": "Bearer sk-OPENAI"}),
        (
            "azure",
            "gpt-4o",
            "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
            {"api-key": "sk-AZURE_OPENAI"},
        ),
        ("azure-v1", "gpt-4o", "/openai/v1/chat/completions", {"api-key": "sk-AZURE_OPENAI"}),
        ("vllm-a", "meta-llama/Llama-3.3-70B", "/v1/chat/completions", {"authorization": "Bearer theirs"}),
        ("ollama", "llama3.2", "/v1/chat/completions", {"authorization": "Bearer theirs"}),
        (
            "openrouter",
            "deepseek/deepseek-chat",
            "/api/v1/chat/completions",
            {
                "authorization": "Bearer sk-OPENROUTER",
                "http-referer": "https://example.com",
                "x-title": "My application",
            },
        ),
        (
            "gemini",
            "gemini-2.5-flash",
            "/v1beta/openai/chat/completions",
            {"authorization": "Bearer sk-GEMINI"},
        ),
        ("anthropic", "claude-sonnet-4-5", "/v1/chat/completions", {"authorization": "Bearer sk-ANTHROPIC"}),
    ],
)
@pytest.mark.parametrize("managed", [True, False])
def test_what_the_provider_sees(
    tmp_path: Path, name: str, model: str, line: str, headers: Mapping[str, str], managed: bool
) -> None:
    @on_uvloop
    async def run() -> None:
        provider = Provider()
        async with providers_stage(tmp_path, [provider], [fields_of(name)]) as stage:
            await stage.deploy()
            sent = {"authorization": "Bearer theirs"} | ({"x-prompt": "greeter"} if managed else {})
            reply = await stage.ask(chat_body(model=model), sent)
            assert reply.status == 200, reply.body
            assert provider.line == f"POST {line} HTTP/1.1"
            seen = provider.headers
            credentials = ("authorization", "api-key", "x-api-key", "http-referer", "x-title")
            assert {key: seen[key] for key in credentials if key in seen} == headers
            assert seen["host"] == f"127.0.0.1:{provider.port}"
            assert "x-prompt" not in seen
            body = json.loads(provider.seen[-1].body)
            assert body["model"] == model
            assert ("first one" in json.dumps(body["messages"])) is managed
            await stage.assert_empty()

    run()


@on_uvloop
async def test_the_model_decides_who_serves_whatever_the_route(tmp_path: Path) -> None:
    names = ["azure", "vllm-a", "gemini"]
    providers = [Provider() for _ in names]
    async with providers_stage(tmp_path, providers, [fields_of(name) for name in names]) as stage:
        azure, vllm, gemini = providers
        embedding = json.dumps({"model": "text-embedding-3-small", "input": "x"}).encode()
        assert (await stage.ask(embedding, path="/v1/embeddings?a=1")).status == 200
        deployment = "/openai/deployments/text-embedding-3-small/embeddings"
        assert azure.line == f"POST {deployment}?a=1&api-version=2024-10-21 HTTP/1.1"
        assert azure.seen[-1].body == embedding
        assert (await stage.ask(chat_body(model="meta-llama/x"))).status == 200
        assert (await stage.ask(chat_body(model="gemini-x"), chunked=True)).status == 200
        assert (len(azure.seen), len(vllm.seen), len(gemini.seen)) == (1, 1, 1)
        unknown = await stage.ask(chat_body(model="none-of-them"))
        assert (unknown.status, unknown.error["code"], unknown.error["param"]) == (404, "not_found", "model")
        unread = await stage.ask(b"{", path="/v1/embeddings")
        assert unread.status == 404
        await stage.assert_empty()


@on_uvloop
async def test_the_version_s_model_counts_where_it_sets_one(tmp_path: Path) -> None:
    providers = [Provider(), Provider()]
    given = [{"models": ["client-*"]}, {"models": ["version-*"]}]
    async with providers_stage(tmp_path, providers, given) as stage:
        await stage.deploy(front="model: {id: version-model}\n")
        reply = await stage.ask(chat_body(model="client-model"), {"x-prompt": "greeter"})
        assert (reply.status, len(providers[0].seen), len(providers[1].seen)) == (200, 0, 1)
        assert json.loads(providers[1].seen[-1].body)["model"] == "version-model"
