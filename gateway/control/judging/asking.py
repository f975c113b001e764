"""One answer judged by a whole rubric: each criterion is asked until there is a score or a reason why not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from gateway.control.judging.model import OUTAGE, JudgeModel, Reply
from gateway.evals.beside import ask_beside
from gateway.evals.question import Asked, ask
from gateway.evals.rubric import Bench, Criterion, Rubric, mean_score
from gateway.telemetry.tracer import current

BACKOFF, BACKOFF_MOST = 0.5, 5.0  # s between calls in an outage, doubling
FINAL = ("refused", "filtered")  # asking again changes nothing

Charge = Callable[[Reply], None]


class Words(NamedTuple):
    """What is judged; `other`: another answer to the same, in sight of which it is."""

    question: str
    answer: str
    other: str | None = None

    def asked(self, rubric: Rubric, criterion: Criterion, nonce: str) -> Asked:
        if self.other is None:
            return ask(rubric, criterion, self.question, self.answer, nonce)
        return ask_beside(rubric, criterion, self.question, self.other, self.answer, nonce)


class Judged(NamedTuple):
    """`score` in [0, 1], or None and a `cause`. `weighted`: every criterion's score is an expectation over
    the probabilities of the model's tokens, not the number that it wrote."""

    score: float | None
    cause: str
    weighted: bool = False


class Examiner:
    """`attempts`: calls for one question whose answers are late or cannot be read; an outage is waited out.
    `nonce` makes a new unguessable word."""

    def __init__(self, model: JudgeModel, *, attempts: int, nonce: Callable[[], str]) -> None:
        self._model = model
        self._attempts = attempts
        self._nonce = nonce

    async def judge(self, bench: Bench, words: Words, *, patience: float, charge: Charge) -> Judged:
        """Within `patience` s. `charge` is told of each call."""
        scores: dict[str, float] = {}
        weighted = True
        heard: list[str] = []
        try:
            async with asyncio.timeout(patience):
                for criterion in bench.rubric.criteria:
                    reply = await self._score(bench, criterion, words, heard, charge)
                    if reply.score is None:
                        return Judged(None, reply.cause)
                    scores[criterion.name] = reply.score
                    current().result(criterion.name, reply.score)
                    weighted = weighted and reply.weighted
        except TimeoutError:
            return Judged(None, heard[-1] if heard else "timeout")
        return Judged(mean_score(bench.rubric, scores), "", weighted)

    async def _score(
        self, bench: Bench, criterion: Criterion, words: Words, heard: list[str], charge: Charge
    ) -> Reply:
        """`heard` are the causes so far."""
        asked_times, wait = 0, BACKOFF
        while True:
            asked = words.asked(bench.rubric, criterion, self._nonce())
            reply = await self._model.ask(bench.model, asked, criterion)
            charge(reply)
            if reply.score is not None or reply.cause in FINAL:
                return reply
            heard.append(reply.cause)
            if reply.cause in OUTAGE:
                await asyncio.sleep(wait)
                wait = min(2.0 * wait, BACKOFF_MOST)
                continue
            asked_times += 1
            if asked_times >= self._attempts:
                return reply
