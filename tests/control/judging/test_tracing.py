"""A judgment is a span that links to the request that it is about; a suite is one with its cases below it."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random

import msgspec
import pytest

from gateway.control.judging.loop import Judge
from gateway.control.judging.model import JudgeModel
from gateway.control.judging.trying import Trier
from gateway.domain.judging import Item, decode_item, encode_item, encode_words
from gateway.domain.observation import Drawn
from gateway.domain.prompt import Version
from gateway.evals.suite import read_suite
from gateway.prices import PriceList
from gateway.promptfiles import prompty
from gateway.settings import EvalSettings, JudgeSettings
from gateway.storage import keys
from gateway.storage.sqlite import SqliteStore
from gateway.telemetry.spans import CLIENT, Link, Span, SpanQueue
from gateway.telemetry.tracer import RESULT, Tracer
from tests.control.judging.test_gate import SCENARIO, SUITE
from tests.control.judging.test_loop import FAST, at_work, finished, simulated
from tests.support.judging import HELPFUL, PRICES, PROMPT, ROLLOUT, run_rollout
from tests.support.stores import PATIENT

SECRET = "words-of-nobody"
TRACE, SPAN = b"t" * 16, b"s" * 8


async def judged(folder: Path, trace: bytes, behaviour: str = "", **settings: object) -> list[Span]:
    store = SqliteStore(folder / "store", limits=PATIENT)
    await store.open()
    await run_rollout(store)
    queue = SpanQueue(100)
    async with simulated(FAST % (behaviour, "")) as simulator:
        given = {"base_url": f"http://127.0.0.1:{simulator.port}/v1", "model": "judge-model", **settings}
        section = JudgeSettings.model_validate(given)
        tracer = Tracer(queue, Random(1))
        judge = Judge(store, section, {"helpful": HELPFUL}, PriceList(PRICES), owner="judge", tracer=tracer)
        now = (await store.tick()).now
        unit = Drawn(b"s-1", True, 0.5, 1.0, 1.0, now - 1.0, True)
        item = Item(PROMPT, ROLLOUT, unit, now + 600.0, SECRET, f"[quality 0.75] {SECRET}", trace)
        words = encode_words(item)
        assert await store.enqueue(keys.JUDGING, item.id, encode_item(item), text=words, keep=600.0)
        async with at_work(judge):
            await finished(store)
    await store.close()
    return queue.take(100)


async def test_a_judgment_links_to_its_request_and_tells_its_scores(tmp_path: Path) -> None:
    call, whole = await judged(tmp_path, TRACE + SPAN)
    assert (whole.name, whole.links, whole.parent) == ("evaluate helpful", (Link(TRACE, SPAN),), b"")
    assert whole.trace != TRACE
    assert (call.name, call.kind, call.trace, call.parent) == (
        "chat judge-model",
        CLIENT,
        whole.trace,
        whole.span,
    )
    assert whole.start <= call.start < call.end <= whole.end
    assert call.attributes["gen_ai.usage.input_tokens"] > 0  # type: ignore[operator]
    assert {event.name for event in whole.events} == {RESULT}
    assert [event.attributes["gen_ai.evaluation.name"] for event in whole.events] == ["resolves", "helpful"]
    score = whole.events[0].attributes["gen_ai.evaluation.score.value"]
    assert score == pytest.approx(0.75, abs=0.13)
    assert whole.attributes["promptcanary.arm"] == "canary"
    assert SECRET not in str((call, whole))


async def test_a_request_without_a_span_leaves_no_span_of_its_judgment(tmp_path: Path) -> None:
    assert await judged(tmp_path, b"") == []


async def test_a_judgment_that_fails_says_why(tmp_path: Path) -> None:
    *calls, whole = await judged(tmp_path, TRACE + SPAN, ", broken_json_rate: 1", attempts=2)
    assert [call.attributes["error.type"] for call in calls] == ["unreadable", "unreadable"]
    assert (whole.error, whole.attributes["error.type"]) == ("unscored: unreadable", "unreadable")
    assert whole.events[-1].attributes["error.type"] == "unreadable"


def test_items_of_a_gateway_that_knew_no_traces_are_read() -> None:
    item = Item("p", "r", Drawn(b"s", True, 0.5, 1, 1, 0), 1.0, "q", "a")
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(item))
    assert decode_item(msgspec.msgpack.encode(fields[:6])) == item


async def test_a_suite_is_a_trace_with_a_span_for_each_run_and_its_assertions(tmp_path: Path) -> None:
    queue = SpanQueue(100)
    async with simulated(SCENARIO) as simulator:
        url = f"http://127.0.0.1:{simulator.port}/v1"
        judge = JudgeModel(JudgeSettings(base_url=url, model="judge"))
        nonces = map(str, itertools.count(10**9))
        trier = Trier(
            EvalSettings(model="sim", attempts=1),
            url,
            None,
            PriceList({}),
            lambda: next(nonces),
            (judge, "judge"),
            Tracer(queue, Random(1)),
        )
        content = prompty.parse("---\nname: greeter\n---\nsystem:\nYou are good.\n", source="g").content
        version = Version("greeter", 3, "sha256:0", content, 0.0, "t")
        await trier.run(read_suite(SUITE, "support", "support.yaml"), version)
        await trier.close()
    spans = queue.take(100)
    (whole,) = [span for span in spans if not span.parent]
    assert whole.attributes["gen_ai.prompt.version"] == "3"
    cases = [span for span in spans if span.parent == whole.span]
    names = sorted(str(span.attributes["promptcanary.case"]) for span in cases)
    assert names == ["answers", "answers", "ends"]
    results = [event.attributes for span in cases for event in span.events]
    assert [found["gen_ai.evaluation.score.label"] for found in results] == ["pass"] * 7
    below = [span for span in spans if span.parent in {case.span for case in cases}]
    assert sorted(span.name for span in below) == ["chat judge"] * 2 + ["chat sim"] * 3
    assert {span.trace for span in spans} == {whole.trace}
