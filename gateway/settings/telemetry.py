"""Where traces go, and what logs look like."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from gateway.settings.base import HeaderName, HeaderValue, Seconds, Section


class Logs(Section):
    """Lines on standard error. They never hold a message's text."""

    format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON object each."""
    access: bool = False
    """A line for each managed request, at its end: prompt, version, arm, outcome, status, seconds, ids."""


class Traces(Section):
    """Spans of managed requests, to an OpenTelemetry collector. They never hold a message's text."""

    endpoint: str | None = None
    """The collector, for example http://127.0.0.1:4318, or :4317 with `protocol: grpc`; nothing: no
    traces."""
    protocol: Literal["http", "grpc"] = "http"
    """OTLP by HTTP (protobuf, /v1/traces) or gRPC."""
    headers: dict[HeaderName, HeaderValue] = Field(default={}, repr=False)
    """Headers (gRPC: metadata) of each export, for a collector that wants a key."""
    sample: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the requests that begin a trace; one that comes with a `traceparent` follows its flag."""
    errors: bool = True
    """Failed requests have a span also where they were not sampled."""
    flags: bool = True
    """Answers with a safety flag (evidence.flags) have one too."""
    conventions: Literal["v1.41", "latest"] = "v1.41"
    """Names of the OpenTelemetry GenAI conventions; after 1.41 what is written to a cache is `cache_write`
    instead of `cache_creation`."""
    service_name: str = "prompt-canary-gateway"
    """`service.name` of the spans."""
    interval: Seconds = 2.0
    """Between two exports, s."""
    timeout: Seconds = 5.0
    """Limit of one export, s."""
    batch: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Spans of one export."""
    queue: Annotated[int, Field(ge=1)] = 2048
    """Spans that wait in one worker; more are dropped and counted."""

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/\s?#@]+(/[^\s?#]*)?$", value):
            raise ValueError("must be http://host[:port] or https://host[:port]")
        return value
