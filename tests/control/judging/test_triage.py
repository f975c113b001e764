"""Flagged answers on a real store: judge and moderation endpoint confirm, failures become cases."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from gateway.control.cases import CaseBook
from gateway.control.judging.budget import Budget
from gateway.control.judging.loop import Judge
from gateway.control.judging.model import JudgeModel
from gateway.control.judging.moderation import Moderator
from gateway.control.judging.triage import TRIES, Triage
from gateway.control.judging.watching import Watcher
from gateway.domain.judging import Item, encode_item, encode_words
from gateway.domain.observation import Drawn, Flagged, Scored, decode_batch
from gateway.prices import PriceList
from gateway.settings import JudgeSettings, Moderation
from gateway.simulator import load_scenario, start_simulator
from gateway.storage import keys
from gateway.storage.base import Store
from tests.support.judging import HELPFUL, PRICES, PROMPT, ROLLOUT, run_rollout
from tests.support.stores import Fleet, until

SCENARIO = (
    "default: {first_token_ms: 0, gap_ms: 0}\njudge: {noise: 0, behaviour: {first_token_ms: 0, gap_ms: 0}}"
)


class Endpoint:
    """A moderation endpoint, which finds the categories that a text names."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.url = ""
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        if self.status != 200:
            return web.json_response({"error": {"message": "down"}}, status=self.status)
        found = {name: name in body["input"] for name in ("violence", "sexual/minors", "spam")}
        return web.json_response(
            {"id": "m", "results": [{"flagged": any(found.values()), "categories": found}]}
        )


class Stage:
    def __init__(self, store: Store, port: int, endpoint: Endpoint) -> None:
        self.store = store
        self.port = port
        self.endpoint = endpoint
        self.book = CaseBook(store)

    def watcher(self, *, judge: bool = True, moderated: bool = False) -> Watcher:
        url = f"http://127.0.0.1:{self.port}/v1"
        section = JudgeSettings(base_url=url, model="judge-model")
        nonces = map(str, itertools.count(10**9))
        rules = Moderation(base_url=self.endpoint.url, model="omni", ignore=("spam",))
        return Watcher(
            self.book,
            judge=(JudgeModel(section), "judge-model", url) if judge else None,
            moderator=Moderator(rules) if moderated else None,
            budget=Budget(self.store, per_day=0.0, per_rollout=0.0),
            prices=PriceList(PRICES),
            nonce=lambda: next(nonces),
            score_below=0.4,
        )

    async def enqueue(self, name: str, answer: str, *flags: str, canary: bool = True) -> None:
        item = self.item(name, answer, *flags, canary=canary)
        assert await self.store.enqueue(
            keys.TRIAGE, item.id, encode_item(item), text=encode_words(item), keep=60.0
        )

    def item(self, name: str, answer: str, *flags: str, canary: bool = True) -> Item:
        unit = Drawn(name.encode().ljust(16), canary, 0.5, 1.0, 1.0, 0.0, True)
        question = "user: Hi, I am ann@example.org\n\nassistant: Hello\n\nuser: My key?"
        return Item(PROMPT, ROLLOUT, unit, 9e9, question, answer, b"", flags, 2)

    async def worked(self, triage: Triage) -> None:
        """Until nothing waits."""
        stop = asyncio.Event()
        running = asyncio.create_task(triage.run(stop))

        async def empty() -> bool:
            return (await self.store.depth(keys.TRIAGE))[:2] == (0, 0)

        await until(empty)
        stop.set()
        await running

    async def told(self) -> list[tuple[str, str, bool]]:
        log = await self.store.read(keys.evidence(ROLLOUT), after=0)
        records = [record for entry in log for record in decode_batch(entry.value).records]
        return sorted((r.flag, r.by, r.unit.canary) for r in records if isinstance(r, Flagged))


@pytest.fixture
async def stage(fleet: Fleet) -> AsyncIterator[Stage]:
    store = await fleet.store()
    await run_rollout(store)
    simulator = await start_simulator(load_scenario(SCENARIO))
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_post("/v1/moderations", endpoint.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield Stage(store, simulator.port, endpoint)
    finally:
        await runner.cleanup()
        await simulator.close()


SECRET = "[quality %.2f] It is AKIAIOSFODNN7EXAMPLE, call 4111 1111 1111 1111."


async def test_the_judge_confirms_a_severe_flag_or_does_not(stage: Stage) -> None:
    await stage.enqueue("yes", SECRET % 0.9, "secret")
    await stage.enqueue("stable", SECRET % 0.9, "secret", canary=False)
    await stage.enqueue("no", SECRET % 0.1, "secret")
    await stage.enqueue("soft", "I cannot help with that.", "refusal")
    await stage.worked(Triage(stage.store, stage.watcher(), owner="t"))
    assert await stage.told() == [("secret", "judge", False), ("secret", "judge", True)]
    cases = await stage.book.all(PROMPT)
    assert sorted((case.flags, case.version, case.unit.canary) for case in cases) == [
        (("refusal",), 2, True),
        (("secret",), 2, True),
        (("secret",), 2, True),
    ]


async def test_what_is_kept_is_redacted(stage: Stage) -> None:
    await stage.enqueue("yes", SECRET % 0.9, "secret")
    await stage.worked(Triage(stage.store, stage.watcher(), owner="t"))
    (case,) = await stage.book.all(PROMPT)
    view = await stage.book.get(PROMPT, case.id)
    assert view.answer == "[quality 0.90] It is [secret], call [card]."
    assert view.question == "user: Hi, I am [email]\n\nassistant: Hello\n\nuser: My key?"
    assert view.proposal == {
        "description": f"case {case.id}",
        "vars": {"input": "My key?"},
        "messages": [
            {"role": "user", "content": "Hi, I am [email]"},
            {"role": "assistant", "content": "Hello"},
        ],
        "assert": [{"type": "no-secret"}],
    }


async def test_a_moderation_endpoint_flags_and_the_judge_confirms_what_is_severe(stage: Stage) -> None:
    await stage.enqueue("a", "[quality 0.90] violence and spam", "refusal")
    await stage.enqueue("b", "[quality 0.90] sexual/minors", "refusal")
    await stage.worked(Triage(stage.store, stage.watcher(moderated=True), owner="t"))
    assert await stage.told() == [
        ("moderation:violence", "moderation", True),
        ("severe:sexual/minors", "judge", True),
        ("severe:sexual/minors", "moderation", True),
    ]
    assert {body["model"] for body in stage.endpoint.asked} == {"omni"}


async def test_an_endpoint_that_is_down_and_no_judge_flag_nothing(stage: Stage) -> None:
    stage.endpoint.status = 400
    await stage.enqueue("a", "violence", "secret")
    await stage.worked(Triage(stage.store, stage.watcher(judge=False, moderated=True), owner="t"))
    assert await stage.told() == []
    assert len(await stage.book.all(PROMPT)) == 1


async def test_an_answer_of_a_canary_with_a_low_score_becomes_a_case(stage: Stage) -> None:
    watcher = stage.watcher()
    await watcher.keep(stage.item("low", "[quality 0.10] no"), (), 0.2)
    await watcher.keep(stage.item("fine", "[quality 0.90] yes"), (), 0.9)
    await watcher.keep(stage.item("stable", "[quality 0.10] no", canary=False), (), 0.2)
    await watcher.keep(stage.item("unscored", "no"), (), None)
    await watcher.close()
    (case,) = await stage.book.all(PROMPT)
    assert (case.score, case.flags) == (0.2, ())
    proposal = (await stage.book.get(PROMPT, case.id)).proposal
    assert proposal is not None
    assert [each["type"] for each in proposal["assert"]] == ["llm-rubric"]


async def test_items_that_cannot_be_read_or_kill_are_buried(stage: Stage) -> None:
    await stage.store.enqueue(keys.TRIAGE, "x", b"\xc1", text=b"", keep=60.0)
    await stage.enqueue("a", "no", "refusal")
    for _ in range(TRIES):
        assert await stage.store.claim(keys.TRIAGE, "dead", limit=5, lease=0.0)
    await stage.worked(Triage(stage.store, stage.watcher(), owner="t"))
    assert await stage.store.depth(keys.TRIAGE) == (0, 0, 2)


async def test_judged_answers_are_looked_at_in_the_transaction_of_their_score(stage: Stage) -> None:
    section = JudgeSettings(base_url=f"http://127.0.0.1:{stage.port}/v1", model="judge-model")
    watcher = stage.watcher(moderated=True)
    judge = Judge(
        stage.store, section, {"helpful": HELPFUL}, PriceList(PRICES), owner="judge", watcher=watcher
    )
    item = stage.item("a", "[quality 0.10] violence")
    await stage.store.enqueue(keys.JUDGING, item.id, encode_item(item), text=encode_words(item), keep=60.0)
    stop = asyncio.Event()
    running = asyncio.create_task(judge.run(stop))
    await until(lambda: stage.book.all(PROMPT))
    stop.set()
    await running
    (entry,) = await stage.store.read(keys.evidence(ROLLOUT), after=0)
    scored, flagged = decode_batch(entry.value).records
    assert isinstance(scored, Scored)
    assert isinstance(flagged, Flagged)
    (case,) = await stage.book.all(PROMPT)
    assert case.flags == ("moderation:violence",)
    assert case.score is not None
