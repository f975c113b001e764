"""What two versions of a prompt differ in: part by part, field by field, and as text.

Parts of messages are aligned as one sequence, so that one that is put in front does not make all others
differ; between equal ones, parts of the same role and kind are paired in their order. Blank space at the
edges of a part does not count for the alignment, and still is a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher, unified_diff
from typing import Any, Literal, NamedTuple

import msgspec
import rfc8785

from gateway.domain.prompt import Content
from gateway.promptfiles import prompty
from gateway.promptfiles.prompty import PromptFile


class Difference(msgspec.Struct, frozen=True):
    """One part or field. `where` names it (`messages[1].few_shot`, `inputs.tier`, `metadata.owner`,
    `model.options.temperature`) in the newer version, or in the older one if it was removed; a value is null
    where there is none. Of a part it is {"role", "text"}."""

    where: str
    change: Literal["added", "removed", "changed"]
    before: Any
    after: Any


def differences(before: PromptFile, after: PromptFile) -> tuple[Difference, ...]:
    return (*_messages(before.content, after.content), *_fields(_flat(before), _flat(after)))


def text(before: PromptFile, after: PromptFile, names: tuple[str, str]) -> str:
    """A unified diff of the two as files, which `names` head; "" if they are the same. Raises
    `PromptFileError` for content that no file can hold."""
    old, new = prompty.write(before).splitlines(), prompty.write(after).splitlines()
    return "".join(f"{line}\n" for line in unified_diff(old, new, *names, lineterm=""))


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
    old, new = _parts(before), _parts(after)
    matcher = SequenceMatcher(None, [_aligned(part) for part in old], [_aligned(part) for part in new], False)
    for what, first, last, start, end in matcher.get_opcodes():
        pairs = zip(old[first:last], new[start:end], strict=True) if what == "equal" else None
        for one, other in pairs or _paired(old[first:last], new[start:end]):
            if one is None or other is None or one[1:] != other[1:]:
                named = other or one
                assert named is not None
                yield _difference(named.where, _shown(one), _shown(other))


def _paired(old: list[_Part], new: list[_Part]) -> Iterator[tuple[_Part | None, _Part | None]]:
    """Of a stretch in which nothing is equal."""
    left = list(old)
    for each in new:
        same = next((index for index, part in enumerate(left) if part[1:3] == each[1:3]), None)
        if same is None:
            yield None, each
            continue
        yield from ((part, None) for part in left[:same])
        yield left[same], each
        left = left[same + 1 :]
    yield from ((part, None) for part in left)


def _aligned(part: _Part) -> tuple[str, str, str]:
    return part.role, part.kind, part.template.strip()


def _shown(part: _Part | None) -> dict[str, str] | None:
    return None if part is None else {"role": part.role, "text": part.template}


def _fields(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    for where in dict.fromkeys((*before, *after)):
        one, other = before.get(where), after.get(where)
        if rfc8785.dumps(one) != rfc8785.dumps(other):  # as digests see them: 1.0 is 1, true is not
            yield _difference(where, one, other)


def _flat(file: PromptFile) -> dict[str, Any]:
    """Everything but the messages, by its name; what is not set is not there."""
    content = file.content
    found: dict[str, Any] = {f"inputs.{item.name}": msgspec.to_builtins(item) for item in content.inputs}
    found["outputs"] = content.outputs
    found["client_system"] = content.client_system
    found["model.id"] = content.model.id
    found |= {f"model.options.{name}": value for name, value in content.model.options.items()}
    found["model.locked"] = sorted(content.model.locked) or None
    told: dict[str, Any] = msgspec.to_builtins(file.metadata)
    found |= {f"metadata.{name}": value for name, value in told.items()}
    return {where: value for where, value in found.items() if value is not None}


def _difference(where: str, before: Any, after: Any) -> Difference:
    if before is None:
        return Difference(where, "added", None, after)
    return Difference(where, "removed" if after is None else "changed", before, after)
