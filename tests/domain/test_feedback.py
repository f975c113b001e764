"""Feedback as it is sent, kept and summed up."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.domain.feedback import (
    Body,
    Feedback,
    Told,
    decode_feedback,
    encode_feedback,
    feedback_of,
    read_body,
    summarise,
)
from gateway.domain.request_id import RequestId
from gateway.errors import InvalidValue

ID = RequestId("0123456789ab", 3, "canary", b"12345678", 100.0, b"abcd")


@pytest.mark.parametrize(
    ("body", "outcome", "score"),
    [
        ({"score": 0.25}, "feedback", 0.25),
        ({"score": 1}, "feedback", 1.0),
        ({"score": False}, "feedback", 0.0),
        ({"score": "up"}, "feedback", 1.0),
        ({"score": "down", "outcome": "resolved"}, "resolved", 0.0),
        ({"outcome": "purchase"}, "purchase", 1.0),
    ],
)
def test_scores_and_outcomes(body: dict[str, Any], outcome: str, score: float) -> None:
    sent = read_body(msgspec.json.encode({"request_id": "pc1.x", **body}))
    told = feedback_of(sent, ID, 200.0)
    assert (told.outcome, told.score) == (outcome, score)
    assert (told.version, told.canary, told.session, told.answered_at, told.told_at) == (
        *(3, True, b"12345678"),
        *(100.0, 200.0),
    )
    assert decode_feedback(encode_feedback(told)) == told


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"", "feedback is"),
        (b"[]", "Expected `object`"),
        (b'{"score": 1}', "missing required field `request_id`"),
        (b'{"request_id": "x", "rating": 1}', "unknown field `rating`"),
        (b'{"request_id": "x"}', "score is a number"),
        (b'{"request_id": "x", "score": 1.5}', "score is a number"),
        (b'{"request_id": "x", "score": "good"}', "score is a number"),
        (b'{"request_id": "x", "score": 1, "outcome": "a/b"}', "outcome"),
        (b'{"request_id": "x", "score": 1, "comment": "%s"}' % (b"x" * 2001), "at most 2000 characters"),
    ],
)
def test_what_is_no_feedback_is_refused(raw: bytes, complaint: str) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        feedback_of(read_body(raw), ID, 0.0)


def told(id: str, score: float, *, canary: bool = False, outcome: str = "feedback") -> Feedback:
    return feedback_of(
        Body(id, score, outcome=outcome), replace(ID, arm="canary" if canary else "stable"), 0.0
    )


def test_a_later_value_is_a_correction() -> None:
    found = summarise(
        [
            told("a", 0.0),
            told("b", 1.0),
            told("c", 0.25, canary=True),
            told("a", 1.0),
            told("a", 0.0, outcome="resolved"),
        ]
    )
    assert found == {
        "feedback": {"canary": Told(1, 0.25, 1), "stable": Told(2, 1.0, 0)},
        "resolved": {"stable": Told(1, 0.0, 1)},
    }
    assert summarise([]) == {}
