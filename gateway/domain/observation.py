"""What the evidence log holds: batches of records, written by workers and judges, read by the fold.

    Assigned   a measured session was pinned: written once, while its first answer is still on its way
    Observed   one request of a measured session has ended
    Scored     a judge's result on a session's judged response, or why there is none
    Told       what came of an answer, by the application's own name for it
    Flagged    a safety flag that somebody else than the worker saw in an answer, or took away
    Pair       a stable request that was replayed on the candidate, both answers judged side by side

Every record names its session's pin (`Drawn`), so that any of them opens the unit and π is exact. Times are
the store's as the worker estimates it, s; durations are s of the worker's own clock. A batch is folded once:
the fold remembers the last sequence of each writer's start.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Outcome = Literal[
    "ok",
    "prompt",  # an error that a prompt can cause: a refused request (400, 413, 422), an error in the stream
    "provider",  # failed before the model saw the prompt: no connection, 429, 5xx
    "client",  # the client left first, so nobody knows how it would have ended
]


class Drawn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A session's pin as the fold needs it: drawn with `weight` and sampled with `q1`, `q0` at `pinned_at`;
    `judged`: its first response goes to the judge, which `j1`, `j0` of the measured sessions do (canary,
    stable)."""

    session: bytes
    canary: bool
    weight: float
    q1: float
    q0: float
    pinned_at: float
    judged: bool = False
    j1: float = 1.0
    j0: float = 1.0


class Assigned(msgspec.Struct, frozen=True, array_like=True, tag="a", gc=False):
    unit: Drawn


class Observed(msgspec.Struct, frozen=True, array_like=True, tag="o", gc=False):
    """`first`: the request that made the pin. `again`: the SDK repeats a request (no new unit). `started_at`:
    when it was received. `first_token`, `total`: s, from when it went to the provider. `tokens`: of the
    answer. `cost`: USD at list price as if nothing had been cached. None: not known. `flags`: of safety.
    `trace`: trace and span of the request, 24 bytes, or b""; nothing is decided on it. `judged`: its answer
    is the one to be judged, where the policy wants another than the first."""

    unit: Drawn
    first: bool
    again: bool
    started_at: float
    outcome: Outcome
    total: float
    first_token: float | None = None
    tokens: int | None = None
    cost: float | None = None
    flags: tuple[str, ...] = ()
    trace: bytes = b""
    judged: bool = False


class Scored(msgspec.Struct, frozen=True, array_like=True, tag="s", gc=False):
    """`score` in [0, 1], 1 is best; None with a `cause` if it could not be judged. `judge`: the digest of
    model, rubric and prompt that it comes from. `weighted`: the score is an expectation over the
    probabilities of the judge's tokens."""

    unit: Drawn
    score: float | None
    judged_at: float
    cause: str = ""
    judge: str = ""
    weighted: bool = False


class Pair(msgspec.Struct, frozen=True, array_like=True, tag="p", gc=False):
    """Of a shadow stage; pairs are (stable, candidate). `difference`: stable's score − the candidate's, in
    [−1, 1], the mean of both orders; None with a `cause`. `outcomes`: of both requests; `flagged`: whether an
    answer has a safety flag. `judge` as in `Scored`. The unit is the session of the stable request."""

    unit: Drawn
    judged_at: float
    difference: float | None = None
    cause: str = ""
    outcomes: tuple[Outcome, Outcome] = ("ok", "ok")
    flagged: tuple[bool, bool] = (False, False)
    judge: str = ""


class Flagged(msgspec.Struct, frozen=True, array_like=True, tag="f", gc=False):
    """`by` names the detector (judge, moderation) or a person (`person:ann`). `cleared`: that person says
    that there is nothing of the kind in the session's answers."""

    unit: Drawn
    flag: str
    by: str
    at: float
    cleared: bool = False


class Told(msgspec.Struct, frozen=True, array_like=True, tag="t", gc=False):
    """`session`: the first 8 bytes of its hash, as in request ids. `score` in [0, 1], 1 is best."""

    session: bytes
    outcome: str
    score: float
    at: float


Evidence = Told | Assigned | Observed | Scored | Flagged | Pair


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """What one writer puts into one rollout's log at once. `writer` names one start of one process;
    `sequence` counts its batches in this log from 1; `dropped` its records lost so far to a full buffer."""

    writer: str
    sequence: int
    written_at: float
    records: tuple[Evidence, ...]
    dropped: int = 0


class _Written(msgspec.Struct, array_like=True, gc=False):
    """A `Batch` whose records are bytes already."""

    writer: str
    sequence: int
    written_at: float
    records: list[msgspec.Raw]
    dropped: int


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    return _ENCODER.encode(batch)


def written(record: Evidence) -> msgspec.Raw:
    """For `encode_written`: records are put into bytes as they come, not all at once."""
    return msgspec.Raw(_ENCODER.encode(record))


def encode_written(
    writer: str, sequence: int, written_at: float, records: list[msgspec.Raw], dropped: int
) -> bytes:
    """What `encode_batch` makes of the same batch."""
    return _ENCODER.encode(_Written(writer, sequence, written_at, records, dropped))


def decode_batch(value: bytes) -> Batch:
    """Raises `msgspec.DecodeError` for bytes that no gateway of this version wrote."""
    return _DECODER.decode(value)
