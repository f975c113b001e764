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


class Collector(Section):
    """Where OpenTelemetry goes."""

    endpoint: str | None = None
    """The collector, for example http://127.0.0.1:4318, or :4317 with `protocol: grpc`; nothing: none is
    told."""
    protocol: Literal["http", "grpc"] = "http"
    """OTLP by HTTP (protobuf, /v1/traces and /v1/metrics) or gRPC."""
    headers: dict[HeaderName, HeaderValue] = Field(default={}, repr=False)
    """Headers (gRPC: metadata) of each export, for a collector that wants a key."""
    conventions: Literal["v1.41", "latest"] = "v1.41"
    """Names of the OpenTelemetry GenAI conventions: those of 1.41, or what is proposed after it."""
    service_name: str = "prompt-canary-gateway"
    """`service.name` of what is exported."""
    timeout: Seconds = 5.0
    """Limit of one export, s."""

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/\s?#@]+(/[^\s?#]*)?$", value):
            raise ValueError("must be http://host[:port] or https://host[:port]")
        return value


class Metrics(Collector):
    """What /metrics shows, to an OpenTelemetry collector; /metrics is there all the same."""

    interval: Seconds = 15.0
    """Between two exports, s."""


class Traces(Collector):
    """Spans of managed requests and of what is about them, to an OpenTelemetry collector. Without `content`
    they hold no message's text."""

    sample: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the requests that begin a trace; one that comes with a `traceparent` follows its flag."""
    errors: bool = True
    """Failed requests have a span also where they were not sampled."""
    flags: bool = True
    """Answers with a safety flag (evidence.flags) have one too."""
    content: bool = False
    """Spans of sampled requests hold the messages: the version's, the client's, the answer. Personal data may
    be in them."""
    content_bytes: Annotated[int, Field(ge=1, le=1_048_576)] = 8192
    """Of each text, at most."""
    redact: tuple[str, ...] = ()
    """RE2 expressions; what they find in these texts becomes [redacted]."""
    interval: Seconds = 2.0
    """Between two exports, s."""
    batch: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Spans of one export."""
    queue: Annotated[int, Field(ge=1)] = 2048
    """Spans that wait in one worker; more are dropped and counted."""
