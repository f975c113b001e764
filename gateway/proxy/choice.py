"""Which version serves a managed request: the order in which override, explicit version, label and deployment
count, and the session that the rollout's draw goes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.domain.assignment import Arm
from gateway.domain.pins import Ask, Assignment, Pin, Reason
from gateway.domain.rollout import Deployment
from gateway.errors import (
    GateNotPassed,
    PromptNotDeployed,
    PromptNotFound,
    SnapshotMissing,
    VersionNotAllowed,
    VersionNotFound,
)
from gateway.wire.api import Request
from gateway.wire.selection import Selection
from gateway.wire.session_key import SessionKey, find_session, session_hash
from gateway.wire.splice import Fields

if TYPE_CHECKING:
    from gateway.proxy.managed import Managed
    from gateway.proxy.pins import Pinning
    from gateway.proxy.worker import Worker


@dataclass(frozen=True, slots=True)
class Choice:
    """`pinning` is there if the session's pin is still being written, `pin` if it stands and the session is
    evidence."""

    version: int
    arm: Arm
    reason: Reason
    rollout: str = ""
    session: bytes | None = None
    pinning: Pinning | None = None
    pin: Pin | None = None


def choose(worker: Worker, exchange: Managed, selection: Selection, request: Request, fields: Fields) -> None:
    """Calls `exchange.chosen`, now or after a look-up. Raises what the client did wrong."""
    prompt = selection.prompt
    override = worker.snapshots.overrides.get(prompt)
    if override is not None:
        exchange.chosen(Choice(override, "stable", "override"))
        return
    deployment = worker.snapshots.deployments.get(prompt)
    if deployment is None:
        raise unknown(worker, prompt)
    if selection.version is not None:
        exchange.chosen(Choice(explicit(worker, deployment, selection.version), "stable", "version"))
        return
    label = selection.label
    if label is not None and label != "live":
        exchange.chosen(Choice(labelled(deployment, label), "stable", "version"))
        return
    if deployment.live is None:
        raise PromptNotDeployed(f"{prompt} has no live version yet: deploy one", param="prompt")
    if deployment.rollout is None:
        exchange.chosen(Choice(deployment.live, "stable", "live"))
        return
    session = session_of(worker, exchange, prompt, request, fields)
    ask = Ask(session, request.has_assistant_turn, worker.random() if session is None else 0.0)

    def chosen(assignment: Assignment, pinning: Pinning | None) -> None:
        pin = assignment.pin if assignment.evidence and pinning is None else None
        exchange.chosen(
            Choice(
                assignment.version,
                assignment.arm,
                assignment.reason,
                assignment.rollout,
                session,
                pinning,
                pin,
            )
        )

    worker.pins.assign(prompt, ask, chosen)


def unknown(worker: Worker, prompt: str) -> PromptNotFound | SnapshotMissing:
    if not worker.snapshots.complete:
        return SnapshotMissing(
            "the gateway has not read its prompts from the store yet; try again", retry_after=1.0
        )
    return PromptNotFound(f"there is no prompt {prompt!r}", param="prompt")


def explicit(worker: Worker, deployment: Deployment, version: int) -> int:
    if not worker.settings.bindings.explicit_versions:
        raise VersionNotAllowed(
            "this gateway does not let clients choose a version (bindings.explicit_versions)", param="prompt"
        )
    gate = deployment.gates.get(version)
    if gate is None:
        raise VersionNotFound(f"{deployment.prompt} has no version {version}", param="prompt")
    if gate.state != "passed":
        raise GateNotPassed(f"{deployment.prompt}/{version} has not passed its gate: it is {gate.state}")
    return version


def labelled(deployment: Deployment, label: str) -> int:
    version = deployment.labels.get(label)
    if version is None:
        known = ", ".join(sorted(deployment.labels)) or "none but live"
        raise VersionNotFound(f"{deployment.prompt} has no label {label!r}; there is {known}", param="prompt")
    return version


def session_of(
    worker: Worker, exchange: Managed, prompt: str, request: Request, fields: Fields
) -> bytes | None:
    """The session's keyed hash; None without a key, with an over-long one, or one that is too busy."""
    found = find_session(
        worker.settings.sessions.sources, worker.session_headers, exchange.headers, fields, request
    )
    if not isinstance(found, SessionKey):
        worker.sessionless[found] = worker.sessionless.get(found, 0) + 1
        return None
    session = session_hash(worker.keys[0], prompt, b"", found)
    if worker.hot.hot(session, exchange.head.received):
        worker.sessionless["hot"] = worker.sessionless.get("hot", 0) + 1
        return None
    return session
