"""One of two answers to the same conversation, scored by a rubric in sight of the other one.

    asked about the candidate's    conversation · stable's answer · the candidate's     → score
    asked about stable's           conversation · the candidate's answer · stable's     → score

So each answer stands first once and second once, and the one that is scored always stands second: what a
judge gives to a place (MT-Bench, arXiv:2306.05685) it gives to both, and it goes away in the difference. The
scale is the rubric's, as for answers that are judged alone, so the policy's tolerance means the same. Neither
answer is said to be of any version.
"""

from __future__ import annotations

import hashlib

from gateway.evals.question import BLOCK, NOTHING_ASKED, SYSTEM, Asked, anchored, block, context_of, schema
from gateway.evals.rubric import Criterion, Rubric

TASK = """\
{context}Two assistants ended the same conversation. Judge the second answer alone; the first one shows what \
else could have been said, and may be better or worse.

Question about the second answer: {question}

Scores:
{anchors}

First write the reason, in one to three sentences, then the score. Answer with one JSON object and nothing \
else: {{"reason": "…", "score": a whole number from 1 to {best}}}"""
NOTHING_SAID = "(the answer holds no text)"

PAIR_DIGEST = hashlib.sha256(
    "\0".join((SYSTEM, BLOCK, TASK, NOTHING_ASKED, NOTHING_SAID)).encode()
).hexdigest()


def ask_beside(
    rubric: Rubric, criterion: Criterion, question: str, other: str, answer: str, nonce: str
) -> Asked:
    """About `answer`, beside `other`. `nonce` must be new and unguessable."""
    task = TASK.format(
        context=context_of(rubric),
        question=criterion.question,
        anchors=anchored(criterion),
        best=criterion.best,
    )
    blocks = (
        block("conversation", question.strip() or NOTHING_ASKED, nonce),
        block("first-answer", other.strip() or NOTHING_SAID, nonce),
        block("second-answer", answer.strip() or NOTHING_SAID, nonce),
    )
    return Asked(SYSTEM, "\n\n".join((*blocks, task)), schema(criterion))
