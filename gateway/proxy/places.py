"""Where upstreams are, by the words of OpenTelemetry's GenAI conventions."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.settings import Upstream

PROVIDERS = {  # well-known values of gen_ai.provider.name, by the end of the host's name
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "api.anthropic.com": "anthropic",
    "amazonaws.com": "aws.bedrock",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "api.mistral.ai": "mistral_ai",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "x_ai",
    "api.cohere.com": "cohere",
    "api.perplexity.ai": "perplexity",
}


class Place(NamedTuple):
    """Where an upstream is."""

    provider: str
    host: str
    port: int


def place_of(upstream: Upstream) -> Place:
    url = urlsplit(upstream.base_url)
    host = url.hostname or ""
    provider = next((name for end, name in PROVIDERS.items() if host.endswith(end)), upstream.name)
    return Place(provider, host, url.port or (443 if url.scheme == "https" else 80))
