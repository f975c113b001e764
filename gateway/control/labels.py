"""Labels: movable names for versions of a prompt, part of its deployment and changed in the same way."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.control.changes import Change, Current, Done, commit
from gateway.control.plan import By
from gateway.control.registry import Registry
from gateway.domain.names import check_name
from gateway.errors import NotFound, TransitionRefused

MOST = 50  # of a prompt; each is in the document that every worker reads
RESERVED = "live"


async def set_label(
    registry: Registry,
    prompt: str,
    label: str,
    version: int | None,
    by: By,
    *,
    expected: int | None = None,
) -> Done:
    """`label` names `version` from now on; None: nothing any more. Raises `VersionNotFound`, `NotFound`,
    `TransitionRefused`."""
    check_name(label, "label")
    if label == RESERVED:
        raise TransitionRefused("live moves by rollouts and deploys, not as a label", param="label")
    await registry.deployment(prompt)
    if version is not None:
        await registry.version(prompt, version)

    async def planned(current: Current) -> Change | None:
        deployment = current.deployment
        before = deployment.labels.get(label)
        if before == version:
            if version is None:
                raise NotFound(f"{prompt} has no label {label!r}", param="label")
            return None
        labels = {name: number for name, number in deployment.labels.items() if name != label}
        if version is not None:
            labels[label] = version
        if len(labels) > MOST:
            raise TransitionRefused(f"{prompt} has {MOST} labels: remove one first", param="label")
        told_before, told = {"label": label, "version": before}, {"label": label, "version": version}
        return Change(replace(deployment, labels=labels), "set_label", told_before, told)

    return await commit(registry.store, prompt, by, planned, expected=expected, steady=False)
