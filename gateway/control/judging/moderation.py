"""A moderation endpoint in the form of OpenAI's (`POST /moderations`): categories of one answer."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import openai
from openai import AsyncOpenAI

from gateway.control.judging.model import NO_KEY
from gateway.domain.safety import SEVERE_RULE
from gateway.settings import Moderation

logger = logging.getLogger(__name__)

SOFT = "moderation:"
MOST_CHARACTERS = 32 * 1024


class Moderator:
    def __init__(self, settings: Moderation) -> None:
        self._settings = settings
        self._failing = False
        self._client = AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key or NO_KEY,
            timeout=settings.timeout,
            max_retries=1,
        )

    async def close(self) -> None:
        await self._client.close()

    async def flags(self, answer: str) -> tuple[str, ...]:
        """`severe:category` or `moderation:category`; none where the endpoint does not answer: no data is
        no flag."""
        body: dict[str, Any] = {"input": answer[:MOST_CHARACTERS]}
        if self._settings.model is not None:
            body["model"] = self._settings.model
        try:
            async with asyncio.timeout(2.0 * self._settings.timeout):
                found: Any = await self._client.post("/moderations", body=body, cast_to=object)
        except (openai.APIError, TimeoutError, ValueError) as error:
            if not self._failing:
                logger.error("the moderation endpoint does not answer: %s", type(error).__name__)
            self._failing = True
            return ()
        self._failing = False
        wanted = [name for name in categories(found) if name not in self._settings.ignore]
        return tuple((SEVERE_RULE if name in self._settings.severe else SOFT) + name for name in wanted)


def categories(found: Any) -> list[str]:
    """Those that are true; servers differ, so nothing is taken for granted.

    >>> categories({"results": [{"flagged": True, "categories": {"violence": True, "hate": False}}]})
    ['violence']
    """
    results = found.get("results") if isinstance(found, dict) else None
    named: set[str] = set()
    for result in results if isinstance(results, list) else []:
        listed = result.get("categories") if isinstance(result, dict) else None
        named |= (
            {str(name) for name, seen in listed.items() if seen is True}
            if isinstance(listed, dict)
            else set()
        )
    return sorted(named)
