"""Two answers to one conversation, which is the better one: the same question in both orders.

Judges prefer what stands first, or what stands last (MT-Bench, arXiv 2306.05685). So a pair is asked about
twice, with the answers exchanged, and `preference` averages: a judge that goes by the place says a tie.
"""

from __future__ import annotations

from typing import Any

from gateway.evals.question import NOTHING_ASKED, SYSTEM, Asked, block, schema
from gateway.evals.rubric import Criterion

ANCHORS = ("The first answer is the better one.", "Neither is.", "The second answer is the better one.")
TASK = """\
Question: compare the first answer with the second one. Which of them is better by this: {question}

Scores:
{anchors}

First write the reason, in one to three sentences, then the score. Answer with one JSON object and nothing \
else: {{"reason": "…", "score": a whole number from 1 to {best}}}"""


def pair_criterion(value: Any) -> Criterion:
    return Criterion("better", str(value), ANCHORS)


def ask_pair(criterion: Criterion, question: str, first: str, second: str, nonce: str) -> Asked:
    """Its score in [0, 1] is for the second answer. `nonce` must be new and unguessable."""
    anchors = "\n".join(f"{score}: {text}" for score, text in enumerate(criterion.anchors, 1))
    blocks = (
        block("conversation", question.strip() or NOTHING_ASKED, nonce),
        block("first-answer", first, nonce),
        block("second-answer", second, nonce),
        TASK.format(question=criterion.question, anchors=anchors, best=criterion.best),
    )
    return Asked(SYSTEM, "\n\n".join(blocks), schema(criterion))


def preference(as_second: float, as_first: float) -> float:
    """For one of two answers, in [0, 1], from the scores that were given where it stood second and first;
    .5 is a tie.

    >>> preference(1.0, 0.0), preference(1.0, 1.0)
    (1.0, 0.5)
    """
    return (as_second + 1.0 - as_first) / 2.0
