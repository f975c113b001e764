"""One question to the judge's model, through the `openai` package with any base URL.

    schema   structured output: `response_format` json_schema
    tool     a forced call of a function with the same schema
    plain    what the prompt asks for, read tolerantly

Probabilities of tokens (`logprobs`) are asked for beside the first and the last: where the API offers them
the score is their expectation. The first way that the API does not refuse is remembered. An answer that
cannot be read is no score: the caller gets a cause, never a guess.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal, NamedTuple

import openai
from openai import AsyncOpenAI

from gateway.control.judging.calls import called
from gateway.evals.question import TOOL, Asked
from gateway.evals.rubric import Criterion
from gateway.evals.verdict import score_of
from gateway.evals.weighing import candidates, expected_score
from gateway.settings import JudgeSettings
from gateway.wire.usage import Usage, parse_usage

Form = Literal["schema", "tool", "plain"]
WAYS: tuple[tuple[Form, bool], ...] = (  # with the probabilities of tokens, or without
    ("schema", True),
    ("schema", False),
    ("tool", False),
    ("plain", True),
    ("plain", False),
)
Cause = Literal[
    "",
    "timeout",  # no answer within the limit of a call
    "unreachable",  # no connection
    "busy",  # 429
    "failed",  # 5xx, or an answer that is none
    "refused",  # any other 4xx: key, model, or a question that the API does not take
    "filtered",  # the provider's filter
    "truncated",  # ended by a limit of tokens before there was a score
    "unreadable",  # no score on the scale in the answer
]
OUTAGE: frozenset[Cause] = frozenset({"unreachable", "busy", "failed"})  # is waited out
NO_KEY = "none"


class Reply(NamedTuple):
    """`score` in [0, 1], or None and a cause. `usage` where the API told it. `weighted`: the score is the
    expectation over the probabilities of tokens."""

    score: float | None
    cause: Cause
    usage: Usage | None = None
    weighted: bool = False


class JudgeModel:
    def __init__(self, settings: JudgeSettings) -> None:
        self._settings = settings
        self._client = AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key or NO_KEY,
            timeout=settings.timeout,
            max_retries=0,
        )
        self._way: dict[str, int] = {}  # by model, as the API was found to take

    async def close(self) -> None:
        await self._client.close()

    async def ask(self, model: str, asked: Asked, criterion: Criterion) -> Reply:
        """One call, or one for each way that the API refuses."""
        reply = Reply(None, "refused")
        for at in range(self._way.get(model, 0), len(WAYS)):
            form, weighed = WAYS[at]
            if weighed and not (self._settings.logprobs and candidates(criterion)):
                continue
            with called(model, criterion.name) as done:
                reply = await self._call(model, asked, criterion, form, weighed)
                done(reply.usage, reply.cause)
            if reply.cause != "refused":
                self._way[model] = at
                break
        return reply

    async def _call(self, model: str, asked: Asked, criterion: Criterion, form: Form, weighed: bool) -> Reply:
        messages = [{"role": "system", "content": asked.system}, {"role": "user", "content": asked.user}]
        body = {"model": model, "messages": messages, **self._settings.options, **_formed(asked, form)}
        if weighed:
            body |= {"logprobs": True, "top_logprobs": candidates(criterion)}
        try:
            async with asyncio.timeout(self._settings.timeout):
                completion: Any = await self._client.post("/chat/completions", body=body, cast_to=object)
        except (openai.APITimeoutError, TimeoutError):
            return Reply(None, "timeout")
        except openai.APIConnectionError:
            return Reply(None, "unreachable")
        except openai.RateLimitError:
            return Reply(None, "busy")
        except openai.APIStatusError as error:
            return Reply(None, "failed" if error.status_code >= 500 else "refused")
        except (openai.APIError, ValueError):
            return Reply(None, "failed")
        return read(completion, criterion)


def _formed(asked: Asked, form: Form) -> dict[str, Any]:
    if form == "schema":
        schema = {"name": TOOL, "schema": asked.schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if form == "tool":
        function = {"name": TOOL, "description": "Give the judgment.", "parameters": asked.schema}
        choice = {"type": "function", "function": {"name": TOOL}}
        return {"tools": [{"type": "function", "function": function}], "tool_choice": choice}
    return {}


def read(completion: Any, criterion: Criterion) -> Reply:
    """What a decoded chat completion says; servers differ, so nothing in it is taken for granted."""
    if not isinstance(completion, dict):
        return Reply(None, "failed")
    usage = parse_usage(completion.get("usage"))
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    if not isinstance(message, dict):
        return Reply(None, "failed", usage)
    for text in _texts(message):
        score = score_of(text, criterion)
        if score is not None:
            expected = _expected(choice, criterion)
            return Reply(score if expected is None else expected, "", usage, expected is not None)
    reason = choice.get("finish_reason")
    cause: Cause = "truncated" if reason == "length" else "unreadable"
    return Reply(None, "filtered" if reason == "content_filter" or message.get("refusal") else cause, usage)


def _expected(choice: dict[str, Any], criterion: Criterion) -> float | None:
    logprobs = choice.get("logprobs")
    return expected_score(logprobs.get("content"), criterion) if isinstance(logprobs, dict) else None


def _texts(message: dict[str, Any]) -> list[str]:
    """Where the judgment may stand: arguments of the call first."""
    calls = message.get("tool_calls")
    functions = (
        [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    )
    arguments = [function.get("arguments") for function in functions if isinstance(function, dict)]
    return [text for text in (*arguments, message.get("content")) if isinstance(text, str)]
