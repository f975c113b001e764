"""Answers for a judge, without workers: items of a rollout that runs, and what they came to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.control.judging.loop import Judge
from gateway.domain.judging import Item, encode_item, encode_words
from gateway.domain.observation import Drawn, Scored, decode_batch
from gateway.domain.rollout import Deployment, Rollout, Weight
from gateway.evals.rubric import Criterion, Rubric
from gateway.prices import PriceList
from gateway.settings import JudgeSettings, Price
from gateway.storage import codec, keys
from gateway.storage.base import Put, Store

ANCHORS = ("useless", "poor", "fair", "good", "perfect")
HELPFUL = Rubric("helpful", (Criterion("resolves", "Does it help?", ANCHORS),))
PROMPT, ROLLOUT = "greeter", "0123456789ab"
PRICES = {"judge-model": Price(input=1.0, output=1.0)}  # USD for a million tokens


async def run_rollout(store: Store, id: str = ROLLOUT, prompt: str = PROMPT) -> None:
    """A deployment with this rollout."""
    weight = Weight(0.5, 0.0)
    rollout = Rollout(id, prompt, 2, 1, "salt", "progressing", (weight,), 0.0, "tester")
    value = codec.encode(Deployment(prompt, live=1, rollout=rollout))
    await store.commit([Put(keys.deployment(prompt), value, None)])


async def enqueue(
    store: Store,
    count: int,
    *,
    quality: float = 0.8,
    canary: bool = False,
    due_in: float = 600.0,
    first: int = 0,
    keep: float = 3600.0,
) -> None:
    """Answers that the simulated judge sees this quality in."""
    now = (await store.tick()).now
    for number in range(first, first + count):
        unit = Drawn(f"{canary}-{number}".encode(), canary, 0.5, 1.0, 1.0, now - 1.0, True)
        item = Item(
            PROMPT, ROLLOUT, unit, now + due_in, f"user: question {number}?", f"[quality {quality:.2f}] words"
        )
        words = encode_words(item)
        assert await store.enqueue(keys.JUDGING, item.id, encode_item(item), text=words, keep=keep)


async def scores(store: Store, rollout: str = ROLLOUT) -> list[Scored]:
    """In the order of the log."""
    log = await store.read(keys.evidence(rollout), after=0, limit=10_000)
    records = [record for entry in log for record in decode_batch(entry.value).records]
    return [record for record in records if isinstance(record, Scored)]


def judge_of(
    store: Store,
    port: int,
    *,
    owner: str = "judge",
    rubrics: Mapping[str, Rubric] | None = None,
    **settings: Any,
) -> Judge:
    """A judge whose model is the simulated one."""
    given = {"base_url": f"http://127.0.0.1:{port}/v1", "model": "judge-model", **settings}
    section = JudgeSettings.model_validate(given)
    return Judge(store, section, rubrics or {"helpful": HELPFUL}, PriceList(PRICES), owner=owner)


def labels(count: int, *, wrong: int = 0) -> str:
    """So many answers that people found good, and bad, of which so many the simulated judge sees
    otherwise."""
    lines = []
    for good in (True, False):
        for number in range(count):
            quality = 0.9 if good != (number < wrong) else 0.2
            answer = f"[quality {quality:.2f}] words"
            lines.append(json.dumps({"question": f"user: {good} {number}?", "answer": answer, "label": good}))
    return "\n".join(lines)
