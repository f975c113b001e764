"""Usage: tokens by kind; what is not said is no data."""

from typing import Any

import pytest

from gateway.wire.usage import Answer, Usage, finish_word, parse_usage, read_answer


def test_usage_by_kind() -> None:
    openai = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 2, "x": None},
    }
    assert parse_usage(openai) == Usage(100, 20, cached=64, reasoning=8, audio_in=3, audio_out=2)
    anthropic = {
        "input_tokens": 5,
        "output_tokens": 6,
        "cache_read_input_tokens": 7,
        "cache_creation_input_tokens": 8,
        "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 3},
        "output_tokens_details": {"thinking_tokens": 4},
    }
    assert parse_usage(anthropic) == Usage(20, 6, cached=7, cache_write=8, reasoning=4, cache_write_1h=3)
    responses = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 30},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 8},
        "total_tokens": 120,
    }
    assert parse_usage(responses) == Usage(100, 20, cached=64, cache_write=30, reasoning=8)
    assert parse_usage({"prompt_tokens": 1, "prompt_cache_hit_tokens": 1}) == Usage(1, cached=1)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {},
        {"prompt_tokens": None},
        {"prompt_tokens": True},
        {"prompt_tokens": -1},
        {"prompt_tokens": 2**60},
    ],
)
def test_no_counts_are_no_data(value: Any) -> None:
    assert parse_usage(value) is None


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("completed", "stop"),
        ("end_turn", "stop"),
        ("max_output_tokens", "length"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("content_filter", "content_filter"),
        ("something_new", "something_new"),
        ("", None),
        (None, None),
        (3, None),
    ],
)
def test_how_an_answer_ended_in_one_vocabulary(reason: Any, word: str | None) -> None:
    assert finish_word(reason) == word


def test_an_answer_is_read() -> None:
    body = b'{"choices":[{"finish_reason":null},{"finish_reason":"length"}],"usage":{"prompt_tokens":1}}'
    assert read_answer(body) == Answer(Usage(1), "length", None)
    assert read_answer(b'{"error":{"message":"m"}}') == Answer(error={"message": "m"})
    for odd in (b"", b"<html>", b"[]", b'{"choices":3}', b'{"a":' + b"[" * 5000, b'{"error":"\xff"}'):
        assert read_answer(odd) is None
