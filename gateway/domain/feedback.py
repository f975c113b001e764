"""What a user, or an application for them, said of one answer. The answer is named by its signed request id.

`outcome` is what is told of: `feedback` where nothing else is named, or an outcome of the application's
own, such as `resolved`. A later value for the same answer and outcome is a correction of the earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.domain.names import check_name
from gateway.domain.request_id import RequestId
from gateway.errors import InvalidValue

OUTCOME = "feedback"
THUMBS = {"up": 1.0, "down": 0.0}
MOST_COMMENT = 2000  # characters


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As it is sent. `score`: 0 to 1, true or false, "up" or "down"; default 1 where an outcome is named."""

    request_id: str
    score: float | bool | str | None = None
    comment: str = ""
    outcome: str = ""


class Feedback(msgspec.Struct, frozen=True, array_like=True):
    """`session`: the first 8 bytes of its hash, b"" without one. Times are store times, s."""

    request_id: str
    version: int
    canary: bool
    session: bytes
    answered_at: float
    told_at: float
    outcome: str
    score: float
    comment: str = ""


_BODY = msgspec.json.Decoder(Body)
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Feedback)


def read_body(raw: bytes) -> Body:
    """Raises `InvalidValue`."""
    try:
        return _BODY.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidValue(
            f'feedback is {{"request_id", "score", "comment", "outcome"}} in JSON: {error}', param="body"
        ) from error


def feedback_of(body: Body, id: RequestId, now: float) -> Feedback:
    """Raises `InvalidValue` for a score, outcome or comment that is none."""
    if body.outcome:
        check_name(body.outcome, "outcome")
    if len(body.comment) > MOST_COMMENT:
        raise InvalidValue(f"a comment has at most {MOST_COMMENT} characters", param="comment")
    return Feedback(
        request_id=body.request_id,
        version=id.version,
        canary=id.arm == "canary",
        session=id.session,
        answered_at=id.at,
        told_at=now,
        outcome=body.outcome or OUTCOME,
        score=_score(body),
        comment=body.comment,
    )


def _score(body: Body) -> float:
    score = body.score
    if score is None and body.outcome:
        return 1.0
    if isinstance(score, str) and score in THUMBS:
        return THUMBS[score]
    if isinstance(score, bool | float | int) and 0.0 <= score <= 1.0:
        return float(score)
    raise InvalidValue('score is a number from 0 to 1, true or false, "up" or "down"', param="score")


def encode_feedback(feedback: Feedback) -> bytes:
    return _ENCODER.encode(feedback)


def decode_feedback(value: bytes) -> Feedback:
    """Raises `msgspec.DecodeError` for bytes that no gateway of this version wrote."""
    return _DECODER.decode(value)


class Told(msgspec.Struct, frozen=True):
    """One outcome in one arm: answers that it was told of, the mean score, and how many were below a half."""

    answers: int
    mean: float
    bad: int


def summarise(told: Iterable[Feedback]) -> dict[str, dict[str, Told]]:
    """By outcome and arm; of each answer the last word counts."""
    last: dict[tuple[str, str], Feedback] = {}
    for each in told:
        last[(each.request_id, each.outcome)] = each
    found: dict[str, dict[str, list[float]]] = {}
    for each in last.values():
        arm = "canary" if each.canary else "stable"
        found.setdefault(each.outcome, {}).setdefault(arm, []).append(each.score)
    return {
        outcome: {
            arm: Told(len(scores), sum(scores) / len(scores), sum(score < 0.5 for score in scores))
            for arm, scores in sorted(arms.items())
        }
        for outcome, arms in sorted(found.items())
    }
