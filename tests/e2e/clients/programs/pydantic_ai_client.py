"""pydantic-ai: agents whose model is asked through the gateway."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import openai
from common import BASE_URL, FAULT, GIVEN, MODEL, PROMPT, failure, main
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

QUESTION = GIVEN["question"]
seen: list[Any] = []  # headers of answers
kinds: list[Any] = [OpenAIChatModel]  # the last one is in use


class Forecast(BaseModel):
    city: str
    days: int


async def note(response: Any) -> None:
    seen.append(response.headers)


def agent(**options: Any) -> Agent[Any, Any]:
    http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [note]})
    client = openai.AsyncOpenAI(base_url=BASE_URL, api_key="sk-test", max_retries=0, http_client=http)
    return Agent(kinds[-1](MODEL, provider=OpenAIProvider(openai_client=client)), **options)


async def whole() -> dict[str, Any]:
    result = await agent().run(QUESTION)
    last = result.all_messages()[-1]
    return {
        "text": result.output,
        "finish": last.finish_reason,
        "tokens": result.usage.total_tokens,
        "version": seen[-1]["x-prompt-version"],
        "request_id": seen[-1]["x-request-id"],
    }


async def stream() -> dict[str, Any]:
    async with agent().run_stream(QUESTION) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        return {
            "text": "".join(pieces),
            "events": len(pieces),
            "finish": result.response.finish_reason,
            "tokens": result.usage.total_tokens,
            "version": seen[-1]["x-prompt-version"],
        }


async def tool(run: Callable[[Agent[Any, Any]], Awaitable[Any]]) -> dict[str, Any]:
    """The model calls the tool, the agent answers it, and the model is asked again with both."""
    calls: list[dict[str, Any]] = []
    asking = agent()

    @asking.tool_plain
    def get_forecast(city: str, days: int) -> str:
        """The weather of the next days in a city."""
        calls.append({"name": "get_forecast", "arguments": {"city": city, "days": days}})
        return "sunny"

    text = await run(asking)
    return {**calls[0], "calls": len(calls), "text": text}


async def asked(asking: Agent[Any, Any]) -> str:
    return (await asking.run(QUESTION)).output


async def streamed(asking: Agent[Any, Any]) -> str:
    async with asking.run_stream(QUESTION) as result:
        return await result.get_output()


async def image() -> dict[str, Any]:
    head, _, data = GIVEN["image"].partition(";base64,")
    picture = BinaryContent(base64.b64decode(data), media_type=head.removeprefix("data:"))
    return {"text": (await agent().run([QUESTION, picture])).output}


async def parsed() -> dict[str, Any]:
    return {"parsed": (await agent(output_type=NativeOutput(Forecast)).run(QUESTION)).output.model_dump()}


async def parsed_stream() -> dict[str, Any]:
    async with agent(output_type=NativeOutput(Forecast)).run_stream(QUESTION) as result:
        return {"parsed": (await result.get_output()).model_dump()}


async def refused(**headers: str) -> dict[str, Any]:
    settings = ModelSettings(extra_headers=headers)
    return {"text": (await agent().run(QUESTION, model_settings=settings)).output}


async def broken() -> dict[str, Any]:
    text = ""
    settings = ModelSettings(extra_headers={FAULT: "reset_mid_stream"})
    try:
        async with agent().run_stream(QUESTION, model_settings=settings) as result:
            async for piece in result.stream_text(delta=True, debounce_by=None):
                text += piece
    except Exception as error:
        return {"text": text, **failure(error)}
    return {"text": text, "error": None}


ATTEMPTS: dict[str, Callable[[], Coroutine[Any, Any, dict[str, Any]]]] = {
    "whole": whole,
    "stream": stream,
    "tool": lambda: tool(asked),
    "tool_stream": lambda: tool(streamed),
    "image": image,
    "parsed": parsed,
    "parsed_stream": parsed_stream,
    "error_upstream": lambda: refused(**{FAULT: "status_400"}),
    "error_busy": lambda: refused(**{FAULT: "status_429"}),
    "error_ours": lambda: refused(**{PROMPT: "nobody"}),
    "error_mid_stream": broken,
}


def on(kind: Any, work: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
    kinds.append(kind)
    return asyncio.run(work())


main(
    {name: partial(on, OpenAIChatModel, work) for name, work in ATTEMPTS.items()}
    | {f"responses_{name}": partial(on, OpenAIResponsesModel, work) for name, work in ATTEMPTS.items()}
)
