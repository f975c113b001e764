"""Whose pins an operator has cleared: a document that workers follow, so that they forget them too.

`count` rises by one with each; a worker that sees it rise by more than the list tells (it was away for long)
forgets all that it keeps of the rollout. Forgetting costs a look-up and changes no answer.
"""

from __future__ import annotations

import msgspec

LISTED = 1000  # the last ones


class Cleared(msgspec.Struct, frozen=True, array_like=True):
    """`session`: its keyed hash, hex; `at`: store time, s, after which its pin was gone."""

    session: str
    at: float


class Forgotten(msgspec.Struct, frozen=True):
    """Of one prompt, in its running rollout."""

    prompt: str
    rollout: str
    count: int = 0
    sessions: tuple[Cleared, ...] = ()


def with_cleared(before: Forgotten | None, prompt: str, rollout: str, session: str, at: float) -> Forgotten:
    if before is None or before.rollout != rollout:
        before = Forgotten(prompt, rollout)
    sessions = (*before.sessions, Cleared(session, at))[-LISTED:]
    return Forgotten(prompt, rollout, before.count + 1, sessions)


def unseen(told: Forgotten, seen: int) -> tuple[Cleared, ...] | None:
    """Those after the first `seen`; None: the list does not reach back so far."""
    news = told.count - seen
    if news > len(told.sessions):
        return None
    return told.sessions[len(told.sessions) - news :] if news > 0 else ()
