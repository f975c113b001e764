"""Regression cases: answers of a canary that failed, until a person takes them into the suite.

    quarantined → accepted | rejected

Their words are kept apart from what is known of them, redacted and for a limited time; an accepted case keeps
what the user said, because it is asked again, and not the answer.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gateway.domain.observation import Drawn

CaseState = Literal["quarantined", "accepted", "rejected"]
MOST_ACCEPTED = 500  # of one prompt


class Case(msgspec.Struct, frozen=True, omit_defaults=True):
    """`flags` and `score` (None: not judged) say why it is one; `unit` is the session's pin. Times are store
    times, s: of its words nothing is left after `until`. `test`: the case as a suite has it, once it is
    accepted. `by` decided it, for a `reason`."""

    id: str
    version: int
    rollout: str
    unit: Drawn
    at: float
    until: float
    flags: tuple[str, ...] = ()
    score: float | None = None
    state: CaseState = "quarantined"
    test: dict[str, Any] | None = None
    by: str = ""
    reason: str = ""


class Cases(msgspec.Struct, frozen=True):
    """Of one prompt, the oldest first."""

    prompt: str
    cases: tuple[Case, ...] = ()


class Words(msgspec.Struct, frozen=True, array_like=True):
    """A conversation and the answer that failed, redacted."""

    question: str
    answer: str


def case_id(rollout: str, session: bytes) -> str:
    """One for each session of a rollout.

    >>> case_id("3f2a9c01b7de", bytes(16))
    '3f2a9c01b7de-000000000000'
    """
    return f"{rollout}-{session.hex()[:12]}"


def pruned(cases: Cases, now: float, most: int) -> Cases:
    """Without those that nobody decided in time, and of the others at most `most` beside accepted ones."""
    living = [case for case in cases.cases if case.state != "quarantined" or case.until > now]
    spare = max(sum(case.state != "accepted" for case in living) - most, 0)
    kept = []
    for case in living:
        if spare and case.state == "rejected":
            spare -= 1
            continue
        kept.append(case)
    return msgspec.structs.replace(cases, cases=tuple(kept))
