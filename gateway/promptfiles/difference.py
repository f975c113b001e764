"""What two versions of a prompt differ in: part by part, field by field, and as text.

Parts are paired by an alignment of their whole sequence: equal ones first, then, between those, parts of
the same role and kind in their order. What is left over was added or removed. Fields are everything else:
inputs by name, options by name, the response schema, and the metadata beside the content.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher, unified_diff
from typing import Any, Literal

import msgspec
import rfc8785

from gateway.domain.prompt import Content, Metadata, Part, PartKind, Role, digest
from gateway.promptfiles import prompty
from gateway.promptfiles.prompty import PromptFile

Change = Literal["added", "removed", "changed"]


class PartDifference(msgspec.Struct, frozen=True):
    """One part; `before` and `after` are its templates, null where it is not. `lines`: the lines of a unified
    diff without its head, each with ' ', '-' or '+' in front. `message` counts from 1 in the version that has
    the part, the later one if both have it."""

    role: Role
    kind: PartKind
    message: int
    change: Change
    before: str | None
    after: str | None
    lines: tuple[str, ...]


class FieldDifference(msgspec.Struct, frozen=True):
    """`field` is its path: `inputs.question`, `model.options.temperature`, `metadata.owner`. Null is "not
    there"."""

    field: str
    before: Any
    after: Any


class Difference(msgspec.Struct, frozen=True):
    """`same`: the content is the same, so that both are one version. `text`: a unified diff of the two as
    prompt files, "" if they are equal."""

    same: bool
    parts: tuple[PartDifference, ...]
    fields: tuple[FieldDifference, ...]
    text: str


class _Placed(msgspec.Struct, frozen=True):
    role: Role
    message: int
    part: Part


def difference(before: PromptFile, after: PromptFile, *, names: tuple[str, str]) -> Difference:
    """`names` head the text. Raises `PromptFileError` for content that a file cannot hold."""
    parts = tuple(_parts(before.content, after.content))
    fields = tuple(_fields(_flat(before), _flat(after)))
    same = digest(before.content) == digest(after.content)
    old, new = prompty.write(before).splitlines(), prompty.write(after).splitlines()
    text = "\n".join(unified_diff(old, new, *names, lineterm=""))
    return Difference(same, parts, fields, text and text + "\n")


def _parts(before: Content, after: Content) -> Iterator[PartDifference]:
    old, new = list(_placed(before)), list(_placed(after))
    matcher = SequenceMatcher(a=list(map(_key, old)), b=list(map(_key, new)), autojunk=False)
    for what, first, last, start, end in matcher.get_opcodes():
        if what != "equal":
            yield from _block(old[first:last], new[start:end])


def _block(old: list[_Placed], new: list[_Placed]) -> Iterator[PartDifference]:
    """Between two equal stretches."""
    left = list(old)
    for each in new:
        same = next((item for item in left if _slot(item) == _slot(each)), None)
        if same is not None:
            yield from (_part(item, None) for item in left[: left.index(same)])
            left = left[left.index(same) + 1 :]
        yield _part(same, each)
    yield from (_part(item, None) for item in left)


def _part(before: _Placed | None, after: _Placed | None) -> PartDifference:
    shown = after or before
    assert shown is not None
    texts = [None if each is None else each.part.template for each in (before, after)]
    change: Change = "changed" if before and after else "added" if after else "removed"
    return PartDifference(
        *(shown.role, shown.part.kind, shown.message, change, texts[0], texts[1]),
        tuple(_lines(texts[0] or "", texts[1] or "")),
    )


def _lines(before: str, after: str) -> Iterator[str]:
    diff = unified_diff(before.splitlines(), after.splitlines(), lineterm="")
    for number, line in enumerate(diff):
        if number > 1:  # the names of files that are none
            yield line


def _placed(content: Content) -> Iterator[_Placed]:
    for number, message in enumerate(content.messages, 1):
        for part in message.parts:
            yield _Placed(message.role, number, part)


def _slot(placed: _Placed) -> tuple[Role, PartKind]:
    return placed.role, placed.part.kind


def _key(placed: _Placed) -> tuple[Role, PartKind, str]:
    return *_slot(placed), placed.part.template


def _fields(before: dict[str, Any], after: dict[str, Any]) -> Iterator[FieldDifference]:
    for field in dict.fromkeys([*before, *after]):
        values = before.get(field), after.get(field)
        if rfc8785.dumps(values[0]) != rfc8785.dumps(values[1]):  # as digests see them: 1.0 is 1, true is not
            yield FieldDifference(field, *values)


def _flat(file: PromptFile) -> dict[str, Any]:
    """JSON values by path; what is not there is absent."""
    content = file.content
    found = {f"inputs.{item.name}": msgspec.to_builtins(item) for item in content.inputs}
    found["outputs"] = content.outputs
    found["model.id"] = content.model.id
    found |= {f"model.options.{name}": value for name, value in content.model.options.items()}
    found["model.locked"] = sorted(content.model.locked) or None
    found["client_system"] = content.client_system
    return found | {f"metadata.{name}": value for name, value in _metadata(file.metadata).items()}


def _metadata(metadata: Metadata) -> dict[str, Any]:
    extra = metadata.extra
    written = msgspec.structs.asdict(msgspec.structs.replace(metadata, extra={})).items()
    return {name: value for name, value in written if value} | {f"extra.{k}": v for k, v in extra.items()}
