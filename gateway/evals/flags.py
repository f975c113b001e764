"""Safety flags of one answer: what the provider says and what can be seen without a model, as one list.

    filtered     the provider's filter, or its model's own word for a refusal (finish reason, `refusal`)
    refusal      the answer begins as refusals do
    personal     personal data that the user did not send
    secret       a key, token or password
    leak         the prompt's own instructions
    profanity    a word of the list
    loop         it ends in the same words over and over
    schema       no JSON where the prompt asks for it
    rule:NAME    an own expression of the configuration; severe:NAME a severe one

The first `MOST` characters of an answer are looked at. Only names leave this module, never text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
import re2

from gateway.domain.safety import RULE, SEVERE_RULE
from gateway.errors import InvalidValue
from gateway.evals import detect

MOST = 32 * 1024
FLAGS = ("filtered", "refusal", "personal", "secret", "leak", "profanity", "loop", "schema")
FILTERED = frozenset(
    {
        "refusal",  # a field of its own in OpenAI's answers
        "content_filter",  # OpenAI, Azure; Anthropic's `refusal` in our words
        "content_filtered",
        "guardrail_intervened",  # Bedrock
        "safety",  # Gemini, from here on
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "image_safety",
    }
)


class Rule(NamedTuple):
    """An own expression (RE2, bytes of UTF-8) and the flag that it raises."""

    flag: str
    pattern: Any


def own_rule(name: str, expression: str, *, severe: bool) -> Rule:
    """Raises `InvalidValue` for what is no RE2 expression."""
    try:
        return Rule((SEVERE_RULE if severe else RULE) + name, re2.compile(expression.encode()))
    except re2.error as error:
        raise InvalidValue(
            f"rule {name}: {expression!r} is no RE2 expression: {error}", param=name
        ) from error


def flags_of(
    answer: str,
    question: str | Callable[[], str],
    *,
    probes: detect.Probes | None = None,
    finish_reason: str | None = None,
    wants_json: bool = False,
    rules: Iterable[Rule] = (),
) -> tuple[str, ...]:
    """In order of `FLAGS`, then those of `rules`. `question`: what the user sent, or what tells it; `probes`
    of the prompt's instructions.

    >>> flags_of("I cannot help with that.", "", finish_reason="stop")
    ('refusal',)
    """
    text = answer[:MOST]
    raw = text.encode("utf-8", "replace")
    notable = detect.notable(raw)
    found = []
    if finish_reason is not None and finish_reason.lower() in FILTERED:
        found.append("filtered")
    if notable and detect.refusal(text):
        found.append("refusal")
    if notable and any(detect.personal(text)) and any(detect.personal(text, _told(question))):
        found.append("personal")
    suspicious = notable and detect.suspicious(text)
    if suspicious and detect.secret(text):
        found.append("secret")
    if probes is not None and probes.leak(text):
        found.append("leak")
    if suspicious and detect.profanity(text):
        found.append("profanity")
    if detect.loops(text):
        found.append("loop")
    if wants_json and finish_reason == "stop" and len(answer) <= MOST and text and not _is_json(text):
        found.append("schema")
    if rules:
        found += [rule.flag for rule in rules if rule.pattern.search(raw) is not None]
    return tuple(found)


def _told(question: str | Callable[[], str]) -> str:
    return question if isinstance(question, str) else question()


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True
