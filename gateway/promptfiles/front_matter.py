"""The front matter of a prompt file: YAML reduced to what JSON can say, every value with its line.

YAML does more than a prompt needs, and some of it is harmful: aliases (a file of 1 KiB that becomes
gigabytes), tags, duplicate keys of which one silently wins. Those are refused. Scalars resolve as in YAML
1.2's core schema, as in most runtimes of the format: `no` is a string, `010` and `1:30` too, a date as well.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from gateway.errors import PromptFileError
from gateway.promptfiles.inputs import complaint_about_json

MAX_CHARACTERS = 64 * 1024
MAX_DEPTH = 20

_FENCE = re.compile(r"---[ \t]*\Z")
_REFERENCE = re.compile(r"\$\{\s*(env|file)\s*:", re.IGNORECASE)
_SCALARS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("null", re.compile(r"(?:~|null|Null|NULL|)\Z")),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")),
    ("int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")),
    ("float", re.compile(r"[-+]?(?:[0-9]*\.[0-9]+|[0-9]+\.|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z")),
)


@dataclass(frozen=True, slots=True)
class Field:
    """A value of the file: where it stands, its path (`model.options`), and itself: a scalar, a dict of
    fields or a list of fields."""

    source: str
    line: int
    path: str
    value: Any

    def fail(self, complaint: str) -> NoReturn:
        raise PromptFileError(f"{self.source}:{self.line}: {self.path}: {complaint}", param=self.path)

    def mapping(self, allowed: Collection[str] | None = None) -> dict[str, Field]:
        """The members by key; with `allowed`, any other key is refused by name."""
        if not isinstance(self.value, dict):
            self.fail(f"must be a mapping, not {_shown(self.value)}")
        members: dict[str, Field] = self.value
        for key, member in members.items():
            if allowed is not None and key not in allowed:
                member.fail(f"unknown field; {self.path} takes {', '.join(allowed)}")
        return members

    def items(self) -> list[Field]:
        if not isinstance(self.value, list):
            self.fail(f"must be a list, not {_shown(self.value)}")
        items: list[Field] = self.value
        return items

    def text(self) -> str:
        if not isinstance(self.value, str):
            hint = "; put it in quotes" if isinstance(self.value, bool | int | float) else ""
            self.fail(f"must be a string, not {_shown(self.value)}{hint}")
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            self.fail(f"must be true or false, not {_shown(self.value)}")
        return self.value

    def choice(self, allowed: Collection[str]) -> str:
        if not isinstance(self.value, str) or self.value not in allowed:
            self.fail(f"must be one of {', '.join(allowed)}, not {_shown(self.value)}")
        return self.value

    def json(self) -> Any:
        """The value without its lines."""
        if isinstance(self.value, dict):
            return {key: member.json() for key, member in self.value.items()}
        if isinstance(self.value, list):
            return [item.json() for item in self.value]
        return self.value


def read(text: str, source: str) -> tuple[Field, str, int]:
    """Split a prompt file into its front matter, its body, and the body's first line.

    `text` has line ends of LF. Raises `PromptFileError`.
    """
    lines = text.split("\n")
    if not _FENCE.match(lines[0]):
        raise PromptFileError(f"{source}:1: the file must begin with a line '---', its front matter, '---'")
    end = next((number for number, line in enumerate(lines[1:], 1) if _FENCE.match(line)), None)
    if end is None:
        raise PromptFileError(f"{source}:1: the front matter has no end: a line '---' is missing")
    refuse_references(text, source)
    front = "\n".join(lines[1:end]) + "\n"
    if len(front) > MAX_CHARACTERS:
        raise PromptFileError(
            f"{source}:1: the front matter has {len(front)} characters, allowed are {MAX_CHARACTERS}"
        )
    return _parse(front, source), "\n".join(lines[end + 1 :]), end + 2


def refuse_references(text: str, source: str, first_line: int = 1) -> None:
    """`${env:X}` and `${file:X}` would let a prompt read secrets of the machine that loads it."""
    found = _REFERENCE.search(text)
    if found:
        line = first_line + text.count("\n", 0, found.start())
        raise PromptFileError(
            f"{source}:{line}: ${{{found[1].lower()}:…}} is not allowed: a prompt file refers to nothing "
            "outside it; declare an input instead"
        )


def dump(values: dict[str, Any]) -> str:
    """YAML text of JSON values, in the order given, which `read` and YAML 1.1 readers read alike."""
    written: str = yaml.dump(
        values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100
    )
    return written


def _parse(front: str, source: str) -> Field:
    try:
        _check_events(front, source)
        root = yaml.compose(front, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = 2 + front.count("\n", 0, error.position)
        character = front[error.position]
        raise PromptFileError(
            f"{source}:{line}: the character {character!r} is not allowed in YAML"
        ) from error
    except yaml.MarkedYAMLError as error:
        line = _line_of(error.problem_mark)
        problem = error.problem or error.context or "it cannot be read"
        raise PromptFileError(f"{source}:{line}: the front matter is not YAML: {problem}") from error
    if root is None:
        raise PromptFileError(f"{source}:1: the front matter is empty: it needs at least 'name'")
    return _field(root, source, "")


def _line_of(mark: Any) -> int:
    """The line in the file; its first is the opening fence, and marks count from 0."""
    return 2 + (0 if mark is None else int(mark.line))


def _check_events(front: str, source: str) -> None:
    """Before anything is built: no alias can expand and no recursion can go deep."""
    depth = 0
    for event in yaml.parse(front, Loader=yaml.SafeLoader):
        at = f"{source}:{_line_of(event.start_mark)}"
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise PromptFileError(f"{at}: nested more than {MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise PromptFileError(f"{at}: anchors and aliases ({event.anchor}) are not allowed: repeat it")
        tag: str | None = getattr(event, "tag", None)
        if tag is not None:
            raise PromptFileError(f"{at}: the tag {tag} is not allowed: values are JSON's")


def _field(node: yaml.Node, source: str, path: str) -> Field:
    line = _line_of(node.start_mark)
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = _members(node, source, path)
    elif isinstance(node, yaml.SequenceNode):
        value = [_field(item, source, f"{path}[{index}]") for index, item in enumerate(node.value)]
    else:
        assert isinstance(node, yaml.ScalarNode)
        value = _scalar(node)
        field = Field(source, line, path or "the front matter", value)
        if complaint := complaint_about_json(value):
            field.fail(complaint)
        if isinstance(value, str):
            refuse_references(value, source, line)
        return field
    return Field(source, line, path or "the front matter", value)


def _members(node: yaml.MappingNode, source: str, path: str) -> dict[str, Field]:
    members: dict[str, Field] = {}
    for key_node, value_node in node.value:
        key = _scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
        line = _line_of(key_node.start_mark)
        if not isinstance(key, str) or complaint_about_json(key):
            raise PromptFileError(f"{source}:{line}: {path or 'the front matter'}: keys are strings")
        inner = f"{path}.{key}" if path else key
        if key in members:
            raise PromptFileError(
                f"{source}:{line}: {inner}: given twice, first on line {members[key].line}", param=inner
            )
        value = _field(value_node, source, inner)
        members[key] = Field(source, line, inner, value.value)
    return members


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    kind = _kind(text) if node.style is None else "str"
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        # Python refuses to read more than 4,300 digits; any float this large is refused as a value.
        return int(text) if len(text) < 1000 else float("inf")
    return float(text) if kind == "float" else text


def _kind(text: str) -> str:
    return next((kind for kind, pattern in _SCALARS if pattern.match(text)), "str")


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value if not isinstance(value, str) or len(value) <= 60 else value[:60] + "…")


class _Dumper(yaml.SafeDumper):
    """Quotes what either schema would not read as a string."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    if "\n" in text or _kind(text) != "str":
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
    return dumper.represent_scalar("tag:yaml.org,2002:str", text)


_Dumper.add_representer(str, _represent_text)
