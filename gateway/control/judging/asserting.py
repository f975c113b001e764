"""What a suite asserts of one answer: checks that need nothing else, and questions to the judge's model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gateway.control.judging.model import JudgeModel
from gateway.errors import InvalidValue, NoAnswer
from gateway.evals.checks import CHECKS, JUDGED, JUDGED_THRESHOLD, PAIRED, Result, Run
from gateway.evals.pair import ask_pair, pair_criterion, preference
from gateway.evals.question import Asked, ask
from gateway.evals.report import RunResult
from gateway.evals.rubric import Criterion, Rubric
from gateway.evals.suite import Assertion, Case, filled
from gateway.telemetry.tracer import current

TIE = 0.5


class Asserter:
    """`judge`: its model, which is closed with this, and its name. `nonce` makes unguessable words."""

    def __init__(self, judge: tuple[JudgeModel, str] | None, attempts: int, nonce: Callable[[], str]) -> None:
        self._judge = judge
        self._attempts = attempts
        self._nonce = nonce

    async def close(self) -> None:
        if self._judge is not None:
            await self._judge[0].close()

    async def result(self, case: Case, run: Run, rival: Run | None) -> RunResult:
        """`rival`: the live version's answer; None where there is none to compare with. Raises `NoAnswer`."""
        scored = [(each, await self._assert(each, case, run, rival)) for each in case.asserts]
        failures = tuple(
            f"{each.shown} (line {each.line}): {result.reason or 'it holds'}"
            for each, result in scored
            if not result.passed
        )
        weighed = [(each.weight, result) for each, result in scored if each.type != PAIRED]
        total = sum(weight for weight, _ in weighed)
        score = sum(weight * result.score for weight, result in weighed) / total if total else 1.0
        broken = any(each.always and not result.passed for each, result in scored)
        needed = [each.weight > 0.0 for each, _ in scored]
        if case.threshold is not None:
            needed = [each.type == PAIRED and each.weight > 0.0 for each, _ in scored]
        holds = all(result.passed for (_, result), must in zip(scored, needed, strict=True) if must)
        passed = holds and not broken and (case.threshold is None or score >= case.threshold)
        return RunResult(score, passed, failures, broken=broken)

    async def _assert(self, each: Assertion, case: Case, run: Run, rival: Run | None) -> Result:
        value = _filled(each.value, case.vars)
        if each.type in CHECKS:
            result = CHECKS[each.type].check(run, value, each.threshold)
        elif each.type == PAIRED:
            result = await self._best(each, value, run, rival)
        else:
            result = await self._judged(each, value, run)
        if each.negated:
            result = Result(1.0 - float(result.passed), "")
        current().result(each.type, result.score, label="pass" if result.passed else "fail")
        return result

    async def _judged(self, each: Assertion, value: Any, run: Run) -> Result:
        """Raises `NoAnswer` where the judge gives no score, and `InvalidValue` where there is none."""
        criteria = JUDGED[each.type](value)
        rubric, question = Rubric("suite", criteria), f"user: {run.question}"

        async def of(criterion: Criterion) -> float:
            asked = partial(ask, rubric, criterion, question, run.text)
            return await self._ask(each, lambda: asked(self._nonce()), criterion)

        scores = [await of(criterion) for criterion in criteria]
        score = sum(scores) / len(scores)
        needs = JUDGED_THRESHOLD if each.threshold is None else each.threshold
        return Result(1.0, "") if score >= needs else Result(min(score, 0.999), f"the judge gave {score:.2f}")

    async def _best(self, each: Assertion, value: Any, run: Run, rival: Run | None) -> Result:
        """Not worse than the live version's answer, asked in both orders; where nothing is live it is the
        best there is."""
        if rival is None:
            return Result(1.0, "")
        criterion, question = pair_criterion(value), f"user: {run.question}"

        async def of(first: str, second: str) -> float:
            return await self._ask(
                each, lambda: ask_pair(criterion, question, first, second, self._nonce()), criterion
            )

        won = preference(await of(rival.text, run.text), await of(run.text, rival.text))
        needs = TIE if each.threshold is None else each.threshold
        lost = f"the live version's answer is the better one: preferred {won:.2f} in both orders"
        return Result(1.0, "") if won >= needs else Result(min(won, 0.999), lost)

    async def _ask(self, each: Assertion, asked: Callable[[], Asked], criterion: Criterion) -> float:
        if self._judge is None:
            raise InvalidValue(f"{each.type} (line {each.line}) needs a judge: add the section `judge`")
        model, name = self._judge
        cause = ""
        for _ in range(self._attempts):
            reply = await model.ask(name, asked(), criterion)
            if reply.score is not None:
                return reply.score
            cause = reply.cause
        raise NoAnswer(f"the judge gave no score: {cause}")


def _filled(value: Any, variables: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return filled(value, variables)
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    return value
