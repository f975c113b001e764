"""The shadow stage on a real store, with the simulated provider as the model and as its judge: every copy
comes to one pair, nothing is said to anybody."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import msgspec
import pytest

from gateway.control.judging.asking import Examiner, Words
from gateway.control.judging.budget import Spent, day
from gateway.control.judging.model import JudgeModel
from gateway.control.judging.pairing import Pairing, drawn, rate_left
from gateway.control.judging.replaying import Replayer
from gateway.domain.observation import Drawn, Outcome, Pair, decode_batch
from gateway.domain.policy import read_policy
from gateway.domain.prompt import Content, Message, Model, Part, Version
from gateway.domain.rollout import Deployment, Rollout, Weight
from gateway.domain.shadowing import Copy, encode_copied, encode_copy
from gateway.evals.beside import PAIR_DIGEST
from gateway.evals.rubric import Bench
from gateway.prices import PriceList
from gateway.settings import JudgeSettings, Price, ShadowSettings, Upstream
from gateway.simulator import Simulator, load_scenario, start_simulator
from gateway.storage import codec, keys
from gateway.storage.base import Put
from gateway.storage.sqlite import SqliteStore
from gateway.telemetry.spans import Link, SpanQueue
from gateway.telemetry.tracer import Tracer
from tests.support.judging import HELPFUL, PROMPT, ROLLOUT
from tests.support.stores import PATIENT

SCENARIO = """\
default: {first_token_ms: 0, gap_ms: 0, tokens: 10, quality: 0.75, quality_spread: 0}
rules:
  - {name: careless, contains: careless, behaviour: {quality: 0.25}}
  - {name: refused, contains: broken, behaviour: {error_rate: 1, error_status: 422}}
  - {name: down, contains: down, behaviour: {error_rate: 1, error_status: 503}}
judge: {noise: 0.0, behaviour: {first_token_ms: 0, gap_ms: 0}}
"""
POLICY = read_policy({"extends": "standard", "stages": ["shadow", 0.05, 0.5]})
PRICES = {name: Price(input=1000.0, output=1000.0) for name in ("judge-model", "sim")}
CHAT = "/v1/chat/completions"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "store", limits=PATIENT)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    started = await start_simulator(load_scenario(SCENARIO))
    yield started
    await started.close()


async def roll_out(store: SqliteStore, words: str = "You are careful.", *, exposed: bool = False) -> None:
    """A rollout in its shadow stage, whose candidate says `words`."""
    content = Content((Message("system", (Part("system", words),)),), model=Model("sim"))
    version = Version(PROMPT, 2, "sha256:0", content, 0.0, "tester")
    rollout = Rollout(
        ROLLOUT,
        PROMPT,
        2,
        1,
        "salt",
        "progressing",
        (Weight(0.0, 0.0),),
        0.0,
        "tester",
        policy=POLICY,
        stages=(1.0,) if exposed else (),
    )
    value = codec.encode(Deployment(PROMPT, live=1, rollout=rollout))
    await store.commit(
        [Put(keys.deployment(PROMPT), value, None), Put(keys.version(PROMPT, 2), codec.encode(version), None)]
    )


async def enqueue(
    store: SqliteStore,
    count: int = 1,
    *,
    answer: str = "[quality 0.75] words",
    outcome: Outcome = "ok",
    flags: tuple[str, ...] = (),
    due_in: float = 600.0,
    first: int = 0,
    trace: bytes = b"",
    **body: Any,
) -> None:
    now = (await store.tick()).now
    asked = {"model": "sim", "messages": [{"role": "user", "content": "Hi?"}], **body}
    for number in range(first, first + count):
        unit = Drawn(f"{number}".encode(), False, 0.0, 1.0, 1.0, now - 1.0)
        raw = json.dumps(asked).encode()
        copy = Copy(PROMPT, ROLLOUT, unit, now + due_in, CHAT, (), outcome, flags, raw, b"{}", answer, trace)
        words = encode_copied(copy)
        assert await store.enqueue(keys.SHADOWING, copy.id, encode_copy(copy), text=words, keep=60.0)


def pairing(
    store: SqliteStore,
    simulator: Simulator,
    owner: str = "shadow",
    *,
    redact: str = "",
    tracer: Tracer | None = None,
    **shadow: Any,
) -> Pairing:
    url = f"http://127.0.0.1:{simulator.port}/v1"
    judge = JudgeSettings.model_validate(
        {"base_url": url, "model": "judge-model", "redact": [redact] if redact else []}
    )
    given = {"timeout": 5, "attempts": 1, "usd_per_day": 0.0, "usd_per_rollout": 0.0, **shadow}
    section = ShadowSettings.model_validate(given)
    replayer = Replayer(
        section, [Upstream(base_url=url, api_key="ours")], PriceList(PRICES), flags=("refusal", "secret")
    )
    rubrics, prices = {"helpful": HELPFUL}, PriceList(PRICES)
    return Pairing(store, (judge, section), rubrics, prices, replayer, owner=owner, tracer=tracer)


@asynccontextmanager
async def at_work(*pairings: Pairing) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for each in pairings:
            tasks.create_task(each.run(stop))
        try:
            yield
        finally:
            stop.set()


async def pairs(store: SqliteStore) -> list[Pair]:
    log = await store.read(keys.evidence(ROLLOUT), after=0, limit=10_000)
    records = [record for entry in log for record in decode_batch(entry.value).records]
    return [record for record in records if isinstance(record, Pair)]


async def worked(store: SqliteStore, *pairings: Pairing) -> list[Pair]:
    async with at_work(*pairings), asyncio.timeout(30.0):
        while (await store.depth(keys.SHADOWING))[:2] != (0, 0):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return await pairs(store)


async def spent(store: SqliteStore, period: str = ROLLOUT) -> Spent:
    document = await store.get(keys.shadow_spend(period))
    return Spent() if document is None else codec.decode_document(document, Spent)


async def test_a_pair_is_a_span_that_links_to_the_request_that_was_copied(
    store: SqliteStore, simulator: Simulator
) -> None:
    await roll_out(store, "You are careless.")
    await enqueue(store, 1, trace=b"t" * 16 + b"s" * 8)
    await enqueue(store, 1, first=1)
    queue = SpanQueue(10)
    await worked(store, pairing(store, simulator, tracer=Tracer(queue, Random(1))))
    *calls, whole = queue.take(10)
    assert (whole.name, whole.links) == ("shadow helpful", (Link(b"t" * 16, b"s" * 8),))
    assert {(call.name, call.parent) for call in calls} == {("chat judge-model", whole.span)}
    assert len(calls) == 2  # both orders
    difference = whole.events[-1].attributes
    assert difference["gen_ai.evaluation.name"] == "difference"
    assert float(str(difference["gen_ai.evaluation.score.value"])) > 0.1


async def test_a_worse_candidate_differs_by_as_much_as_it_is_worse(
    store: SqliteStore, simulator: Simulator
) -> None:
    await roll_out(store, "You are careless.")
    await enqueue(store, 10)
    found = await worked(store, pairing(store, simulator))
    assert len({pair.unit.session for pair in found}) == len(found) == 10
    assert fmean(pair.difference or 0.0 for pair in found) == pytest.approx(0.5)
    assert {(pair.outcomes, pair.flagged, pair.cause) for pair in found} == {
        (("ok", "ok"), (False, False), "")
    }
    assert {pair.judge for pair in found} == {Bench("judge-model", HELPFUL, PAIR_DIGEST).digest}
    after = await spent(store)
    assert (after.scored, after.calls, after.unpriced) == (10, 30, 0)  # one copy and both orders each
    assert after.usd > 0.0
    today = await spent(store, day((await store.tick()).now))
    assert today.usd == pytest.approx(after.usd)


async def test_the_candidate_is_asked_by_our_key_unstreamed_and_both_orders_are_judged(
    store: SqliteStore, simulator: Simulator
) -> None:
    await roll_out(store, "You are careless.")
    await enqueue(store)
    await worked(store, pairing(store, simulator))
    requests = simulator.provider.journal.last(3)
    bodies = [json.loads(base64.b64decode(request["body"])) for request in requests]
    copy = next(body for body in bodies if body["model"] == "sim")
    assert copy["messages"][0] == {"role": "system", "content": "You are careless."}
    assert "stream" not in copy
    words = [body["messages"][1]["content"] for body in bodies if body["model"] == "judge-model"]
    assert len(words) == 2
    seconds = {each.partition("<second-answer-")[2].partition("\n")[2][:14] for each in words}
    firsts = {each.partition("<first-answer-")[2].partition("\n")[2][:14] for each in words}
    assert seconds == firsts == {"[quality 0.75]", "[quality 0.25]"}


async def test_the_same_answer_needs_no_judge(store: SqliteStore, simulator: Simulator) -> None:
    await roll_out(store)
    await enqueue(store)
    first = (await worked(store, pairing(store, simulator)))[0]
    assert first.difference == 0.0
    said = simulator.provider.journal.last(1)[0]
    assert json.loads(base64.b64decode(said["body"]))["model"] in ("judge-model", "sim")


@pytest.mark.parametrize(
    ("words", "outcomes", "cause"),
    [
        ("You are broken.", ("ok", "prompt"), "status_422"),
        ("You are down.", ("ok", "provider"), "status_503"),
    ],
)
async def test_what_fails_by_the_candidates_fault_is_known_and_what_the_provider_fails_is_missing(
    store: SqliteStore, simulator: Simulator, words: str, outcomes: tuple[Outcome, Outcome], cause: str
) -> None:
    await roll_out(store, words)
    await enqueue(store)
    (pair,) = await worked(store, pairing(store, simulator))
    assert (pair.difference, pair.outcomes, pair.cause) == (None, outcomes, cause)


async def test_a_request_that_the_candidate_cannot_answer_is_its_fault(
    store: SqliteStore, simulator: Simulator
) -> None:
    await roll_out(store)
    await enqueue(store, messages="none")
    (pair,) = await worked(store, pairing(store, simulator))
    assert (pair.outcomes, pair.cause) == (("ok", "prompt"), "invalid_value")


async def test_flags_of_both_answers_are_told_and_a_call_of_a_tool_is_only_words(
    store: SqliteStore, simulator: Simulator
) -> None:
    await roll_out(store)
    tool = {"type": "function", "function": {"name": "refund", "parameters": {"type": "object"}}}
    await enqueue(store, answer="I cannot help with that.", flags=("refusal",), tools=[tool])
    (pair,) = await worked(store, pairing(store, simulator))
    assert pair.flagged == (True, False)
    copies = [json.loads(base64.b64decode(each["body"])) for each in simulator.provider.journal.last(10)]
    assert [body["tools"] for body in copies if body["model"] == "sim"] == [[tool]]
    assert not any(message["role"] == "tool" for body in copies for message in body["messages"])


async def test_what_comes_too_late_or_from_a_judge_that_died_is_missing(
    store: SqliteStore, simulator: Simulator
) -> None:
    await roll_out(store)
    await enqueue(store, due_in=-1.0)
    await enqueue(store, first=5)
    for _ in range(3):
        await store.claim(keys.SHADOWING, "dead", limit=2, lease=0.01)
        await asyncio.sleep(0.05)
    found = await worked(store, pairing(store, simulator))
    assert sorted(pair.cause for pair in found) == ["judge_died", "late"]
    assert {pair.outcomes for pair in found} == {("ok", "provider")}
    assert simulator.provider.journal.last(5) == []


async def test_once_the_stage_is_over_copies_are_done_without_a_pair(
    store: SqliteStore, simulator: Simulator
) -> None:
    await roll_out(store, exposed=True)
    await enqueue(store, 3)
    assert await worked(store, pairing(store, simulator)) == []
    assert (await spent(store)).unscored == {"ended": 3}


async def test_spending_lowers_the_rate_instead_of_stopping(store: SqliteStore, simulator: Simulator) -> None:
    await roll_out(store, "You are careless.")
    already = codec.encode(Spent(usd=75.0))
    await store.commit([Put(keys.shadow_spend(ROLLOUT), already, 0)])
    await enqueue(store, 60)
    found = await worked(store, pairing(store, simulator, usd_per_rollout=100.0))
    after = await spent(store)
    assert after.unscored["spend"] + len(found) == 60
    assert 15 <= len(found) <= 45
    assert after.usd < 100.0


def test_the_rate_falls_with_what_is_left() -> None:
    assert [rate_left(usd, 10.0) for usd in (0.0, 5.0, 8.0, 10.0, 12.0)] == [
        1.0,
        1.0,
        pytest.approx(0.4),
        0.0,
        0.0,
    ]
    assert 0.45 < fmean(drawn(f"r/{number}") < 0.5 for number in range(2000)) < 0.55


async def test_two_processes_and_one_that_is_killed_share_the_copies(
    store: SqliteStore, simulator: Simulator
) -> None:
    await roll_out(store, "You are careless.")
    await enqueue(store, 40)
    lost = await store.claim(keys.SHADOWING, "killed", limit=5, lease=0.1)
    assert len(lost) == 5
    found = await worked(store, pairing(store, simulator, "a"), pairing(store, simulator, "b"))
    assert len({pair.unit.session for pair in found}) == len(found) == 40
    assert {pair.cause for pair in found} == {""}


async def test_the_candidates_answer_is_redacted_before_it_is_judged(
    store: SqliteStore, simulator: Simulator
) -> None:
    await roll_out(store, "You are careless.")
    await enqueue(store)
    await worked(store, pairing(store, simulator, redact="quality 0.25"))
    judged = [
        body["messages"][1]["content"]
        for body in (
            json.loads(base64.b64decode(each["body"])) for each in simulator.provider.journal.last(3)
        )
        if body["model"] == "judge-model"
    ]
    assert len(judged) == 2
    assert all("[redacted]" in words and "0.25" not in words for words in judged)


async def test_what_cannot_be_read_is_buried(store: SqliteStore, simulator: Simulator) -> None:
    await store.enqueue(keys.SHADOWING, "x/1", msgspec.msgpack.encode(["nonsense"]))
    assert await worked(store, pairing(store, simulator)) == []
    assert (await store.depth(keys.SHADOWING))[2] == 1


async def test_a_judge_that_prefers_a_place_prefers_neither_version(store: SqliteStore) -> None:
    """It gives .25 to what stands second. A score beside the other answer against one alone would take that
    for quality."""
    simulator = await start_simulator(
        load_scenario(SCENARIO.replace("noise: 0.0", "noise: 0.0, order_bias: 0.25"))
    )
    try:
        await roll_out(store, "You are careless.")
        await enqueue(store, 5)
        found = await worked(store, pairing(store, simulator))
        assert [pair.difference for pair in found] == [0.5] * 5
        model = JudgeModel(
            JudgeSettings(base_url=f"http://127.0.0.1:{simulator.port}/v1", model="judge-model")
        )
        examiner = Examiner(model, attempts=1, nonce=lambda: "n0nce")
        bench = Bench("judge-model", HELPFUL, PAIR_DIGEST)
        stable, candidate = "[quality 0.75] words", "[quality 0.25] words"
        scores = {}
        for words in (Words("Hi?", stable), Words("Hi?", candidate, stable)):
            judged = await examiner.judge(bench, words, patience=10.0, charge=lambda reply: None)
            scores[words.answer] = judged.score or 0.0
        await model.close()
        assert scores[stable] - scores[candidate] == pytest.approx(0.25)
    finally:
        await simulator.close()
