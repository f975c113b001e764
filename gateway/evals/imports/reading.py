"""What importers share: lines of JSONL, templates, and complaints that name file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from gateway.errors import InvalidValue
from gateway.evals.suite import MOST_CASES

_ITEM = re.compile(r"\{\{\s*item\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_OTHER = re.compile(r"\{\{\s*([^}]*?)\s*\}\}")
OUTPUT = re.compile(r"\s*\{\{\s*sample\.output_text\s*\}\}\s*\Z")


class Source:
    """A file under its name."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name

    def fail(self, line: int, complaint: str) -> NoReturn:
        raise InvalidValue(f"{self.name}:{line}: {complaint}")

    def line_of(self, mark: str) -> int:
        """Where a word of the file stands first; JSON keeps no places."""
        at = self.text.find(mark)
        return 1 if at < 0 else self.text.count("\n", 0, at) + 1

    def lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The objects of JSONL with their lines. Raises `InvalidValue`."""
        count = 0
        for line, text in enumerate(self.text.splitlines(), 1):
            if not text.strip():
                continue
            value = decoded(self, text, line)
            if not isinstance(value, dict):
                self.fail(line, "a line of JSONL is an object")
            count += 1
            if count > MOST_CASES:
                self.fail(line, f"a suite has at most {MOST_CASES} tests")
            yield line, value


def decoded(source: Source, text: str, line: int = 1) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        source.fail(line, f"not JSON: {error}")


def templated(source: Source, text: str) -> str:
    """`{{item.name}}` as suites have it, `{{name}}`; any other namespace is refused.

    >>> templated(Source("", "f"), "Is {{ item.a }} right?")
    'Is {{a}} right?'
    """
    plain = _ITEM.sub(lambda match: "\0" + match[1] + "\1", text)
    if other := _OTHER.search(plain):
        source.fail(source.line_of(other[0]), f"a template here knows {{{{item.name}}}}, not {other[0]!r}")
    return plain.replace("\0", "{{").replace("\1", "}}")


def content_of(source: Source, message: Any, line: int) -> str:
    """The text of a message, or of its parts."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, Mapping):
        content = [content]
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        if all(isinstance(part, str) for part in parts):
            return "".join(map(str, parts))
    if not isinstance(content, str):
        source.fail(line, "a message has `role` and `content`, which is text")
    return content


def turns_of(source: Source, messages: Sequence[Any], line: int) -> tuple[list[dict[str, str]], str]:
    """What was said before, and what the user says last. Instructions are left out: the version that is
    tried has its own."""
    said = [
        {"role": str(message.get("role")), "content": content_of(source, message, line)}
        for message in messages
        if isinstance(message, Mapping) and message.get("role") not in ("system", "developer")
    ]
    if not said or said[-1]["role"] != "user":
        source.fail(line, "the last message is the user's")
    if wrong := [each["role"] for each in said if each["role"] not in ("user", "assistant")]:
        source.fail(line, f"messages are of user and assistant, not {wrong[0]!r}")
    return said[:-1], said[-1]["content"]
