"""Which version serves a managed request: the order in which override, explicit version, label and deployment
count, and the session that the rollout's draw goes by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from gateway.domain.assignment import Arm
from gateway.domain.client_key import ClientKey
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
from gateway.proxy.clients import check_prompt
from gateway.wire.api import Request
from gateway.wire.selection import Selection
from gateway.wire.session_key import NoKey, SessionKey, find_session, session_hash
from gateway.wire.splice import Fields

if TYPE_CHECKING:
    from gateway.proxy.aliases import Known
    from gateway.proxy.managed import Managed
    from gateway.proxy.pins import Pinning
    from gateway.proxy.sessions import Recent
    from gateway.proxy.worker import Worker


PREVIOUS: Final = "previous_response_id"


class Choice:
    """`pinning` is there if the session's pin is still being written, `pin` if it stands and the session is
    evidence; `alias` makes the alias of a response's id, where a later request may name it."""

    __slots__ = ("alias", "arm", "pin", "pinning", "reason", "rollout", "session", "version")

    def __init__(
        self,
        version: int,
        arm: Arm,
        reason: Reason,
        rollout: str = "",
        session: bytes | None = None,
        pinning: Pinning | None = None,
        pin: Pin | None = None,
        alias: Callable[[str], bytes] | None = None,
    ) -> None:
        self.version: Final = version
        self.arm: Final = arm
        self.reason: Final = reason
        self.rollout: Final = rollout
        self.session: Final = session
        self.pinning: Final = pinning
        self.pin: Final = pin
        self.alias: Final = alias


def choose(worker: Worker, exchange: Managed, selection: Selection, request: Request, fields: Fields) -> None:
    """Calls `exchange.chosen`, now or after a look-up. Raises what the client did wrong."""
    prompt, client = selection.prompt, exchange.client
    check_prompt(client, prompt)
    override = worker.snapshots.overrides.get(prompt)
    if override is not None:
        exchange.chosen(Choice(override, "stable", "override"))
        return
    deployment = worker.snapshots.deployments.get(prompt)
    if deployment is None:
        raise unknown(worker, prompt)
    if selection.version is not None:
        exchange.chosen(Choice(explicit(worker, client, deployment, selection.version), "stable", "version"))
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
    sources = worker.sources[exchange.api.PATH]
    key = find_session(sources, worker.session_headers, exchange.headers, fields, request)
    session = session_of(worker, prompt, scope_of(client), key)
    drawing = Drawing(
        worker, exchange, prompt, request.has_assistant_turn, names_session(sources, key, fields)
    )
    if session is None or not isinstance(key, SessionKey) or key.kind != PREVIOUS:
        drawing.draw(session)
    else:
        worker.aliases.look_up(session, lambda known: drawing.resume(session, known))


class Drawing:
    """A request of a prompt whose rollout runs, from its session to its choice. `named`: the answer's id will
    name the session."""

    __slots__ = ("assistant_turn", "exchange", "named", "prompt", "worker")

    def __init__(
        self, worker: Worker, exchange: Managed, prompt: str, assistant_turn: bool, named: bool
    ) -> None:
        self.worker = worker
        self.exchange = exchange
        self.prompt = prompt
        self.assistant_turn = assistant_turn
        self.named = named

    def draw(self, session: bytes | None) -> None:
        worker = self.worker
        recent = None if session is None else worker.pins.sessions.of(session)
        if recent is not None and worker.hot.hot(recent, self.exchange.head.received):
            worker.count_sessionless("hot")
            session = recent = None
        self._assign(Ask(session, self.assistant_turn, worker.random() if session is None else 0.0), recent)

    def resume(self, response: bytes, known: Known) -> None:
        """`response` is the session that a response begins which nobody knows."""
        if known == "failed":
            self.worker.count_sessionless("alias")
            # Whatever the session has, the arm of the greater part of all is the likelier one.
            self._assign(Ask(None, self.assistant_turn, 0.5), None)
        else:
            self.draw(known or response)

    def _assign(self, ask: Ask, recent: Recent | None) -> None:
        alias: Callable[[str], bytes] | None = None
        if self.named and ask.session is not None:
            alias = self._alias

        def chosen(drawn: Assignment, pinning: Pinning | None) -> None:
            pin = drawn.pin if drawn.evidence and pinning is None else None
            self.exchange.chosen(
                Choice(
                    drawn.version, drawn.arm, drawn.reason, drawn.rollout, ask.session, pinning, pin, alias
                )
            )

        self.worker.pins.assign(self.prompt, ask, recent, chosen)

    def _alias(self, id: str) -> bytes:
        scope = scope_of(self.exchange.client)
        return session_hash(self.worker.keys[0], self.prompt, scope, SessionKey(PREVIOUS, id.encode()))


def scope_of(client: ClientKey | None) -> bytes:
    """Sessions are of one key, where the gateway issues keys: a client cannot name another's session."""
    return b"" if client is None else client.id.encode()


def names_session(sources: Sequence[str], key: SessionKey | NoKey, fields: Fields) -> bool:
    """Whether the next turn may know its session only by naming this one's answer: not if a source that is
    asked before that gave the key, and not if the provider will not store the answer."""
    if PREVIOUS not in sources or not isinstance(key, SessionKey):
        return False
    if sources.index(key.kind) < sources.index(PREVIOUS):
        return False
    store = fields.get("store")
    return store is None or bytes(store) != b"false"


def unknown(worker: Worker, prompt: str) -> PromptNotFound | SnapshotMissing:
    if not worker.snapshots.complete:
        return SnapshotMissing(
            "the gateway has not read its prompts from the store yet; try again", retry_after=1.0
        )
    return PromptNotFound(f"there is no prompt {prompt!r}", param="prompt")


def explicit(worker: Worker, client: ClientKey | None, deployment: Deployment, version: int) -> int:
    """Raises `VersionNotAllowed`, `VersionNotFound` or `GateNotPassed`."""
    if not worker.settings.bindings.explicit_versions and (client is None or not client.may_choose):
        raise VersionNotAllowed(
            "clients may choose a version where bindings.explicit_versions or their key's permission "
            "'explicit_versions' allows it",
            param="prompt",
        )
    gate = deployment.gates.get(version)
    if gate is None:
        raise VersionNotFound(f"{deployment.prompt} has no version {version}", param="prompt")
    if gate.state != "passed" and (client is None or not client.may_preview):
        raise GateNotPassed(f"{deployment.prompt}/{version} has not passed its gate: it is {gate.state}")
    return version


def labelled(deployment: Deployment, label: str) -> int:
    version = deployment.labels.get(label)
    if version is None:
        known = ", ".join(sorted(deployment.labels)) or "none but live"
        raise VersionNotFound(f"{deployment.prompt} has no label {label!r}; there is {known}", param="prompt")
    return version


def session_of(worker: Worker, prompt: str, scope: bytes, key: SessionKey | NoKey) -> bytes | None:
    """The session's keyed hash; None without a key, or with an over-long one. `scope` is the client key."""
    if not isinstance(key, SessionKey):
        worker.count_sessionless(key)
        return None
    return session_hash(worker.keys[0], prompt, scope, key)
