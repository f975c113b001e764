"""A session keeps its version: the pin protocol, as pure functions over frozen values.

    decide ──► Assignment        nothing runs, the pin is cached, or no look-up is needed
       └─────► LOOK_UP ──► resolve ──► Assignment
    Assignment with `write` ──► set-if-absent ──► settle ──► Assignment, final

Why it holds. An answer that is not marked rests on a pin that stood in the store: cached while it surely
lives there, looked up, or written by set-if-absent, whose winner is known before the answer's last byte.
So unmarked answers of one session agree on every worker, however late, lost or reordered the messages are.
What a look-up adds is that sessions are not merely marked but keep their version: it is needed for every
bucket below the highest weight so far, the announced one included. Above it no session can have a canary
pin, for a raise is announced `RAISE_LEAD` before it counts, and a view older than `VIEW_FRESH` looks
everything up. (Below the *lowest* weight a look-up is needed too: conversations that began before the
rollout have stable pins there. See docs/adr/0002-pin-protocol.md.)

Evidence. A pin holds the weight and rates under which it was drawn, and only the writer that won the
set-if-absent, or who read it, uses it. A look-up that failed is made good by a write that wins: the session
was new, so it is drawn like any other, and sessions that need look-ups (more of them canary) do not leave
the evidence more often than others.

What a rollback promises. A worker serves a canary only under a view in which its rollout runs. So a request
received at r is served by a canary after a rollback committed at c < r only if the worker's view was last
confirmed before c: less than a poll ago normally, `NO_NEW_AFTER` at most for new sessions, and
`NOBODY_AFTER` at most for those that have a pin, while the store cannot be reached.

All times are store time, s. The values hold no cycles and a worker keeps thousands of them: the garbage
collector need not know them.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Final, Literal

from mypy_extensions import mypyc_attr

from gateway.domain.assignment import Arm, bucket, sampled
from gateway.domain.rollout import RAISE_LEAD, Rollout, Weight
from gateway.errors import InvalidValue

VIEW_FRESH = RAISE_LEAD - 0.25  # s; the rest is for errors of a worker's estimate of the store's clock
NO_NEW_AFTER: Final = 15.0  # s without confirmation: no new session goes to a canary
NOBODY_AFTER: Final = 300.0  # s without confirmation: nobody does
PIN_MARGIN: Final = 10.0  # s before a pin's end in which no cache serves it; above a store call's limit

Reason = Literal[
    "live",  # no rollout runs
    "weight",  # a new session, drawn by its bucket
    "pin",  # the session has a version already
    "running",  # its conversation began before the rollout: it stays on stable
    "unpinned",  # its pin could not be read or written in time, or was another one: no evidence
    "stale",  # the store has not confirmed the deployment for too long: no evidence
    "request",  # no session: this request was drawn alone, no evidence
    "version",  # the request asked for this version: no evidence
    "override",  # a local override wins over the store: no evidence
]


# Made anew for each request: plain classes, because those are what mypyc makes in C (docs/adr/0004).


@mypyc_attr(acyclic=True)
class Pin:
    """A session's stored assignment. `weight`, `q1`, `q0` are what it was drawn under; `measured` whether its
    arm's rate drew it; `evidence` False for conversations that began before the rollout."""

    __slots__ = ("arm", "evidence", "measured", "pinned_at", "q0", "q1", "version", "weight")

    def __init__(
        self,
        arm: Arm,
        version: int,
        weight: float,
        q1: float,
        q0: float,
        measured: bool,
        evidence: bool,
        pinned_at: float,
    ) -> None:
        self.arm: Final = arm
        self.version: Final = version
        self.weight: Final = weight
        self.q1: Final = q1
        self.q0: Final = q0
        self.measured: Final = measured
        self.evidence: Final = evidence
        self.pinned_at: Final = pinned_at

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pin) and encode_pin(self) == encode_pin(other)

    def __hash__(self) -> int:
        return hash(encode_pin(self))

    def __repr__(self) -> str:
        return f"Pin({self.arm}, {self.version}, {self.weight}, at {self.pinned_at})"


class PinRules:
    """A pin lives `ttl` s after its last use, at most `max_age` s. `protect_running`: reason `running`."""

    __slots__ = ("max_age", "protect_running", "ttl")

    def __init__(self, ttl: float = 3600.0, max_age: float = 86_400.0, protect_running: bool = True) -> None:
        self.ttl: Final = ttl
        self.max_age: Final = max_age
        self.protect_running: Final = protect_running


@mypyc_attr(acyclic=True)
class View:
    """What a worker knows of a prompt now. `staleness`: s since the store last confirmed it, infinite if
    never."""

    __slots__ = ("live", "now", "rollout", "staleness")

    def __init__(self, live: int, rollout: Rollout | None, now: float, staleness: float) -> None:
        self.live: Final = live
        self.rollout: Final = rollout
        self.now: Final = now
        self.staleness: Final = staleness


@mypyc_attr(acyclic=True)
class Ask:
    """A request, as far as it matters here. `session` is the session's keyed hash, None without one;
    `assistant_turn` whether its body holds one; `draw` a random number in [0, 1) for requests without a
    session."""

    __slots__ = ("assistant_turn", "draw", "session")

    def __init__(self, session: bytes | None, assistant_turn: bool, draw: float = 0.0) -> None:
        self.session: Final = session
        self.assistant_turn: Final = assistant_turn
        self.draw: Final = draw


@mypyc_attr(acyclic=True)
class Assignment:
    """Which version serves a request. `pin` is what it rests on; `write`: it is new and must be stored by
    set-if-absent, and `settle` says what came of it. `evidence` is final once nothing is to be written."""

    __slots__ = ("arm", "evidence", "pin", "reason", "rollout", "version", "write")

    def __init__(
        self,
        arm: Arm,
        version: int,
        reason: Reason,
        rollout: str = "",
        evidence: bool = False,
        pin: Pin | None = None,
        write: bool = False,
    ) -> None:
        self.arm: Final = arm
        self.version: Final = version
        self.reason: Final = reason
        self.rollout: Final = rollout
        self.evidence: Final = evidence
        self.pin: Final = pin
        self.write: Final = write

    def __repr__(self) -> str:
        said = f"Assignment({self.arm}, {self.version}, {self.reason}, {self.rollout!r}, pin={self.pin}"
        return f"{said}, evidence={self.evidence}, write={self.write})"


class LookUp(Enum):
    NEEDED = "needed"


LOOK_UP: Final = LookUp.NEEDED
Found = Pin | None | Literal["failed"]


def decide(view: View, ask: Ask, cached: Pin | None, rules: PinRules) -> Assignment | LookUp:
    """`cached` is the session's pin in the running rollout if it surely lives (`usable`)."""
    rollout = view.rollout
    if rollout is None:
        return Assignment("stable", view.live, "live" if view.staleness <= VIEW_FRESH else "stale")
    if view.staleness > NOBODY_AFTER:
        return _stale(rollout)
    if ask.session is None:
        return _one_by_one(view, rollout, ask.draw)
    if cached is not None and _is_of(cached, rollout):
        return _keep(cached, rollout)
    if view.staleness > VIEW_FRESH or bucket(rollout.salt, ask.session) < rollout.highest:
        return LOOK_UP
    return _begin(view, rollout, ask.session, _began_before(view, rollout, ask, rules))


def resolve(view: View, ask: Ask, asked: str, found: Found, rules: PinRules) -> Assignment | LookUp:
    """Go on after a look-up in rollout `asked`; `view` is the newest, so that a rollback meanwhile counts."""
    rollout = view.rollout
    if rollout is None or rollout.id != asked or ask.session is None or view.staleness > NOBODY_AFTER:
        return decide(view, ask, None, rules)
    began_before = _began_before(view, rollout, ask, rules)
    if found is None:
        return _begin(view, rollout, ask.session, began_before)
    if found == "failed":
        by_hash = _begin(view, rollout, ask.session, False)
        return by_hash if by_hash.reason == "stale" else _unproven(by_hash, write=not began_before)
    if _is_of(found, rollout):
        return _keep(found, rollout)
    return _unproven(_begin(view, rollout, ask.session, False), write=False)  # a void pin


def settle(assignment: Assignment, winner: Pin | Literal["failed"]) -> Assignment:
    """What an assignment that was to be written is worth, once the pin that stands is known or cannot be.

    A worker that lost keeps the winner for the session's later requests; this answer is no evidence if it
    was another version's."""
    if winner == "failed" or (winner.arm, winner.version) != (assignment.arm, assignment.version):
        return _unproven(assignment, write=False)
    return Assignment(
        arm=winner.arm,
        version=winner.version,
        reason=_reason_of(winner, assignment),
        rollout=assignment.rollout,
        evidence=winner.evidence and winner.measured,
        pin=winner,
    )


def _reason_of(winner: Pin, assignment: Assignment) -> Reason:
    if winner is not assignment.pin and winner != assignment.pin:
        return "pin"
    return "weight" if winner.evidence else "running"


def _is_of(pin: Pin, rollout: Rollout) -> bool:
    """A pin to a version that is neither candidate nor baseline is void."""
    return pin.version == (rollout.candidate if pin.arm == "canary" else rollout.baseline)


def _began_before(view: View, rollout: Rollout, ask: Ask, rules: PinRules) -> bool:
    """An assistant turn and no pin: the conversation is older than the rollout, as long as no pin of the
    rollout can have expired."""
    return rules.protect_running and ask.assistant_turn and view.now < rollout.started_at + rules.ttl


def _begin(view: View, rollout: Rollout, session: bytes, began_before: bool) -> Assignment:
    """Draw a session that has no pin."""
    if view.staleness > NO_NEW_AFTER:
        return _stale(rollout)
    weight = rollout.weight_at(view.now)
    drawn = bucket(rollout.salt, session) < weight.value
    arm: Arm = "canary" if drawn and not began_before else "stable"
    pin = _new_pin(arm, view, rollout, weight, session, evidence=not began_before)
    reason: Reason = "running" if drawn and began_before else "weight"
    return Assignment(arm, pin.version, reason, rollout.id, pin.evidence and pin.measured, pin, write=True)


def _new_pin(
    arm: Arm, view: View, rollout: Rollout, weight: Weight, session: bytes, *, evidence: bool
) -> Pin:
    rate = weight.q1 if arm == "canary" else weight.q0
    return Pin(
        arm=arm,
        version=rollout.candidate if arm == "canary" else rollout.baseline,
        weight=weight.value,
        q1=weight.q1,
        q0=weight.q0,
        measured=rate >= 1.0 or sampled(rollout.salt, session) < rate,
        evidence=evidence,
        pinned_at=view.now,
    )


def _keep(pin: Pin, rollout: Rollout) -> Assignment:
    return Assignment(pin.arm, pin.version, "pin", rollout.id, pin.evidence and pin.measured, pin)


def _one_by_one(view: View, rollout: Rollout, draw: float) -> Assignment:
    if view.staleness > NO_NEW_AFTER:
        return _stale(rollout)
    if draw < rollout.weight_at(view.now).value:
        return Assignment("canary", rollout.candidate, "request", rollout.id)
    return Assignment("stable", rollout.baseline, "request", rollout.id)


def _stale(rollout: Rollout) -> Assignment:
    return Assignment("stable", rollout.baseline, "stale", rollout.id)


def _unproven(assignment: Assignment, *, write: bool) -> Assignment:
    return Assignment(
        arm=assignment.arm,
        version=assignment.version,
        reason="unpinned",
        rollout=assignment.rollout,
        pin=assignment.pin if write else None,
        write=write,
    )


# --- how long a worker may rely on a pin without asking


@mypyc_attr(acyclic=True)
class Kept:
    """A pin in a worker's cache. `until`: it stands in the store at least so long. `touched`: when its last
    successful refresh was sent and answered; whether it still met the pin, a refresh does not tell."""

    __slots__ = ("pin", "touched", "until")

    def __init__(self, pin: Pin, until: float, touched: tuple[float, float] | None = None) -> None:
        self.pin: Final = pin
        self.until: Final = until
        self.touched: Final = touched


def learn(before: Kept | None, pin: Pin, asked_at: float, rules: PinRules) -> Kept:
    """A look-up or set-if-absent, sent at `asked_at`, says that `pin` stands.

    Then every refresh that had been answered by `asked_at` met it too: an expired pin does not come back."""
    if before is None or before.pin != pin:
        return Kept(pin, _end(pin, pin.pinned_at, rules))
    touched = before.touched
    if touched is not None and touched[1] <= asked_at:
        return Kept(pin, max(before.until, _end(pin, touched[0], rules)))
    return before


def refreshed(kept: Kept, sent: float, answered: float, rules: PinRules) -> Kept:
    """A refresh sent at `sent` was answered at `answered`, before the pin's end or (perhaps) after."""
    if answered <= kept.until:
        return Kept(kept.pin, max(kept.until, _end(kept.pin, sent, rules)))
    return Kept(kept.pin, kept.until, (sent, answered))


def usable(kept: Kept, now: float) -> bool:
    """Served from the cache. The margin leaves time to refresh the pin before it ends."""
    return now < kept.until - PIN_MARGIN


def refresh_ttl(kept: Kept, now: float, rules: PinRules) -> float | None:
    """The time to live to refresh a pin with that is used at `now`, or None while it is too early (a tenth of
    the time to live) or the pin has reached its maximum age."""
    ttl = min(rules.ttl, kept.pin.pinned_at + rules.max_age - now)
    gained = now + ttl - kept.until
    return ttl if gained > rules.ttl / 10 and ttl > PIN_MARGIN else None


def _end(pin: Pin, used_at: float, rules: PinRules) -> float:
    return min(used_at + rules.ttl, pin.pinned_at + rules.max_age)


# --- bytes

_LAYOUT: Final = struct.Struct(">BBIdddd")
_FORMAT: Final = 1
_CANARY, _MEASURED, _EVIDENCE = 1, 2, 4


def encode_pin(pin: Pin) -> bytes:
    """38 bytes: format, flags, version, weight, q1, q0, pinned_at."""
    flags = (
        (_CANARY if pin.arm == "canary" else 0)
        | (_MEASURED if pin.measured else 0)
        | (_EVIDENCE if pin.evidence else 0)
    )
    return _LAYOUT.pack(_FORMAT, flags, pin.version, pin.weight, pin.q1, pin.q0, pin.pinned_at)


def decode_pin(value: bytes) -> Pin:
    """Raises `InvalidValue` for bytes that no `encode_pin` of this format wrote."""
    if len(value) != _LAYOUT.size or value[0] != _FORMAT:
        raise InvalidValue(f"not a pin: {value[:48]!r}; expected {_LAYOUT.size} bytes of format {_FORMAT}")
    _, flags, version, weight, q1, q0, pinned_at = _LAYOUT.unpack(value)
    return Pin(
        arm="canary" if flags & _CANARY else "stable",
        version=version,
        weight=weight,
        q1=q1,
        q0=q0,
        measured=bool(flags & _MEASURED),
        evidence=bool(flags & _EVIDENCE),
        pinned_at=pinned_at,
    )
