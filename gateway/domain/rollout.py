"""Rollouts and deployments: what is served, and the one table that says how it may change.

A deployment is the one document that decides what a prompt serves: its live version and at most one
rollout that is not final. A rollout's phase moves only by `TRANSITIONS`:

    progressing ⇄ paused → promoted | rolled_back | aborted

Under a policy the controller takes it through stages (`advance`) and, where a gate is not met, holds it
(`hold`, `release`). The last stage is the *watch*: `live` has moved to the candidate, a holdback of new
sessions, drawn by the same bucket, stays on the baseline as a control, and `finish` ends it. A rollout by
hand has no policy, no stages and no watch: `promote` ends it. A policy may begin with a *shadow* stage, in
which the candidate answers copies of requests and nobody is served by it; `advance` ends it. The rollout of
an emergency deploy that is watched begins with its watch and has no stages (`emergency`: of one that is not).

`rolled_back` says that the candidate was found harmful (by evidence, or by a person who says so);
`aborted` says that a person stopped it for any other reason. A version's state is derived from gate and
deployment (`state_of`), never stored: so any version that passed its gate can be rolled out again.

A weight change is published with `effective_at`: raising it lies one second ahead, so that every worker
knows of it before it counts; lowering it acts at once.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from gateway.domain.approval import Approval
from gateway.domain.names import check_name
from gateway.domain.policy import Policy
from gateway.domain.prompt import Gate
from gateway.errors import InvalidValue, TransitionRefused

Phase = Literal["progressing", "paused", "promoted", "rolled_back", "aborted"]
Event = Literal[
    "pause",
    "resume",
    "set_weight",
    "promote",
    "finish",
    "roll_back",
    "abort",
    "approve",
    "advance",
    "watch",
    "raise_weight",
    "size",
    "sample",
    "hold",
    "release",
]
HoldReason = Literal["evidence", "completeness", "srm", "incident", "approval", "gate", "judge", "safety"]
State = Literal["pending_eval", "rejected", "ready", "canary", "promoting", "live", "archived", "rolled_back"]

RAISE_LEAD = 1.0  # seconds from the commit of a higher weight to its effect


class Transition(NamedTuple):
    target: Phase
    says: str  # what it does, for buttons and help texts
    person: bool = True  # who asks: a person, or the controller alone


TRANSITIONS: dict[tuple[Phase, Event], Transition] = {
    ("progressing", "pause"): Transition("paused", "keep the weight, advance no further"),
    ("paused", "resume"): Transition("progressing", "go on from where it was paused"),
    ("progressing", "set_weight"): Transition("progressing", "change the canary's share of new sessions"),
    ("paused", "set_weight"): Transition("paused", "change the canary's share of new sessions"),
    ("progressing", "promote"): Transition("promoted", "make the candidate live"),
    ("paused", "promote"): Transition("promoted", "make the candidate live"),
    ("progressing", "finish"): Transition("promoted", "end the watch: the candidate for everyone"),
    ("paused", "finish"): Transition("promoted", "end the watch: the candidate for everyone"),
    ("progressing", "roll_back"): Transition("rolled_back", "serve the baseline to everyone: it did harm"),
    ("paused", "roll_back"): Transition("rolled_back", "serve the baseline to everyone: it did harm"),
    ("progressing", "abort"): Transition("aborted", "serve the baseline to everyone: stopped by a person"),
    ("paused", "abort"): Transition("aborted", "serve the baseline to everyone: stopped by a person"),
    ("progressing", "approve"): Transition("progressing", "approve the next stage"),
    ("paused", "approve"): Transition("paused", "approve the next stage"),
    ("progressing", "advance"): Transition("progressing", "go to the next stage", person=False),
    ("progressing", "watch"): Transition("progressing", "make the candidate live, watch it", person=False),
    ("paused", "watch"): Transition("paused", "make the candidate live, watch it", person=False),
    ("progressing", "raise_weight"): Transition("progressing", "more sessions in this stage", person=False),
    ("progressing", "size"): Transition("progressing", "the stage's sessions per hour", person=False),
    ("progressing", "sample"): Transition("progressing", "measure another share", person=False),
    ("paused", "sample"): Transition("paused", "measure another share", person=False),
    ("progressing", "hold"): Transition("progressing", "wait, for a reason", person=False),
    ("progressing", "release"): Transition("progressing", "the reason to wait is gone", person=False),
}

PERSONS: frozenset[Event] = frozenset(event for (_, event), to in TRANSITIONS.items() if to.person)
FINAL: frozenset[Phase] = frozenset({"promoted", "rolled_back", "aborted"})


def next_phase(phase: Phase, event: Event) -> Phase:
    """The phase after `event`, or `TransitionRefused` naming what is possible instead."""
    transition = TRANSITIONS.get((phase, event))
    if transition is None:
        possible = ", ".join(events_from(phase)) or "nothing: it has ended"
        raise TransitionRefused(f"a rollout that is {phase} cannot {event}; possible is {possible}")
    return transition.target


def events_from(phase: Phase) -> tuple[Event, ...]:
    """What a person may ask for."""
    return tuple(event for (source, event), to in TRANSITIONS.items() if source == phase and to.person)


class Weight(msgspec.Struct, frozen=True):
    """The canary's share of new sessions from `effective_at` (store time, s) on; `q1`, `q0` are the shares
    of canary and stable sessions that are measured, `j1`, `j0` the shares of those that are judged."""

    value: float
    effective_at: float
    q1: float = 1.0
    q0: float = 1.0
    j1: float = 1.0
    j0: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise InvalidValue(f"a weight is a number from 0 to 1, not {self.value}", param="weight")


class Hold(msgspec.Struct, frozen=True):
    """Why a rollout waits, since when (store time, s), and the same in words."""

    reason: HoldReason
    since: float
    detail: str = ""


class Rollout(msgspec.Struct, frozen=True, omit_defaults=True):
    """One candidate against one baseline. `weights` is the whole history, oldest first; `salt` is new for
    each rollout, so that buckets of different rollouts are independent.

    `policy` is frozen at the start; None: by hand. `stages` are the times at which each planned stage came
    into force, `watch_since` that of the watch (0: not yet). `rules`: limits of the analysis that differ from
    their defaults, frozen too. `raises`: how often the controller raised the weight for want of evidence.
    `paused_at`: since when it is paused (0: it is not), `paused_before`: s of this stage that it was paused
    before."""

    id: str
    prompt: str
    candidate: int
    baseline: int
    salt: str
    phase: Phase
    weights: tuple[Weight, ...]
    started_at: float
    started_by: str
    reason: str = ""
    ended_at: float = 0.0
    ended_by: str = ""
    end_reason: str = ""
    policy: Policy | None = None
    policy_name: str = ""
    stages: tuple[float, ...] = ()
    watch_since: float = 0.0
    hold: Hold | None = None
    rules: dict[str, float] = {}
    raises: int = 0
    paused_at: float = 0.0
    paused_before: float = 0.0
    approvals: tuple[Approval, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.id, "rollout")
        if self.candidate == self.baseline:
            raise InvalidValue("a rollout's candidate must differ from its baseline", param="candidate")
        if not self.weights:
            raise InvalidValue("a rollout needs a weight", param="weight")

    @property
    def stage(self) -> int:
        """The index of the planned stage that it has reached; the watch comes after any of them."""
        return max(len(self.stages) - 1, 0)

    @property
    def in_shadow(self) -> bool:
        """Before its first stage: nobody is served by the candidate."""
        policy = self.policy
        return policy is not None and policy.shadow is not None and not self.stages and not self.in_watch

    @property
    def exposed_at(self) -> float:
        """From when on sessions may go to the candidate; what a maximum bake is counted from."""
        return self.stages[0] if self.stages and self.policy and self.policy.shadow else self.started_at

    @property
    def stage_since(self) -> float:
        """When the present stage, or the watch, came into force."""
        return self.watch_since or (self.stages[-1] if self.stages else self.weights[0].effective_at)

    def paused_for(self, now: float) -> float:
        """Seconds of this stage in which a person had it paused."""
        return self.paused_before + (max(now - self.paused_at, 0.0) if self.paused_at else 0.0)

    @property
    def in_watch(self) -> bool:
        return self.watch_since > 0.0

    def drawn_under(self, value: float, q1: float, q0: float, at: float) -> Weight | None:
        """The entry of the history that a session was drawn under at `at`; None if there is none like it."""
        for weight in (self.weight_at(at), *reversed(self.weights)):
            if (weight.value, weight.q1, weight.q0) == (value, q1, q0):
                return weight
        return None

    def weight_at(self, now: float) -> Weight:
        """The weight in force at `now` (store time); before the first takes effect, zero."""
        for weight in reversed(self.weights):
            if weight.effective_at <= now:
                return weight
        first = self.weights[0]
        return msgspec.structs.replace(first, value=0.0)

    @property
    def highest(self) -> float:
        """The highest weight so far, an announced one included: no bucket above it was ever drawn canary."""
        highest = 0.0
        for weight in self.weights:
            if weight.value > highest:
                highest = weight.value
        return highest


class Expiry(msgspec.Struct, frozen=True):
    """An emergency deploy is taken back at `at` (store time, s): `back_to` becomes live. It is gone with
    whatever else becomes live before."""

    at: float
    back_to: int


class Emergency(msgspec.Struct, frozen=True):
    """`live` was made so without a canary at `since` (store time, s), in the place of version `before`.
    `worse`: that it fails more often than that has been seen, and said."""

    since: float
    before: int
    worse: bool = False


class Deployment(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `prompt` serves. `rollout` is the one that is not final; `labels` are movable names; `gates`
    and `outcomes` (the last final phase a version's rollout ended in) are what states derive from; `expiry`
    is that of `live`, if it has one; `emergency` that of a `live` without a holdback."""

    prompt: str
    live: int | None = None
    rollout: Rollout | None = None
    labels: dict[str, int] = {}
    gates: dict[int, Gate] = {}
    outcomes: dict[int, Phase] = {}
    expiry: Expiry | None = None
    emergency: Emergency | None = None

    def __post_init__(self) -> None:
        check_name(self.prompt, "prompt")


def state_of(deployment: Deployment, version: int) -> State:
    """What a version is now; versions without a gate record are pending."""
    rollout = deployment.rollout
    if rollout is not None and rollout.in_watch and version == rollout.candidate:
        return "promoting"
    if version == deployment.live:
        return "live"
    if rollout is not None and version == rollout.candidate:
        return "canary"
    gate = deployment.gates.get(version)
    if gate is not None and gate.state == "failed":
        return "rejected"
    outcome = deployment.outcomes.get(version)
    if outcome == "rolled_back":
        return "rolled_back"
    if outcome == "promoted":
        return "archived"
    return "ready" if gate is not None and gate.state == "passed" else "pending_eval"
