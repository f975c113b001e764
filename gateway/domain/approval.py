"""Who has approved what of a rollout, and who may.

An approval is of one stage and rests on what was seen: the candidate's gate and the rollout's policy. Their
digest (`basis`) is kept with it, so it is void by itself once either is another one.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

_ACTOR = re.compile(r"(?P<token>\S+) \((?P<said>.*)\)", re.DOTALL)


class Approval(msgspec.Struct, frozen=True):
    """Of the stage that was next (`2`, `3`, … as people count, or `watch`); `at`: store time, s."""

    stage: str
    actor: str
    at: float
    basis: str


def basis_of(*values: object) -> str:
    """The digest of what an approval rests on."""
    return hashlib.sha256(msgspec.json.encode(values, order="sorted")).hexdigest()


def people(actor: str) -> frozenset[str]:
    """Everybody that an actor of the audit log may be: a token, and who it says it acts for.

    >>> sorted(people("ci (ann)")), sorted(people("bob"))
    (['ann', 'ci'], ['bob'])
    """
    match = _ACTOR.fullmatch(actor)
    return frozenset((actor,)) if match is None else frozenset(match.groups())


def principal(actor: str) -> str:
    """Who an actor is for sure: its token. What it says of itself could be said by anybody.

    >>> principal("ci (ann)"), principal("bob")
    ('ci', 'bob')
    """
    match = _ACTOR.fullmatch(actor)
    return actor if match is None else match["token"]
