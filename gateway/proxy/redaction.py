"""What must not leave the gateway, by expressions of the configuration (RE2: linear in the text)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import re2

from gateway.errors import ConfigError

INSTEAD = "[redacted]"


class Redaction:
    """`setting` names where the expressions come from. Raises `ConfigError` for one that is none."""

    def __init__(self, expressions: Sequence[str], setting: str) -> None:
        self._expressions = [_compiled(expression, setting) for expression in expressions]

    def of(self, text: str) -> str:
        for expression in self._expressions:
            text = expression.sub(INSTEAD, text)
        return text


def _compiled(expression: str, setting: str) -> Any:
    try:
        return re2.compile(expression)
    except re2.error as error:
        raise ConfigError(f"{setting}: {expression!r} is no RE2 expression: {error}") from error
