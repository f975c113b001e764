"""What the configuration says must not be stored: RE2 expressions (`judge.redact`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import re2

from gateway.errors import ConfigError

INSTEAD = "[redacted]"


class Redaction:
    """`setting` names where the patterns are from. Raises `ConfigError` for what is no RE2 expression."""

    def __init__(self, patterns: Sequence[str], setting: str = "judge.redact") -> None:
        self._patterns = [_compiled(pattern, setting) for pattern in patterns]

    def of(self, text: str) -> str:
        """
        >>> Redaction([r"[0-9]{4,}"]).of("Order 12345, please")
        'Order [redacted], please'
        """
        for pattern in self._patterns:
            text = pattern.sub(INSTEAD, text)
        return text

    def finds(self, value: Any) -> bool:
        """Whether there is anything to be redacted in any text of a JSON value, names of fields included."""
        return bool(self._patterns) and any(
            pattern.search(text) is not None for text in _texts(value) for pattern in self._patterns
        )


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting += each.keys()
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _compiled(pattern: str, setting: str) -> Any:
    try:
        return re2.compile(pattern)
    except re2.error as error:
        raise ConfigError(f"{setting}: {pattern!r} is no RE2 expression: {error}") from error
