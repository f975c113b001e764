"""Why a request, or a session, got its version: read from its signed id, its pin and its bucket.

A request's id says which version answered, when, and under which rollout; the rollout's history says what its
weight was then. A session is drawn by the same pure functions that workers use (`domain.pins`), so what is
said here is what its next request gets, on every worker that has no local override.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import msgspec

from gateway.control.registry import Registry
from gateway.control.rollouts import Rollouts
from gateway.domain import request_id
from gateway.domain.assignment import Arm, bucket
from gateway.domain.pins import Ask, Assignment, LookUp, Pin, PinRules, View, decide, decode_pin, resolve
from gateway.domain.rollout import FINAL, Deployment, Rollout
from gateway.errors import InvalidValue, NotFound, PromptNotDeployed
from gateway.storage import keys
from gateway.storage.base import Store
from gateway.wire.session_key import MAX_KEY, SessionKey, session_hash

KeyKind = Literal[
    "header",
    "conversation",
    "previous_response_id",
    "metadata.session_id",
    "safety_identifier",
    "user",
    "prompt_cache_key",
]
KEY_KINDS: tuple[KeyKind, ...] = get_args(KeyKind)

_SAYS = {
    "live": "no rollout runs: everybody gets the live version",
    "weight": "its next request draws it by its bucket",
    "pin": "it keeps the version that it has",
}


class Place(NamedTuple):
    """Where a session is found: its key as the client sends it, in what `kind` names; `client` is the id of
    the client's key, where the gateway issues keys."""

    prompt: str
    key: str
    kind: KeyKind = "header"
    client: str = ""


class StoredPin(msgspec.Struct, frozen=True):
    """See `domain.pins.Pin`."""

    arm: Arm
    version: int
    weight: float
    q1: float
    q0: float
    measured: bool
    evidence: bool
    pinned_at: float


class Explanation(msgspec.Struct, frozen=True):
    """`why` is the answer in words. `at`: when the request was answered, or now (store time, s). `prompt` is
    null if the id does not tell (no rollout ran). `session`: the session's keyed hash, of a request its first
    half; `bucket`: its place, canary below `weight`, the one that was in force."""

    prompt: str | None
    version: int
    arm: Arm
    at: float
    rollout: str | None
    weight: float | None
    session: str | None
    bucket: float | None
    pin: StoredPin | None
    why: tuple[str, ...]


class Here(NamedTuple):
    """What the configuration and this machine say, and the store does not: the prompt of each model alias,
    that of requests which name none, and what is overridden here now."""

    aliases: Mapping[str, str] = {}
    default: str | None = None
    overrides: Callable[[], Mapping[str, int]] = dict


class Explainer:
    """`signing_keys`: the fleet's, the first one signs; without any nothing can be explained."""

    def __init__(
        self,
        store: Store,
        signing_keys: Sequence[str],
        rules: PinRules,
        here: Here = Here(),  # noqa: B008
    ) -> None:
        self._store = store
        self._keys = [key.encode() for key in signing_keys]
        self._rules = rules
        self._here = here
        self._rollouts = Rollouts(store)
        self._registry = Registry(store)

    async def request(self, id: str) -> Explanation:
        """Raises `InvalidValue` for an id that none of the keys signed."""
        found = request_id.verify(id, self._known_keys())
        if found is None:
            raise InvalidValue("this is no request id that this gateway signed", param="request")
        rollout = await self._rollout(found.rollout)
        why: tuple[str, ...]
        drawn = f"version {found.version} answered as {found.arm}"
        if not found.rollout:
            why = (f"{drawn}: no rollout ran, or the request named its version",)
        else:
            why = (drawn, *_of_rollout(rollout, found))
        return Explanation(
            prompt=None if rollout is None else rollout.prompt,
            version=found.version,
            arm=found.arm,
            at=found.at,
            rollout=found.rollout or None,
            weight=None if rollout is None else rollout.weight_at(found.at).value,
            session=found.session.hex() or None,
            bucket=None,
            pin=None,
            why=why,
        )

    async def unnamed(self, model: str, key: str, kind: KeyKind, client: str = "") -> Explanation:
        """As `session`, of a request that names no prompt: by the alias of its `model`, else the default."""
        alias = self._here.aliases.get(model)
        prompt = alias or self._here.default
        if prompt is None:
            known = ", ".join(sorted(self._here.aliases)) or "none"
            raise InvalidValue(
                f"model {model!r:.100} is no alias and there is no default: such a request passes unchanged "
                f"(bindings.aliases: {known})",
                param="model",
            )
        found = await self.session(prompt, key, kind, client)
        by = f"model {model} is an alias of prompt" if alias else "it names no prompt, and the default is"
        return msgspec.structs.replace(found, why=(f"{by} {prompt}", *found.why))

    async def session(self, prompt: str, key: str, kind: KeyKind, client: str = "") -> Explanation:
        """What the session's next request gets; `client` is the id of the client's key, where the gateway
        issues keys. Raises `PromptNotFound` or `PromptNotDeployed`."""
        deployment, session = await self._locate(Place(prompt, key, kind, client))
        if deployment.live is None:
            raise PromptNotDeployed(f"{prompt} has no live version yet: deploy one", param="prompt")
        rollout, now = deployment.rollout, (await self._store.tick()).now
        pin = None if rollout is None else await self._pin(rollout, session)
        drawn = _draw(View(deployment.live, rollout, now, 0.0), session, pin, self._rules)
        override = self._here.overrides().get(prompt)
        place = None if rollout is None else bucket(rollout.salt, session)
        return Explanation(
            prompt=prompt,
            version=drawn.version,
            arm=drawn.arm,
            at=now,
            rollout=None if rollout is None else rollout.id,
            weight=None if rollout is None else rollout.weight_at(now).value,
            session=session.hex(),
            bucket=place,
            pin=None if pin is None else shown(pin),
            why=(*_of_session(rollout, now, place, pin, drawn), *_of_override(override)),
        )

    async def pin(self, place: Place) -> tuple[bytes, Rollout | None, StoredPin | None]:
        """The session's keyed hash, the rollout that runs, and its pin in it. Raises `PromptNotFound`."""
        deployment, session = await self._locate(place)
        rollout = deployment.rollout
        pin = None if rollout is None else await self._pin(rollout, session)
        return session, rollout, None if pin is None else shown(pin)

    async def _locate(self, place: Place) -> tuple[Deployment, bytes]:
        raw = place.key.encode("utf-8", "surrogateescape")
        if not 1 <= len(raw) <= MAX_KEY:
            raise InvalidValue(f"a session's key is 1 to {MAX_KEY} bytes", param="session")
        deployment, _ = await self._registry.deployment(place.prompt)
        secret, client = self._known_keys()[0], place.client.encode()
        session = session_hash(secret, place.prompt, client, SessionKey(place.kind, raw))
        if place.kind == "previous_response_id":  # an answer that nobody knows begins a session of its own
            session = await self._store.get_key(keys.alias(session.hex())) or session
        return deployment, session

    def _known_keys(self) -> list[bytes]:
        if not self._keys:
            raise InvalidValue(
                "the signing keys are needed: ask the admin API (--url), or use the gateway's configuration",
                param="signing_keys",
            )
        return self._keys

    async def _rollout(self, id: str) -> Rollout | None:
        if not id:
            return None
        try:
            return await self._rollouts.find(id)
        except NotFound:
            return None

    async def _pin(self, rollout: Rollout, session: bytes) -> Pin | None:
        value = await self._store.get_key(keys.pin(rollout.id, session.hex()))
        return None if value is None else decode_pin(value)


def shown(pin: Pin) -> StoredPin:
    return StoredPin(
        pin.arm, pin.version, pin.weight, pin.q1, pin.q0, pin.measured, pin.evidence, pin.pinned_at
    )


def _draw(view: View, session: bytes, pin: Pin | None, rules: PinRules) -> Assignment:
    ask = Ask(session, assistant_turn=False)
    drawn = decide(view, ask, pin, rules)
    if isinstance(drawn, LookUp):
        assert view.rollout is not None
        drawn = resolve(view, ask, view.rollout.id, pin, rules)
    assert not isinstance(drawn, LookUp)
    return drawn


def _of_session(
    rollout: Rollout | None, now: float, place: float | None, pin: Pin | None, drawn: Assignment
) -> tuple[str, ...]:
    said = _SAYS.get(drawn.reason, "its pin is of another rollout and void")
    if rollout is None or place is None:
        return (said,)
    weight = rollout.weight_at(now).value
    side = "below" if place < weight else "not below"
    lines = [
        f"rollout {rollout.id} gives version {rollout.candidate} to buckets below {weight:g}",
        f"the session's bucket is {place:.4f}, {side} it",
    ]
    if pin is not None:
        lines.append(f"it was pinned to version {pin.version} ({pin.arm}) at weight {pin.weight:g}")
        if not pin.evidence:
            lines.append("it began before the rollout, so it stays where it was and is no evidence")
    return (*lines, said)


def _of_override(version: int | None) -> tuple[str, ...]:
    if version is None:
        return ()
    return (f"but this machine serves version {version} to everybody: see `prompt-canary override --list`",)


def _of_rollout(rollout: Rollout | None, found: request_id.RequestId) -> tuple[str, ...]:
    if rollout is None:
        return (f"rollout {found.rollout} is not in this store",)
    weight = rollout.weight_at(found.at).value
    lines = [f"rollout {rollout.id} gave version {rollout.candidate} to {weight:.4g} of new sessions then"]
    if not found.session:
        lines.append("the request had no session: it was drawn alone, and is no evidence")
    elif found.arm == "canary":
        lines.append("its session's bucket was below the weight when it was drawn")
    else:
        lines.append("its session's bucket was not below the weight, or it began before the rollout")
    if rollout.phase in FINAL:
        lines.append(f"the rollout is {rollout.phase} since: {rollout.end_reason or 'no reason given'}")
    return tuple(lines)
