"""Providers: where requests go, when one is left alone, what tokens cost."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from gateway.settings.base import Amount, HeaderName, HeaderValue, NamePattern, Seconds, Section

OWN_HEADERS = frozenset(
    ("host", "content-length", "content-encoding", "transfer-encoding", "connection", "expect", "upgrade")
)


class Upstream(Section):
    name: NamePattern = "default"
    """Name of the provider in logs and metrics."""
    base_url: str
    """Where requests go, for example https://api.openai.com/v1: stands for the /v1 of our own routes."""
    api_key: HeaderValue | None = Field(default=None, repr=False)
    """The gateway's own key, sent instead of the client's; without it the client's passes through."""
    key_header: HeaderName = "authorization"
    """Header that carries the key, for example api-key (Azure) or x-api-key; in authorization it is a bearer
    token."""
    priority: Annotated[int, Field(ge=0, le=100)] = 0
    """Lower ones are used first; higher ones when those are down, resting or full."""
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Share of the requests among upstreams of one priority."""
    models: tuple[str, ...] = ()
    """Models it serves, * for any characters; empty: all, also requests that name none."""
    routes: tuple[str, ...] = ()
    """Routes it serves, without /v1, * for any characters, for example /chat/*; empty: all."""
    paths: dict[str, str] = {}
    """Route (without /v1, * for the rest) → path after base_url, first that fits; {model} stands for the
    request's model and * for the rest."""
    query: dict[str, str] = {}
    """Query parameters set on every request, for example api-version."""
    headers: dict[HeaderName, HeaderValue] = Field(default={}, repr=False)
    """Headers set on every request."""
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    """Requests of one worker to it at a time, instead of limits.upstream_connections; as many again may wait
    for timeouts.queue, then 503 with retry-after."""
    ca_file: str | None = None
    """PEM file of the authorities that sign the provider's certificate; default: the system's."""
    verify_tls: bool = True
    """Check the provider's certificate; switch off for tests only."""

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not re.match(r"https?://[^/\s?#@]+(/[^\s?#]*)?$", value):
            raise ValueError("must be http://host[:port][/path] or https://… without query or credentials")
        return value.rstrip("/")

    @field_validator("headers")
    @classmethod
    def _headers_are_free(cls, value: dict[str, str]) -> dict[str, str]:
        taken = sorted(OWN_HEADERS & {name.lower() for name in value})
        if taken:
            raise ValueError(f"{', '.join(taken)} cannot be set: the gateway writes it")
        return value

    @field_validator("paths")
    @classmethod
    def _paths_are_paths(cls, value: dict[str, str]) -> dict[str, str]:
        for route, path in value.items():
            if not re.match(r"/[^\s?#*]*\*?$", route):
                raise ValueError(f"route {route!r} must start with / and may end with *")
            if not re.match(r"/[^\s?#]*$", path) or path.count("*") > route.count("*"):
                raise ValueError(f"path {path!r} must start with /; its * stands for that of the route")
            if set(re.findall(r"\{(.*?)\}", path)) - {"model"}:
                raise ValueError(f"path {path!r}: only {{model}} is known in braces")
        return value


class Breaker(Section):
    """When an upstream is left alone, by each worker for itself. Counts only where there is another one."""

    window: Seconds = 10.0
    """Failures are counted over the last so many s."""
    calls: Annotated[int, Field(ge=1)] = 10
    """Fewer calls in the window open nothing by their share of failures."""
    failures: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of failed or slow calls in the window that opens."""
    consecutive: Annotated[int, Field(ge=1)] = 5
    """So many failures in a row open at once."""
    slow_after: Seconds | None = None
    """A call without a first byte after so many s counts as failed; nothing: only timeouts do, because an
    answer that is not streamed takes as long as the model thinks."""
    pause: Seconds = 2.0
    """An open breaker looks again after so many s, twice as many after each look in vain."""
    pause_most: Seconds = 30.0
    """The longest of these pauses, s."""
    probes: Annotated[int, Field(ge=1)] = 2
    """Calls that must succeed, one a second, before an upstream that answers again gets its share."""
    retry_after_most: Seconds = 300.0
    """A provider's retry-after counts up to so many s."""


class Price(Section):
    """USD for a million tokens."""

    input: Amount
    """Tokens of the request."""
    output: Amount
    """Tokens of the answer, reasoning among them."""
    cache_read: Amount | None = None
    """Request tokens that the provider had cached; default: as input."""
    cache_write: Amount | None = None
    """Request tokens that the provider put into its cache; default: as input."""
    audio_in: Amount | None = None
    """Audio tokens of the request; default: as input."""
    audio_out: Amount | None = None
    """Audio tokens of the answer; default: as output."""
