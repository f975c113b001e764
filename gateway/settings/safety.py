"""Safety beside the built-in checks: own rules, a moderation endpoint, cases made of what fails."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.settings.base import NamePattern, Seconds, Section


class SafetyRule(Section):
    """An own expression that answers are searched for; what it finds is the flag `rule:name`."""

    name: NamePattern
    """Of the flag."""
    pattern: Annotated[str, Field(min_length=1, max_length=2000)]
    """RE2, searched for in the first 32 KiB of an answer (`(?i)` for any case)."""
    severe: bool = False
    """A severe flag, `severe:name`: docs/safety.md."""


class Moderation(Section):
    """An endpoint in the form of OpenAI's `/v1/moderations`, asked about answers of judged sessions."""

    base_url: str
    """Of the API; `/moderations` is added."""
    model: str | None = None
    """Its model, where the endpoint has several."""
    api_key: str = Field(default="", repr=False)
    """Its key; empty for a server that asks for none."""
    timeout: Seconds = 10.0
    """Limit of one call, s; without an answer there is no flag."""
    severe: tuple[str, ...] = ("sexual/minors", "self-harm/instructions", "illicit/violent")
    """Categories that are severe."""
    ignore: tuple[str, ...] = ()
    """Categories that are no flag."""


class SafetySettings(Section):
    """What is looked for in answers of measured sessions, beside `evidence.flags`."""

    rules: Annotated[tuple[SafetyRule, ...], Field(max_length=50)] = ()
    """Own rules."""
    moderation: Moderation | None = None
    """Without it no moderation endpoint is asked."""
    cases_per_prompt: Annotated[int, Field(ge=0, le=10_000)] = 200
    """Answers of canaries that failed, kept redacted until a person has looked at them; 0: none."""
    cases_kept: Seconds = 86_400.0
    """Their words so long, s; of an accepted case what the user said is kept."""
    case_score: Annotated[float, Field(ge=0, le=1)] = 0.4
    """An answer of a canary whose score is below it is such a case."""
