"""Usage: tokens by kind; what is not said is no data."""

from typing import Any

import pytest

from gateway.wire.usage import Answer, Usage, parse_usage, read_answer


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
    }
    assert parse_usage(anthropic) == Usage(5, 6, cached=7, cache_write=8)
    assert parse_usage({"prompt_tokens": 1, "prompt_cache_hit_tokens": 1}) == Usage(1, cached=1)


@pytest.mark.parametrize(
    "value", [None, [], "x", {}, {"prompt_tokens": None}, {"prompt_tokens": True}, {"prompt_tokens": -1}]
)
def test_no_counts_are_no_data(value: Any) -> None:
    assert parse_usage(value) is None


def test_an_answer_is_read() -> None:
    body = b'{"choices":[{"finish_reason":null},{"finish_reason":"length"}],"usage":{"prompt_tokens":1}}'
    assert read_answer(body) == Answer(Usage(1), "length", None)
    assert read_answer(b'{"error":{"message":"m"}}') == Answer(error={"message": "m"})
    for odd in (b"", b"<html>", b"[]", b'{"choices":3}', b'{"a":' + b"[" * 5000, b'{"error":"\xff"}'):
        assert read_answer(odd) is None
