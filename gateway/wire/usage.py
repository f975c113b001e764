"""Tokens by kind and how an answer ended, in one vocabulary for all APIs and providers.

Providers agree on the totals and differ in the details; the names of all of them are here and nowhere else.
`prompt` is all input: `cached` (read from a cache) and `cache_write` (written to one) are parts of it. OpenAI
counts so; Anthropic counts the three apart, and is added up. `reasoning` is part of `completion`. Prices are
for others.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.wire.answer_shapes import Chunk


class Usage(msgspec.Struct, frozen=True):
    """Tokens; 0 where the provider says nothing. `cache_write_1h`: the part of `cache_write` that is kept
    for an hour, where a provider prices that apart."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    cache_write_1h: int = 0


def kinds(usage: Usage) -> tuple[int, ...]:
    """Each token in one kind: input, cache read, cache write, input audio, output, reasoning, output audio.
    What is more than the whole, as some providers count, is taken for the whole.

    >>> kinds(Usage(prompt=100, completion=50, cached=60, cache_write=10, reasoning=30, audio_out=5))
    (30, 60, 10, 0, 15, 30, 5)
    """
    prompt, completion = usage.prompt, usage.completion
    audio_in = min(usage.audio_in, prompt)
    read = min(usage.cached, prompt - audio_in)
    written = min(usage.cache_write, prompt - audio_in - read)
    audio_out = min(usage.audio_out, completion)
    reasoning = min(usage.reasoning, completion - audio_out)
    plain_out = completion - audio_out - reasoning
    return prompt - audio_in - read - written, read, written, audio_in, plain_out, reasoning, audio_out


MOST_TOKENS: Final = 2**53  # more is no count
BYTES_PER_TOKEN: Final = 4  # of English text, as the providers' own rules of thumb say


def estimate(told: Usage | None, request: int, events: int) -> Usage:
    """Of a stream that was cut before its end. `told`: what the provider said at its begin, if anything;
    `request`: bytes that were sent; `events`: that have come, about one for each token.

    >>> estimate(None, 4000, 20)
    Usage(prompt=1000, completion=20, cached=0, cache_write=0, reasoning=0, audio_in=0, audio_out=0, \
cache_write_1h=0)
    """
    if told is None:
        return Usage(prompt=request // BYTES_PER_TOKEN, completion=events)
    return msgspec.structs.replace(told, completion=max(told.completion, events))


class Answer(msgspec.Struct, frozen=True):
    """What a response that was not streamed tells of itself; `finish_reason` in chat's words, `id` what a
    later request may refer to it by."""

    usage: Usage | None = None
    finish_reason: str | None = None
    error: Any = None
    id: str | None = None


_COMPLETION: Final = msgspec.json.Decoder(Chunk)
_FINISH_WORDS: Final[Mapping[str, str]] = {
    # /v1/responses: `status`, or what `incomplete_details` gives as the reason
    "completed": "stop",
    "max_output_tokens": "length",
    # /v1/messages: `stop_reason`
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def finish_word(reason: Any) -> str | None:
    """How an answer ended, in chat's words: stop, length, tool_calls, content_filter; others as they are."""
    return _FINISH_WORDS.get(reason, reason) if isinstance(reason, str) and reason else None


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
    written = _first(inputs, "cache_write_tokens", "cache_creation_tokens")
    apart = 0
    if cached is None and written is None:
        cached = _first(value, "cache_read_input_tokens")
        written = _first(value, "cache_creation_input_tokens")
        if "input_tokens" in value:
            apart = (cached or 0) + (written or 0)
    if cached is None:
        cached = _first(value, "prompt_cache_hit_tokens")
    return Usage(
        prompt=(prompt or 0) + apart,
        completion=completion or 0,
        cached=cached or 0,
        cache_write=written or 0,
        reasoning=_first(outputs, "reasoning_tokens", "thinking_tokens") or 0,
        audio_in=_first(inputs, "audio_tokens") or 0,
        audio_out=_first(outputs, "audio_tokens") or 0,
        cache_write_1h=_first(_details(value, "cache_creation"), "ephemeral_1h_input_tokens") or 0,
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
        if type(value) is int and 0 <= value <= MOST_TOKENS:
            return value
    return None


def _details(values: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        value = values.get(name)
        if isinstance(value, dict):
            return value
    return {}
