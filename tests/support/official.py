"""The official OpenAI client against a worker in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai

from tests.support.worker import WorkerStage

MESSAGES: list[Any] = [{"role": "user", "content": "Where is my order? Grüße ☃"}]


@asynccontextmanager
async def official(
    stage: WorkerStage, *, prompt: str = "", **options: Any
) -> AsyncIterator[openai.AsyncOpenAI]:
    """With `prompt` its base_url binds the application to it. It does not repeat unless told to."""
    base = f"http://127.0.0.1:{stage.port}" + (f"/p/{prompt}/v1" if prompt else "/v1")
    given: dict[str, Any] = {"api_key": "sk-test", "max_retries": 0, "timeout": 10.0, **options}
    async with openai.AsyncOpenAI(base_url=base, **given) as client:
        yield client


async def joined(stream: Any) -> str:
    """The text of a streamed chat completion."""
    text = ""
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
    return text
