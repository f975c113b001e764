"""The variables of a request, checked against the inputs that a version declares.

Kinds are JSON's and strict: true is no integer, 1.0 is no integer, an integer is a number, null is nothing.
Limits are those of the canonical JSON that digests are made of (RFC 8785): numbers are IEEE doubles, integers
lie within ±(2^53 - 1), strings are Unicode.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from gateway.domain.prompt import MAX_SAFE_INTEGER, Input, InputKind
from gateway.errors import InvalidVariables

MAX_VALUES = 20_000  # strings, numbers, … within all variables of a request
MAX_TEXT = 1024 * 1024  # characters within all of them
MAX_DEPTH = 32

_KINDS: dict[InputKind, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
}
_A = {"integer": "an integer", "array": "an array", "object": "an object"}


def check_variables(inputs: tuple[Input, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values to render with: what is given, else defaults; an optional input with neither is left out.

    `given` is decoded JSON. Raises `InvalidVariables` whose `param` is `prompt.variables.<name>`.
    """
    known = {item.name for item in inputs}
    for name in given:
        if name not in known:
            raise _invalid(name, f"there is no such input; {_listed(known)}")
    checked = {}
    meter = _Meter()
    for item in inputs:
        if item.name in given:
            value = given[item.name]
            if complaint := complaint_about(item, value) or meter.complaint_about(value):
                raise _invalid(item.name, complaint)
            checked[item.name] = value
        elif item.required:
            raise _invalid(item.name, f"this input is required: {_A.get(item.kind, f'a {item.kind}')}")
        elif item.default is not None:
            checked[item.name] = item.default
    return checked


def complaint_about(item: Input, value: Any) -> str | None:
    """What is wrong with `value` as the input's kind and among its `enum`; None if nothing is."""
    if type(value) not in _KINDS[item.kind]:
        return f"must be {_A.get(item.kind, f'a {item.kind}')}, not {_shown(value)}"
    if item.enum and value not in item.enum:
        return f"must be one of {', '.join(_shown(each) for each in item.enum)}, not {_shown(value)}"
    return None


def complaint_about_json(value: Any) -> str | None:
    """What keeps `value` from being canonical JSON of a reasonable size; None if nothing does."""
    return _Meter().complaint_about(value)


class _Meter:
    """Walks values without recursion; counts over all that it has been shown."""

    def __init__(self) -> None:
        self._values = 0
        self._text = 0

    def complaint_about(self, value: Any) -> str | None:
        if type(value) is str and len(value) <= 1024 and value.isascii():
            self._values += 1
            self._text += len(value)
            return self._too_large()
        level: list[Any] = [value]
        for _ in range(MAX_DEPTH):
            self._values += len(level)
            for each in level:
                if (complaint := self._scalar(each) or self._too_large()) is not None:
                    return complaint
            level = [inner for each in level for inner in _within(each)]
            if not level:
                return None
        return f"is nested more than {MAX_DEPTH} levels deep"

    def _scalar(self, value: Any) -> str | None:
        match value:
            case str():
                self._text += len(value)
                return None if _is_unicode(value) else "holds a lone surrogate, which is no character"
            case bool() | None | list() | tuple() | dict():
                return None
            case int():
                return None if abs(value) <= MAX_SAFE_INTEGER else "holds an integer beyond ±(2^53 - 1)"
            case float():
                return None if math.isfinite(value) else "holds a number that is not finite"
            case _:
                return f"holds a {type(value).__name__}, which is not JSON"

    def _too_large(self) -> str | None:
        if self._values > MAX_VALUES:
            return f"holds too much: all variables together have at most {MAX_VALUES} values"
        if self._text > MAX_TEXT:
            return f"is too long: all variables together have at most {MAX_TEXT} characters"
        return None


def _within(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return list(value) if isinstance(value, list | tuple) else []


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _invalid(name: str, complaint: str) -> InvalidVariables:
    param = f"prompt.variables.{name[:64]}"
    return InvalidVariables(f"{param}: {complaint}", param=param)


def _listed(names: set[str]) -> str:
    return f"the prompt has {', '.join(sorted(names))}" if names else "the prompt has no inputs"


def _shown(value: Any) -> str:
    """A value as JSON, short enough for a message; the sizes of containers only."""
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, str):
        text = value if len(value) <= 60 else value[:60] + "…"
        return json.dumps(text)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_SAFE_INTEGER:
        return "a huge integer"
    return json.dumps(value, default=lambda other: type(other).__name__)
