"""Who is told of rollbacks, promotions, holds, incidents and emergencies."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gateway.domain.alert import EVENTS, AlertEvent
from gateway.settings.base import NamePattern, Seconds, Section

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
Secret = Annotated[str, Field(min_length=16)]


class AlertTarget(Section):
    name: NamePattern
    """Name of the target in logs and in the delivery log."""
    kind: Literal["webhook", "slack", "pagerduty"] = "webhook"
    """What is sent: our own JSON, signed; a Slack message; a PagerDuty event (API v2)."""
    url: str = Field(default="", repr=False)
    """Where it is sent. Slack's URL is a secret: take it from the environment. PagerDuty's is known."""
    secrets: tuple[Secret, ...] = Field(default=(), repr=False)
    """Keys that a webhook is signed with, one signature each; two while one takes the other's place."""
    routing_key: str | None = Field(default=None, repr=False)
    """PagerDuty's integration key."""
    events: tuple[AlertEvent, ...] = EVENTS
    """What it is told of."""
    prompts: tuple[str, ...] = ()
    """Patterns of prompts that it is told of, * and ? as in a shell; empty: all."""

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not re.match(r"https?://[^/\s?#@]+(/[^\s#]*)?$", value):
            raise ValueError("must be http://host[:port][/path] or https://… without credentials")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> AlertTarget:
        if self.kind == "webhook" and not self.secrets:
            raise ValueError("a webhook needs secrets: who gets it must know that it is ours")
        if self.kind == "pagerduty" and not self.routing_key:
            raise ValueError("pagerduty needs routing_key")
        if self.kind != "pagerduty" and not self.url:
            raise ValueError(f"{self.kind} needs url")
        return self

    @property
    def address(self) -> str:
        return self.url or PAGERDUTY


class Alerts(Section):
    """Sent by the services process, at least once each; kept until they are delivered or given up."""

    targets: tuple[AlertTarget, ...] = ()
    """A list of sections: who is told, how, and of what."""
    timeout: Seconds = 10.0
    """For one delivery, s."""
    retry_first: Seconds = 10.0
    """Until a delivery that failed is tried again, s; doubled each time …"""
    retry_most: Seconds = 3600.0
    """… up to this."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 15
    """Then it is a dead letter: `prompt-canary alerts retry`."""

    @field_validator("targets")
    @classmethod
    def _names_differ(cls, value: tuple[AlertTarget, ...]) -> tuple[AlertTarget, ...]:
        names = [target.name for target in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]!r} is there twice")
        return value
