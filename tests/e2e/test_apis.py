"""The official clients on /v1/responses and /v1/messages, in front of a gateway of two workers.

Each turn comes on a connection of its own and follows the last at once, so that it meets either worker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.support.gateway import Gateway, make_gateway, running

CONVERSATIONS, TURNS = 40, 4
CLOSE = {"connection": "close"}


@pytest.fixture
def rollout(folder: Path) -> Iterator[Gateway]:
    """Version 2 at weight 0.4, in effect; look-ups may take the time of a machine shared with other tests."""
    with running(make_gateway(folder, extra="sessions: {lookup_timeout: 2}")) as gateway:
        gateway.start_rollout(gateway.push("second"), 0.4)
        time.sleep(1.6)  # one second ahead, and half a second until every worker knows
        yield gateway


async def raised(gateway: Gateway) -> None:
    await asyncio.sleep(0.5)
    await asyncio.to_thread(gateway.act, "weight", weight=0.8)


def one_version_each(seen: list[list[str]]) -> None:
    assert len(seen) == CONVERSATIONS
    assert not [versions for versions in seen if len(versions) != TURNS or len(set(versions)) != 1]
    assert {versions[0] for versions in seen} == {"1", "2"}


async def test_conversations_by_previous_response_id_keep_their_version(rollout: Gateway) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"http://127.0.0.1:{rollout.port}/v1", api_key="k", max_retries=0, default_headers=CLOSE
    ) as client:

        async def converse(number: int) -> list[str]:
            versions, previous = [], openai.omit
            for turn in range(TURNS):
                asked: dict[str, Any] = {
                    "model": "m",
                    "input": f"conversation {number}, turn {turn}",
                    "previous_response_id": previous,
                }
                if (number + turn) % 2:
                    raw = await client.responses.with_raw_response.create(**asked)
                    previous = raw.parse().id
                    versions.append(raw.headers["x-prompt-version"])
                    continue
                async with client.responses.with_streaming_response.create(**asked, stream=True) as answer:
                    versions.append(answer.headers["x-prompt-version"])
                    async for event in await answer.parse():
                        if event.type == "response.completed":
                            previous = event.response.id
            return versions

        raising = asyncio.create_task(raised(rollout))
        one_version_each(await asyncio.gather(*(converse(number) for number in range(CONVERSATIONS))))
        await raising


async def test_conversations_of_anthropics_client_keep_their_version(rollout: Gateway) -> None:
    async with anthropic.AsyncAnthropic(
        base_url=f"http://127.0.0.1:{rollout.port}", api_key="k", max_retries=0, default_headers=CLOSE
    ) as client:

        async def converse(number: int) -> list[str]:
            versions, history = [], []
            for turn in range(TURNS):
                # The breakpoint moves to the newest message, as coding agents do it.
                text = {"type": "text", "text": f"conversation {number}, turn {turn}"}
                newest = {"role": "user", "content": [{**text, "cache_control": {"type": "ephemeral"}}]}
                asked: dict[str, Any] = {"model": "m", "max_tokens": 200, "messages": [*history, newest]}
                async with client.messages.stream(**asked) as stream:
                    answer = await stream.get_final_text()
                    versions.append(stream.response.headers["x-prompt-version"])
                history += [
                    {"role": "user", "content": [text]},
                    {"role": "assistant", "content": answer},
                ]
            return versions

        raising = asyncio.create_task(raised(rollout))
        one_version_each(await asyncio.gather(*(converse(number) for number in range(CONVERSATIONS))))
        await raising
