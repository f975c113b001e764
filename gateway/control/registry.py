"""Prompts and their versions: immutable content, append-only metadata, gates.

The same content is the same version: a push looks the digest up first. A version whose metadata names no
suite has passed its gate (suite "none"): its owner's recorded choice. One that names a suite is `pending`
until a result is recorded, and again when its metadata comes to name another suite; taking the suite out
later leaves the gate as it is, or editing metadata would be a way around it.
"""

from __future__ import annotations

import msgspec

from gateway.control import plan
from gateway.control.changes import (
    Change,
    Current,
    Done,
    archived,
    commit,
    ending,
    read_deployment,
    summary,
)
from gateway.control.plan import By
from gateway.domain.names import check_name
from gateway.domain.prompt import Gate, Metadata, Version, digest
from gateway.domain.rollout import Deployment
from gateway.errors import InvalidValue, PromptNotFound, VersionNotFound
from gateway.promptfiles.prompty import PromptFile
from gateway.storage import codec, keys
from gateway.storage.base import Document, Documents, Put

PAGE = 500  # documents read at once


class MetadataEntry(msgspec.Struct, frozen=True):
    """Metadata as it was pushed at `at` (store time, s) by `by`; `sequence` counts from 1."""

    sequence: int
    metadata: Metadata
    at: float
    by: str


class DigestEntry(msgspec.Struct, frozen=True):
    """Content → number."""

    number: int


class Pushed(msgspec.Struct, frozen=True):
    """What a push came to: `created` a version, or changed the metadata of one, or neither. `revision`: the
    deployment's afterwards."""

    prompt: str
    version: int
    digest: str
    created: bool
    metadata_changed: bool
    gate: Gate
    revision: int = 0


class Registry:
    def __init__(self, store: Documents) -> None:
        self.store = store

    async def push(self, file: PromptFile, by: By, *, expected: int | None = None) -> Pushed:
        """Make a version of the file's content, or find the one it is. Raises `InvalidValue`."""
        content_digest = digest(file.content)
        by = by if by.reason else by._replace(reason=file.metadata.change)
        outcome: Pushed | None = None

        async def planned(current: Current) -> Change | None:
            nonlocal outcome
            document = await self.store.get(keys.digest(file.name, content_digest))
            if document is None:
                created, outcome = _created(current, file, content_digest, by)
                return created
            number = codec.decode_document(document, DigestEntry).number
            history = await self.metadata_history(file.name, number)
            change, outcome = _described(current, file, number, content_digest, history, by)
            return change

        name = check_name(file.name, "prompt")
        done = await commit(self.store, name, by, planned, expected=expected, steady=False)
        assert outcome is not None
        return msgspec.structs.replace(outcome, revision=done.revision)

    async def record_gate(
        self, prompt: str, number: int, gate: Gate, by: By, *, expected: int | None = None
    ) -> Done:
        """Raises `VersionNotFound`. What is served changes by it in one case: a rollout of a version that is
        found to fail is rolled back."""
        await self.version(prompt, number)

        async def planned(current: Current) -> Change | None:
            before = current.deployment.gates.get(number)
            stamped = msgspec.structs.replace(gate, at=gate.at or current.now)
            planned = plan.set_gate(current.deployment, number, stamped, now=current.now, by=by)
            live = current.deployment.live
            was: dict[str, object] = {"version": number, "gate": msgspec.to_builtins(before)}
            after = {"version": number, "gate": msgspec.to_builtins(stamped), "live": live}
            if planned.ended is not None:
                was |= summary(current.deployment)
                after |= summary(planned.deployment) | ending(planned.ended)
            return Change(
                planned.deployment,
                planned.event or "record_gate",
                was,
                after,
                archived(planned.ended),
            )

        return await commit(self.store, prompt, by, planned, expected=expected, steady=False)

    async def deployment(self, prompt: str) -> tuple[Deployment, int]:
        """The deployment and its revision. Raises `PromptNotFound`."""
        deployment, revision = await read_deployment(self.store, prompt)
        if revision == 0:
            raise PromptNotFound(f"there is no prompt {prompt!r}: push a version of it first", param="prompt")
        return deployment, revision

    async def deployments(self) -> tuple[Deployment, ...]:
        documents = await list_all(self.store, keys.DEPLOYMENTS)
        return tuple(codec.decode_document(document, Deployment) for document in documents)

    async def version(self, prompt: str, number: int) -> Version:
        """Raises `PromptNotFound` or `VersionNotFound`."""
        if number < 1:
            raise InvalidValue(f"version numbers start at 1, not {number}", param="version")
        document = await self.store.get(keys.version(check_name(prompt, "prompt"), number))
        if document is not None:
            return codec.decode_document(document, Version)
        deployment, _ = await self.deployment(prompt)
        raise VersionNotFound(
            f"{prompt} has no version {number}: it has 1 to {len(deployment.gates)}", param="version"
        )

    async def versions(self, prompt: str) -> tuple[Version, ...]:
        documents = await list_all(self.store, keys.versions(prompt))
        return tuple(codec.decode_document(document, Version) for document in documents)

    async def metadata_history(self, prompt: str, number: int) -> tuple[MetadataEntry, ...]:
        """Oldest first; the last one counts."""
        documents = await list_all(self.store, keys.metadata_of(prompt, number))
        return tuple(codec.decode_document(document, MetadataEntry) for document in documents)


async def list_all(store: Documents, prefix: str) -> list[Document]:
    found: list[Document] = []
    while True:
        page = await store.list(prefix, after=found[-1].key if found else "", limit=PAGE)
        found += page
        if len(page) < PAGE:
            return found


def _created(current: Current, file: PromptFile, content_digest: str, by: By) -> tuple[Change, Pushed]:
    prompt, deployment = file.name, current.deployment
    number = max(deployment.gates, default=0) + 1
    suite = file.metadata.suite
    gate = Gate("pending", suite=suite) if suite else Gate("passed", at=current.now)
    version = Version(prompt, number, content_digest, file.content, current.now, by.actor)
    metadata = MetadataEntry(1, file.metadata, current.now, by.actor)
    change = Change(
        plan.set_gate(deployment, number, gate).deployment,
        "push",
        None,
        {"version": number, "digest": content_digest, "metadata": msgspec.to_builtins(file.metadata)},
        (
            Put(keys.version(prompt, number), codec.encode(version), 0),
            Put(keys.digest(prompt, content_digest), codec.encode(DigestEntry(number)), 0),
            Put(keys.metadata(prompt, number, 1), codec.encode(metadata), 0),
        ),
    )
    return change, Pushed(prompt, number, content_digest, True, False, gate)


def _described(
    current: Current,
    file: PromptFile,
    number: int,
    content_digest: str,
    history: tuple[MetadataEntry, ...],
    by: By,
) -> tuple[Change | None, Pushed]:
    """A version that exists: at most its metadata changes."""
    prompt, deployment = file.name, current.deployment
    newest, gate = history[-1], deployment.gates[number]
    if newest.metadata == file.metadata:
        return None, Pushed(prompt, number, content_digest, False, False, gate)
    if file.metadata.suite and file.metadata.suite != newest.metadata.suite:
        gate = Gate("pending", suite=file.metadata.suite)
    metadata = MetadataEntry(newest.sequence + 1, file.metadata, current.now, by.actor)
    change = Change(
        plan.set_gate(deployment, number, gate).deployment,
        "describe",
        {"version": number, "metadata": msgspec.to_builtins(newest.metadata)},
        {"version": number, "metadata": msgspec.to_builtins(file.metadata)},
        (Put(keys.metadata(prompt, number, metadata.sequence), codec.encode(metadata), 0),),
    )
    return change, Pushed(prompt, number, content_digest, False, True, gate)
