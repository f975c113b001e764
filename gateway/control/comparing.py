"""Two stored versions side by side; what differs is found by `promptfiles.difference`."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from gateway.domain.prompt import Metadata, Version
from gateway.promptfiles.difference import Difference, differences, text
from gateway.promptfiles.prompty import PromptFile, write


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

    @property
    def file(self) -> PromptFile:
        return PromptFile(self.version.prompt, self.version.content, self.metadata)

    @property
    def name(self) -> str:
        return f"{self.version.prompt}/{self.version.number}"


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
        parts=differences(base.file, other.file),
        text=text(base.file, other.file, (base.name, other.name)),
    )


def file_of(side: Side) -> str:
    """The version as a prompt file."""
    return write(side.file)
