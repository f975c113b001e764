"""A version's answers to a suite, outside of any traffic: what a client would cause, sent directly.

The body is made by the same functions as on the data path, so what is tried is what will be served.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import openai
from openai import AsyncOpenAI

from gateway.control.judging.asserting import Asserter
from gateway.control.judging.calls import called
from gateway.control.judging.model import NO_KEY, JudgeModel
from gateway.control.judging.tracing import suite_run, tried
from gateway.domain.prompt import Version
from gateway.errors import InvalidValue, NoAnswer
from gateway.evals.checks import Run
from gateway.evals.detect import probes_of
from gateway.evals.report import CaseResult, Report, RunResult
from gateway.evals.suite import Case, Suite, filled, user_message
from gateway.prices import PriceList
from gateway.promptfiles.compiled import compile_prompt
from gateway.settings import EvalSettings
from gateway.telemetry.tracer import Tracer
from gateway.wire import chat
from gateway.wire.splice import split
from gateway.wire.texts import answer_of
from gateway.wire.usage import finish_word, parse_usage

PAUSE = 0.5  # s between attempts, doubling
MOST_ANSWER = 256 * 1024
Progress = Callable[[], None]


class Played(NamedTuple):
    """One run of one case; `run` None where there was no answer."""

    result: RunResult
    run: Run | None


class _Rival(NamedTuple):
    """The live version's answer to the same case. `there`: it was asked."""

    there: bool
    run: Run | None


Rivals = Sequence[Sequence[Run | None]]  # by case and repeat


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
        self._asserter = Asserter(judge, settings.attempts, nonce)
        self._client = AsyncOpenAI(
            base_url=base_url, api_key=api_key or NO_KEY, timeout=settings.timeout, max_retries=0
        )
        self._room = asyncio.Semaphore(settings.concurrency)

    async def close(self) -> None:
        await self._client.close()
        await self._asserter.close()

    async def run(
        self, suite: Suite, version: Version, live: Version | None = None, progress: Progress = lambda: None
    ) -> Report:
        """The live version answers first, so that the candidate's answers can be compared with its. Raises
        `InvalidValue` for a suite that cannot be asked of this version."""
        against = [] if live is None else await self._cases(suite, live, progress)
        rivals = [[each.run for each in runs] for runs in against]
        cases = _results(suite, await self._cases(suite, version, progress, rivals))
        known = _results(suite, against) if against else ()
        comparable = known and not any(case.state == "incomplete" for case in known)
        return Report(suite.reference, cases, tuple(case.score for case in known) if comparable else ())

    async def _cases(
        self, suite: Suite, version: Version, progress: Progress, rivals: Rivals = ()
    ) -> list[list[Played]]:
        bodies = [self._body(version, suite, case) for case in suite.cases]

        async def one(index: int, repeat: int) -> Played:
            async with self._room:
                rival = _Rival(bool(rivals), rivals[index][repeat] if rivals else None)
                with tried(self._tracer, suite.cases[index].name) as done:
                    played = await self._run(version, suite, suite.cases[index], bodies[index], rival)
                    done(played.result)
            progress()
            return played

        tasks = [[one(index, n) for n in range(case.repeat)] for index, case in enumerate(suite.cases)]
        with suite_run(self._tracer, suite.reference, version):
            return [list(runs) for runs in await asyncio.gather(*(asyncio.gather(*each) for each in tasks))]

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
        said = [{**turn, "content": filled(turn["content"], case.vars)} for turn in case.messages]
        said.append({"role": "user", "content": user_message(suite, case)})
        fields = split(msgspec.json.encode({"model": model, "messages": said}))
        recipe = chat.recipe(content, version.prompt)
        own = chat.encode_messages(messages)
        injected = chat.inject(fields, chat.inspect(fields), recipe, own)
        body: dict[str, Any] = msgspec.json.decode(b"".join(injected.pieces))
        return body

    async def _run(
        self, version: Version, suite: Suite, case: Case, body: dict[str, Any], rival: _Rival
    ) -> Played:
        run: Run | None = None
        try:
            with called(str(body["model"])):
                run = await self._answer(version, user_message(suite, case), body)
            if rival.there and rival.run is None and case.compares:
                raise NoAnswer("the live version gave no answer to compare with")
            return Played(await self._asserter.result(case, run, rival.run), run)
        except NoAnswer as error:
            return Played(RunResult(0.0, False, error=error.message), run)

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
        usage = parse_usage(found.get("usage"))
        cost = self._prices.cost(str(body["model"]), usage, now=time.time(), base_url=self._base_url)
        return Run(
            text=answer_of(raw, MOST_ANSWER),
            question=question,
            finish_reason=finish_word(choice.get("finish_reason")),
            calls=_calls(choice.get("message")),
            latency=took,
            cost=None if cost is None else cost.uncached,
            probes=probes_of(version.content),
            tokens=None if usage is None else usage.completion,
        )


def _results(suite: Suite, played: list[list[Played]]) -> tuple[CaseResult, ...]:
    return tuple(
        CaseResult(case.name, case.line, case.min_pass_rate, tuple(each.result for each in runs))
        for case, runs in zip(suite.cases, played, strict=True)
    )


def _calls(message: Any) -> tuple[dict[str, Any], ...]:
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    listed = calls if isinstance(calls, list) else []
    functions = [call.get("function") for call in listed if isinstance(call, dict)]
    return tuple(function for function in functions if isinstance(function, dict))
