"""What must not be stored is found wherever it stands."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigError
from gateway.evals.redaction import Redaction

NUMBERS = Redaction([r"\d{4}-\d{4}", "(?i)hello"])


def test_it_is_taken_out_of_a_text() -> None:
    assert NUMBERS.of("Hello, 1234-5678.") == "[redacted], [redacted]."
    assert Redaction([]).of("Hello") == "Hello"


@pytest.mark.parametrize(
    "value",
    [
        "1234-5678",
        ["a", {"b": [1, None, "say hello"]}],
        {"HELLO": 1},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "my number: 1234-5678"}]}]},
    ],
)
def test_it_is_found_in_any_text_of_a_value(value: object) -> None:
    assert NUMBERS.finds(value)
    assert not Redaction([]).finds(value)
    assert not NUMBERS.finds({"number": 12345678, "text": ["1234", "5678", True]})


def test_what_is_no_expression_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"judge\.redact"):
        Redaction(["("])
