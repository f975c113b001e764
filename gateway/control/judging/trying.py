"""A version's answers to a suite, outside of any traffic: what a client would cause, sent directly.

The body is made by the same functions as on the data path, so what is tried is what will be served.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import openai
from openai import AsyncOpenAI

from gateway.control.judging.model import NO_KEY, JudgeModel
from gateway.control.judging.tracing import called, suite_run, tried
from gateway.domain.prompt import Version
from gateway.errors import InvalidValue, NoAnswer
from gateway.evals.checks import CHECKS, JUDGED, JUDGED_THRESHOLD, Result, Run
from gateway.evals.detect import probes_of
from gateway.evals.question import ask
from gateway.evals.report import CaseResult, Report, RunResult
from gateway.evals.rubric import Rubric
from gateway.evals.suite import Assertion, Case, Suite, filled, user_message
from gateway.prices import PriceList
from gateway.promptfiles.compiled import compile_prompt
from gateway.settings import EvalSettings
from gateway.telemetry.tracer import Tracer, Work
from gateway.wire import chat
from gateway.wire.splice import split
from gateway.wire.texts import answer_of
from gateway.wire.usage import finish_word, parse_usage

PAUSE = 0.5  # s between attempts, doubling
MOST_ANSWER = 256 * 1024
Progress = Callable[[], None]


class Trier:
    """`judge`: its model, which is closed with this, and its name, for assertions that ask one. `nonce` makes
    unguessable words."""

    def __init__(
        self,
        settings: EvalSettings,
        base_url: str,
        api_key: str | None,
        prices: PriceList,
        nonce: Callable[[], str],
        judge: tuple[JudgeModel, str] | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer or Tracer()
        self._settings = settings
        self._base_url = base_url
        self._prices = prices
        self._nonce = nonce
        self._judge = judge
        self._client = AsyncOpenAI(
            base_url=base_url, api_key=api_key or NO_KEY, timeout=settings.timeout, max_retries=0
        )
        self._room = asyncio.Semaphore(settings.concurrency)

    async def close(self) -> None:
        await self._client.close()
        if self._judge is not None:
            await self._judge[0].close()

    async def run(
        self, suite: Suite, version: Version, live: Version | None = None, progress: Progress = lambda: None
    ) -> Report:
        """Raises `InvalidValue` for a suite that cannot be asked of this version."""
        cases = await self._cases(suite, version, progress)
        against = () if live is None else await self._cases(suite, live, progress)
        comparable = against and not any(case.state == "incomplete" for case in against)
        return Report(suite.reference, cases, tuple(case.score for case in against) if comparable else ())

    async def _cases(self, suite: Suite, version: Version, progress: Progress) -> tuple[CaseResult, ...]:
        bodies = [self._body(version, suite, case) for case in suite.cases]

        async def one(case: Case, body: dict[str, Any], whole: Work) -> RunResult:
            async with self._room:
                with tried(self._tracer, whole, case.name) as work:
                    result = await self._run(version, suite, case, body, work)
            progress()
            return result

        with suite_run(self._tracer, suite.reference, version) as whole:
            pairs = zip(suite.cases, bodies, strict=True)
            tasks = [[one(case, body, whole) for _ in range(case.repeat)] for case, body in pairs]
            results = await asyncio.gather(*(asyncio.gather(*each) for each in tasks))
        return tuple(
            CaseResult(case.name, case.line, case.min_pass_rate, tuple(runs))
            for case, runs in zip(suite.cases, results, strict=True)
        )

    # --- one run

    def _body(self, version: Version, suite: Suite, case: Case) -> dict[str, Any]:
        content = version.content
        model = content.model.id or self._settings.model
        if model is None:
            raise InvalidValue(
                f"{version.prompt}/{version.number} leaves the model to the client: name one in evals.model",
                param="evals.model",
            )
        inputs = {item.name for item in content.inputs}
        given = {name: value for name, value in case.vars.items() if name in inputs}
        messages = compile_prompt(content).render(given, time.monotonic)
        said = {"role": "user", "content": user_message(suite, case)}
        fields = split(msgspec.json.encode({"model": model, "messages": [said]}))
        recipe = chat.recipe(content, version.prompt)
        own = chat.encode_messages(messages)
        injected = chat.inject(fields, chat.inspect(fields), recipe, own)
        body: dict[str, Any] = msgspec.json.decode(b"".join(injected.pieces))
        return body

    async def _run(
        self, version: Version, suite: Suite, case: Case, body: dict[str, Any], work: Work
    ) -> RunResult:
        try:
            with called(self._tracer, work, str(body["model"])):
                run = await self._answer(version, user_message(suite, case), body)
            scored = [(each, await self._assert(each, case, run, work)) for each in case.asserts]
        except NoAnswer as error:
            work.error = work.attributes["error.type"] = "no_answer"
            return RunResult(0.0, False, error=error.message)
        failures = tuple(
            f"{each.shown} (line {each.line}): {result.reason or 'it holds'}"
            for each, result in scored
            if not result.passed
        )
        total = sum(each.weight for each, _ in scored)
        score = sum(each.weight * result.score for each, result in scored) / total if total else 1.0
        broken = any(each.always and not result.passed for each, result in scored)
        weighed = all(result.passed for each, result in scored if each.weight)
        passed = not broken and (weighed if case.threshold is None else score >= case.threshold)
        return RunResult(score, passed, failures)

    async def _answer(self, version: Version, question: str, body: dict[str, Any]) -> Run:
        """Raises `NoAnswer`."""
        wait, why = PAUSE, ""
        for attempt in range(self._settings.attempts):
            if attempt:
                await asyncio.sleep(wait)
                wait *= 2.0
            started = time.perf_counter()
            try:
                async with asyncio.timeout(self._settings.timeout):
                    found: Any = await self._client.post("/chat/completions", body=body, cast_to=object)
            except openai.APIStatusError as error:
                why = f"the provider answered {error.status_code}"
                if error.status_code not in (408, 409, 429) and error.status_code < 500:
                    break
                continue
            except (openai.APIError, TimeoutError, ValueError) as error:
                why = f"no answer: {type(error).__name__}"
                continue
            return self._read(version, question, body, found, time.perf_counter() - started)
        raise NoAnswer(why)

    def _read(self, version: Version, question: str, body: dict[str, Any], found: Any, took: float) -> Run:
        raw = msgspec.json.encode(found)
        choices = found.get("choices") if isinstance(found, dict) else None
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        if not choice:
            raise NoAnswer("the provider's answer holds no choice")
        cost = self._prices.cost(
            str(body["model"]), parse_usage(found.get("usage")), now=time.time(), base_url=self._base_url
        )
        return Run(
            text=answer_of(raw, MOST_ANSWER),
            question=question,
            finish_reason=finish_word(choice.get("finish_reason")),
            calls=_calls(choice.get("message")),
            latency=took,
            cost=None if cost is None else cost.uncached,
            probes=probes_of(version.content),
        )

    # --- assertions

    async def _assert(self, each: Assertion, case: Case, run: Run, work: Work) -> Result:
        value = _filled(each.value, case.vars)
        if each.type in CHECKS:
            result = CHECKS[each.type].check(run, value, each.threshold)
        else:
            result = await self._judged(each, value, run, work)
        if each.negated:
            result = Result(1.0 - float(result.passed), "")
        work.result(each.type, result.score, label="pass" if result.passed else "fail")
        return result

    async def _judged(self, each: Assertion, value: Any, run: Run, work: Work) -> Result:
        """Raises `NoAnswer` where the judge gives no score, and `InvalidValue` where there is none."""
        if self._judge is None:
            raise InvalidValue(f"{each.type} (line {each.line}) needs a judge: add the section `judge`")
        model, name = self._judge
        criteria = JUDGED[each.type](value)
        rubric = Rubric("suite", criteria)
        scores = []
        for criterion in criteria:
            for _ in range(self._settings.attempts):
                asked = ask(rubric, criterion, f"user: {run.question}", run.text, self._nonce())
                with called(self._tracer, work, name, criterion) as call:
                    reply = await model.ask(name, asked, criterion)
                    call.answered(reply)
                if reply.score is not None:
                    scores.append(reply.score)
                    break
            else:
                raise NoAnswer(f"the judge gave no score: {reply.cause}")
        score = sum(scores) / len(scores)
        needs = JUDGED_THRESHOLD if each.threshold is None else each.threshold
        return Result(1.0, "") if score >= needs else Result(min(score, 0.999), f"the judge gave {score:.2f}")


def _filled(value: Any, variables: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return filled(value, variables)
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    return value


def _calls(message: Any) -> tuple[dict[str, Any], ...]:
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    listed = calls if isinstance(calls, list) else []
    functions = [call.get("function") for call in listed if isinstance(call, dict)]
    return tuple(function for function in functions if isinstance(function, dict))
