"""What differs between two versions of a prompt: part by part, and as text.

Parts of messages are aligned as a sequence (difflib), so one that is put in front does not make all others
differ. The text is what `git diff` would show of the two files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher, unified_diff
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

import msgspec

from gateway.domain.prompt import Content, Metadata, Version
from gateway.promptfiles.prompty import PromptFile, write


class Difference(msgspec.Struct, frozen=True):
    """One part. `where` names it (`messages[1].few_shot`, `inputs.tier`, `model.options.temperature`,
    `metadata.owner`) in the newer version, or in the older one if it was removed; a value is null where there
    is none."""

    where: str
    change: Literal["added", "removed", "changed"]
    before: Any
    after: Any


class VersionDiff(msgspec.Struct, frozen=True):
    """From `base` to `version`. `same`: their content is; metadata may differ all the same. `text` is a
    unified diff of the two prompt files, "" if they are the same."""

    prompt: str
    base: int
    version: int
    base_digest: str
    digest: str
    same: bool
    parts: tuple[Difference, ...]
    text: str


class Side(NamedTuple):
    version: Version
    metadata: Metadata


def compare(base: Side, other: Side) -> VersionDiff:
    """Raises `PromptFileError` for content that no file can hold."""
    before, after = base.version, other.version
    return VersionDiff(
        prompt=after.prompt,
        base=before.number,
        version=after.number,
        base_digest=before.digest,
        digest=after.digest,
        same=before.digest == after.digest,
        parts=(*_messages(before.content, after.content), *_fields(_flat(base), _flat(other))),
        text=_text(base, other),
    )


def file_of(side: Side) -> str:
    """The version as a prompt file."""
    return write(PromptFile(side.version.prompt, side.version.content, side.metadata))


class _Part(NamedTuple):
    where: str
    role: str
    kind: str
    template: str


def _parts(content: Content) -> list[_Part]:
    return [
        _Part(f"messages[{index}].{part.kind}", message.role, part.kind, part.template)
        for index, message in enumerate(content.messages)
        for part in message.parts
    ]


def _messages(before: Content, after: Content) -> Iterator[Difference]:
    """Blank space at the edges does not count for the alignment, and still is a difference."""
    old, new = _parts(before), _parts(after)
    matcher = SequenceMatcher(None, [_aligned(part) for part in old], [_aligned(part) for part in new], False)
    for _, first, last, start, end in matcher.get_opcodes():
        for one, other in zip_longest(old[first:last], new[start:end]):
            if one is None or other is None or one[1:] != other[1:]:
                yield _difference((other or one).where, _shown(one), _shown(other))


def _aligned(part: _Part) -> tuple[str, str, str]:
    return part.role, part.kind, part.template.strip()


def _shown(part: _Part | None) -> dict[str, str] | None:
    return None if part is None else {"role": part.role, "text": part.template}


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for where in dict.fromkeys((*before, *after)):
        one, other = before.get(where), after.get(where)
        if one != other:
            yield _difference(where, one, other)


def _flat(side: Side) -> dict[str, Any]:
    """Everything but the messages, by its name; what is not set is not there."""
    content, metadata = side.version.content, side.metadata
    found: dict[str, Any] = {f"inputs.{item.name}": msgspec.to_builtins(item) for item in content.inputs}
    found["outputs"] = content.outputs
    found["client_system"] = content.client_system
    found["model.id"] = content.model.id
    found |= {f"model.options.{name}": value for name, value in content.model.options.items()}
    found["model.locked"] = sorted(content.model.locked) or None
    told: dict[str, Any] = msgspec.to_builtins(metadata)
    found |= {f"metadata.{name}": value for name, value in told.items()}
    return {where: value for where, value in found.items() if value is not None}


def _difference(where: str, before: Any, after: Any) -> Difference:
    if before is None:
        return Difference(where, "added", None, after)
    return Difference(where, "removed" if after is None else "changed", before, after)


def _text(base: Side, other: Side) -> str:
    lines = unified_diff(
        file_of(base).splitlines(keepends=True),
        file_of(other).splitlines(keepends=True),
        f"{base.version.prompt}/{base.version.number}",
        f"{other.version.prompt}/{other.version.number}",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
