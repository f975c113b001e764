"""Fills a store as years of use would: prompts, rollouts, pins. Run before the gateway starts."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from benchmarks.overhead.own import PROMPT
from gateway.control import plan
from gateway.control.plan import By, Under
from gateway.domain.policy import read_policies
from gateway.domain.prompt import Gate, Version, digest
from gateway.domain.rollout import Deployment
from gateway.promptfiles import prompty
from gateway.storage import codec, keys
from gateway.storage.base import Put
from gateway.storage.limits import Limits
from gateway.storage.sqlite import SqliteStore

BY = By("benchmark", "benchmark")
BATCH = 500  # documents of one commit
PINS = 5000  # of one call
LASTS = 86_400.0  # s that a pin lives
PATIENT = Limits(call=60.0)


def prompt_name(number: int) -> str:
    return f"p-{number}"


def deployments(count: int, *, rollouts: bool) -> Iterator[tuple[Deployment, list[Version]]]:
    """Prompts with one live version, or with two and a rollout of the second under a policy."""
    fields = {"stages": [0.1], "min_bake": ["6h"], "gates": ["errors"], "extends": "fast"}
    under = Under("bench", read_policies({"bench": fields})["bench"], {})
    now = time.time() - 60.0
    texts = [PROMPT.format(name="bench", edition=edition) for edition in ((1, 2) if rollouts else (1,))]
    contents = [prompty.parse(text, source="benchmark").content for text in texts]
    digests = [digest(content) for content in contents]
    for number in range(count):
        name = prompt_name(number)
        versions = [
            Version(name, edition, digests[edition - 1], content, now, BY.actor)
            for edition, content in enumerate(contents, 1)
        ]
        gates = {version.number: Gate("passed", at=now) for version in versions}
        deployment = Deployment(name, live=1, gates=gates)
        if rollouts:
            id = f"{number:012x}"
            deployment = plan.start(deployment, 2, under, id=id, salt=id, now=now, by=BY).deployment
        yield deployment, versions


async def add_prompts(directory: Path, count: int, *, rollouts: bool = False) -> None:
    def puts() -> Iterator[Put]:
        for deployment, versions in deployments(count, rollouts=rollouts):
            yield Put(keys.deployment(deployment.prompt), codec.encode(deployment), 0)
            for version in versions:
                yield Put(keys.version(version.prompt, version.number), codec.encode(version), 0)

    store = SqliteStore(directory, limits=PATIENT)
    await store.open()
    try:
        waiting = puts()
        while batch := list(islice(waiting, BATCH)):
            await store.commit(batch)
    finally:
        await store.close()


async def add_pins(directory: Path, count: int) -> None:
    """Of sessions that will not come again: what they cost is that they are there."""
    store = SqliteStore(directory, limits=PATIENT)
    await store.open()
    try:
        for start in range(0, count, PINS):
            await store.set_all_if_absent(_pins(min(PINS, count - start)))
    finally:
        await store.close()


def _pins(count: int) -> Sequence[tuple[str, bytes, float]]:
    value = b"x" * 38  # bytes of a pin
    return [(keys.pin("0" * 12, os.urandom(16).hex()), value, LASTS) for _ in range(count)]


def fill(directory: Path, kind: str, count: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if kind == "pins":
        asyncio.run(add_pins(directory, count))
    else:
        asyncio.run(add_prompts(directory, count, rollouts=kind == "rollouts"))
