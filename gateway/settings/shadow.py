"""The shadow stage of a policy: copies of stable requests, asked again of the candidate."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.settings.base import KIB, MIB, Amount, HeaderValue, Seconds, Section


class ShadowSettings(Section):
    """Pairs are judged by `judge`, without which a policy may have no shadow stage (docs/shadow.md)."""

    base_url: str | None = None
    """Where copies are asked; default: the upstreams, the first by priority that serves route and model."""
    api_key: HeaderValue | None = Field(default=None, repr=False)
    """Its key; default: the upstream's. Clients' own keys are not kept, so a copy is never asked with one."""
    per_minute: Annotated[float, Field(gt=0, le=6000)] = 4.0
    """Requests of a prompt that one worker hands on in a minute, at most."""
    request_bytes: Annotated[int, Field(ge=1024, le=4 * MIB)] = 256 * KIB
    """Larger requests are not copied."""
    timeout: Seconds = 90.0
    """Limit of one answer, s; a pair without one is missing."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    """Calls for one answer while the provider fails."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    """Pairs under way at once in one process."""
    usd_per_day: Amount = 10.0
    """Spent on copies and on judging pairs in a day (UTC) at most; 0: no limit. From half of a limit on, ever
    fewer pairs are taken."""
    usd_per_rollout: Amount = 10.0
    """The same for one rollout."""
