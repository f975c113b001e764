"""Rollouts and deployments: what is served, and the one table that says how it may change.

A deployment is the one document that decides what a prompt serves: its live version and at most one
rollout that is not final. A rollout's phase moves only by `TRANSITIONS`:

    progressing ⇄ paused → promoted | rolled_back | aborted

`rolled_back` says that the candidate was found harmful (by evidence, or by a person who says so);
`aborted` says that a person stopped it for any other reason. A version's state is derived from gate and
deployment (`state_of`), never stored: so any version that passed its gate can be rolled out again.

A weight change is published with `effective_at`: raising it lies one second ahead, so that every worker
knows of it before it counts; lowering it acts at once.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from gateway.domain.names import check_name
from gateway.domain.prompt import Gate
from gateway.errors import InvalidValue, TransitionRefused

Phase = Literal["progressing", "paused", "promoted", "rolled_back", "aborted"]
Event = Literal["pause", "resume", "set_weight", "promote", "roll_back", "abort"]
State = Literal["pending_eval", "rejected", "ready", "canary", "promoting", "live", "archived", "rolled_back"]

RAISE_LEAD = 1.0  # seconds from the commit of a higher weight to its effect


class Transition(NamedTuple):
    target: Phase
    says: str  # what it does, for buttons and help texts


TRANSITIONS: dict[tuple[Phase, Event], Transition] = {
    ("progressing", "pause"): Transition("paused", "keep the weight, advance no further"),
    ("paused", "resume"): Transition("progressing", "go on from where it was paused"),
    ("progressing", "set_weight"): Transition("progressing", "change the canary's share of new sessions"),
    ("paused", "set_weight"): Transition("paused", "change the canary's share of new sessions"),
    ("progressing", "promote"): Transition("promoted", "make the candidate live for everyone"),
    ("paused", "promote"): Transition("promoted", "make the candidate live for everyone"),
    ("progressing", "roll_back"): Transition("rolled_back", "serve the baseline to everyone: it did harm"),
    ("paused", "roll_back"): Transition("rolled_back", "serve the baseline to everyone: it did harm"),
    ("progressing", "abort"): Transition("aborted", "serve the baseline to everyone: stopped by a person"),
    ("paused", "abort"): Transition("aborted", "serve the baseline to everyone: stopped by a person"),
}

FINAL: frozenset[Phase] = frozenset({"promoted", "rolled_back", "aborted"})


def next_phase(phase: Phase, event: Event) -> Phase:
    """The phase after `event`, or `TransitionRefused` naming what is possible instead."""
    transition = TRANSITIONS.get((phase, event))
    if transition is None:
        possible = ", ".join(events_from(phase)) or "nothing: it has ended"
        raise TransitionRefused(f"a rollout that is {phase} cannot {event}; possible is {possible}")
    return transition.target


def events_from(phase: Phase) -> tuple[Event, ...]:
    return tuple(event for (source, event) in TRANSITIONS if source == phase)


class Weight(msgspec.Struct, frozen=True):
    """The canary's share of new sessions from `effective_at` (store time, s) on; `q1`, `q0` are the shares
    of canary and stable sessions that are measured."""

    value: float
    effective_at: float
    q1: float = 1.0
    q0: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise InvalidValue(f"a weight is a number from 0 to 1, not {self.value}", param="weight")


class Rollout(msgspec.Struct, frozen=True, omit_defaults=True):
    """One candidate against one baseline. `weights` is the whole history, oldest first; `salt` is new for
    each rollout, so that buckets of different rollouts are independent."""

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

    def __post_init__(self) -> None:
        check_name(self.id, "rollout")
        if self.candidate == self.baseline:
            raise InvalidValue("a rollout's candidate must differ from its baseline", param="candidate")
        if not self.weights:
            raise InvalidValue("a rollout needs a weight", param="weight")

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


class Deployment(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `prompt` serves. `rollout` is the one that is not final; `labels` are movable names; `gates`
    and `outcomes` (the last final phase a version's rollout ended in) are what states derive from."""

    prompt: str
    live: int | None = None
    rollout: Rollout | None = None
    labels: dict[str, int] = {}
    gates: dict[int, Gate] = {}
    outcomes: dict[int, Phase] = {}

    def __post_init__(self) -> None:
        check_name(self.prompt, "prompt")


def state_of(deployment: Deployment, version: int) -> State:
    """What a version is now; versions without a gate record are pending."""
    rollout = deployment.rollout
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
