"""What must not be stored is taken out of texts before they go anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import re2

from gateway.errors import ConfigError

INSTEAD = "[redacted]"


class Redaction:
    """`patterns` are RE2 expressions. Raises `ConfigError` for one that is none."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [_compiled(pattern) for pattern in patterns]

    def of(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(INSTEAD, text)
        return text


def _compiled(pattern: str) -> Any:
    try:
        return re2.compile(pattern)
    except re2.error as error:
        raise ConfigError(f"judge.redact: {pattern!r} is no RE2 expression: {error}") from error
