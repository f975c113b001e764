"""Tokens by kind, from the usage object of a chat completion or a response.

Providers agree on the totals and differ in the details; the names of all of them are here and nowhere else.
`prompt` includes `cached` and `cache_write` where the provider says so (OpenAI does); prices are for others.
"""

from typing import Any

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Tokens; 0 where the provider says nothing."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0


class Answer(msgspec.Struct, frozen=True):
    """What a response that was not streamed tells of itself."""

    usage: Usage | None = None
    finish_reason: str | None = None
    error: Any = None


class _Choice(msgspec.Struct):
    finish_reason: Any = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_COMPLETION = msgspec.json.Decoder(_Completion)


def parse_usage(value: Any) -> Usage | None:
    """`value` is the decoded usage object; anything else, or one without counts, is None (no data)."""
    if not isinstance(value, dict):
        return None
    prompt = _first(value, "prompt_tokens", "input_tokens")
    completion = _first(value, "completion_tokens", "output_tokens")
    if prompt is None and completion is None:
        return None
    inputs = _details(value, "prompt_tokens_details", "input_tokens_details")
    outputs = _details(value, "completion_tokens_details", "output_tokens_details")
    cached = _first(inputs, "cached_tokens")
    if cached is None:
        cached = _first(value, "prompt_cache_hit_tokens", "cache_read_input_tokens")
    written = _first(inputs, "cache_write_tokens", "cache_creation_tokens")
    if written is None:
        written = _first(value, "cache_creation_input_tokens")
    return Usage(
        prompt=prompt or 0,
        completion=completion or 0,
        cached=cached or 0,
        cache_write=written or 0,
        reasoning=_first(outputs, "reasoning_tokens") or 0,
        audio_in=_first(inputs, "audio_tokens") or 0,
        audio_out=_first(outputs, "audio_tokens") or 0,
    )


def read_answer(body: bytes) -> Answer | None:
    """Usage, finish reason and error of a JSON response; None if it cannot be read as one."""
    try:
        completion = _COMPLETION.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    reasons = [choice.finish_reason for choice in completion.choices or ()]
    reason = next((reason for reason in reasons if isinstance(reason, str) and reason), None)
    return Answer(parse_usage(completion.usage), reason, completion.error)


def _first(values: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = values.get(name)
        if type(value) is int and value >= 0:
            return value
    return None


def _details(values: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        value = values.get(name)
        if isinstance(value, dict):
            return value
    return {}
