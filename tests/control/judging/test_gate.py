"""The offline gate on a real store, with the simulated provider answering and judging."""

from __future__ import annotations

import asyncio
import itertools
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.control.assessing import Evaluation
from gateway.control.cases import CaseBook
from gateway.control.judging.gate import Gatekeeper, load_suite
from gateway.control.judging.model import JudgeModel
from gateway.control.judging.trying import Trier
from gateway.control.plan import By
from gateway.control.registry import Registry
from gateway.control.rollouts import Rollouts, Start
from gateway.domain.case import Words, case_id
from gateway.domain.observation import Drawn
from gateway.domain.prompt import Gate
from gateway.domain.rollout import state_of
from gateway.errors import GateNotPassed, InvalidValue
from gateway.evals.report import Report
from gateway.prices import PriceList
from gateway.promptfiles import prompty
from gateway.settings import EvalSettings, JudgeSettings
from gateway.simulator import Simulator, load_scenario, start_simulator
from gateway.storage import codec, keys
from gateway.storage.sqlite import SqliteStore
from tests.support.stores import PATIENT

BY = By("tester", "a test")
SCENARIO = """\
default: {first_token_ms: 0, gap_ms: 0, tokens: 10, quality: 0.9, quality_spread: 0}
rules:
  - {name: bad, contains: bad, behaviour: {quality: 0.2}}
  - {name: refusing, contains: refusing, behaviour: {refusal_rate: 1}}
  - {name: down, contains: down, behaviour: {error_rate: 1, error_status: 503}}
judge: {noise: 0, behaviour: {first_token_ms: 0, gap_ms: 0}}
"""
SUITE = """\
prompts: ["{{question}}"]
tests:
  - description: answers
    vars: {question: "Can I return it?"}
    assert:
      - {type: not-is-refusal}
      - {type: llm-rubric, value: it helps, threshold: 0.7}
      - {type: no-pii}
    options: {repeat: 2}
  - description: ends
    vars: {question: "Hello?"}
    assert: [{type: finish-reason, value: stop}]
"""


class Stage:
    def __init__(self, store: SqliteStore, simulator: Simulator, folder: Path) -> None:
        self.store = store
        self.registry = Registry(store)
        self.rollouts = Rollouts(store)
        self.simulator = simulator
        self.folder = folder
        self.triers: list[Trier] = []
        (folder / "support.yaml").write_text(SUITE)

    def keeper(self, owner: str = "gate") -> Gatekeeper:
        url = f"http://127.0.0.1:{self.simulator.port}/v1"
        judge = JudgeModel(JudgeSettings(base_url=url, model="judge"))
        settings = EvalSettings(model="sim", attempts=1)
        nonces = map(str, itertools.count(10**9))
        trier = Trier(settings, url, None, PriceList({}), lambda: next(nonces), (judge, "judge"))
        self.triers.append(trier)
        return Gatekeeper(self.store, trier, self.folder, owner=owner, compare=True)

    async def push(self, edition: str, suite: str = "support") -> int:
        front = f"name: greeter\nmetadata: {{canary: {{suite: {suite}}}}}"
        text = f"---\n{front}\n---\nsystem:\nYou are {edition}.\n"
        return (await self.registry.push(prompty.parse(text, source="greeter.prompty"), BY)).version

    async def gate(self, number: int) -> Gate:
        return (await self.registry.deployment("greeter"))[0].gates[number]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage_at(tmp_path) as made:
        yield made


@asynccontextmanager
async def stage_at(folder: Path) -> AsyncIterator[Stage]:
    store = SqliteStore(folder / "store", limits=PATIENT)
    await store.open()
    simulator = await start_simulator(load_scenario(SCENARIO))
    suites = folder / "suites"
    suites.mkdir()
    stage = Stage(store, simulator, suites)
    try:
        yield stage
    finally:
        for trier in stage.triers:
            await trier.close()
        await simulator.close()
        await store.close()


async def test_a_version_is_pending_then_ready_or_rejected_and_the_refusal_says_which_cases(
    stage: Stage,
) -> None:
    good, bad, refusing = await stage.push("good"), await stage.push("bad"), await stage.push("refusing")
    deployment, _ = await stage.registry.deployment("greeter")
    assert [state_of(deployment, number) for number in (good, bad, refusing)] == ["pending_eval"] * 3
    await stage.keeper().look()
    deployment, _ = await stage.registry.deployment("greeter")
    assert [state_of(deployment, n) for n in (good, bad, refusing)] == ["ready", "rejected", "rejected"]
    gate = await stage.gate(good)
    assert gate.suite.startswith("support@")
    assert gate.detail.startswith("2 of 2 cases passed")
    detail = (await stage.gate(bad)).detail
    assert "failed: answers (llm-rubric (line 7): the judge gave 0.20)" in detail
    assert "not-is-refusal (line 6): it holds" in (await stage.gate(refusing)).detail
    await stage.rollouts.deploy("greeter", good, BY)
    for number in (bad, refusing):
        with pytest.raises(GateNotPassed, match=r"failed .*answers"):
            await stage.rollouts.start("greeter", Start(number, 0.5), BY)
        with pytest.raises(GateNotPassed, match="answers"):
            await stage.rollouts.deploy("greeter", number, BY)
    await stage.rollouts.deploy("greeter", bad, BY, emergency=True)
    document = await stage.store.get(keys.evaluation("greeter", good))
    assert document is not None
    assert codec.decode_document(document, Evaluation).state == "passed"


async def test_concurrent_starts_do_not_get_past_a_gate_that_is_open(stage: Stage) -> None:
    good = await stage.push("good")
    await stage.keeper().look()
    await stage.rollouts.deploy("greeter", good, BY)
    bad = await stage.push("bad")

    async def attempt(number: int) -> str:
        await asyncio.sleep(0.01 * number)
        try:
            await stage.rollouts.start("greeter", Start(bad, 0.5), BY)
        except GateNotPassed:
            return "refused"
        return "started"

    results = await asyncio.gather(stage.keeper().look(), *(attempt(number) for number in range(30)))
    assert set(results[1:]) == {"refused"}
    assert (await stage.gate(bad)).state == "failed"


BEST = """\
tests:
  - description: better
    vars: {input: Hello}
    assert: [{type: select-best, value: it helps the user%s}]
"""


async def test_the_better_answer_is_chosen_in_both_orders(stage: Stage) -> None:
    (stage.folder / "best.yaml").write_text(BEST % "")
    good = await stage.push("good", "best")
    await stage.keeper().look()
    gate = await stage.gate(good)
    assert gate.state == "passed", gate.detail  # nothing is live: there is nothing better
    await stage.rollouts.deploy("greeter", good, BY)
    alike, bad = await stage.push("fine", "best"), await stage.push("bad", "best")
    await stage.keeper().look()
    assert (await stage.gate(alike)).state == "passed"  # a tie is not worse
    gate = await stage.gate(bad)
    assert gate.state == "failed"
    assert "better (select-best (line 4): the live version's answer is the better one" in gate.detail
    bodies = [b64decode(entry["body"]) for entry in stage.simulator.provider.journal.last(100)]
    assert sum(b"second-answer" in body for body in bodies) == 4  # two versions, two orders


async def test_a_suite_of_another_form_is_run_as_it_lies_there(stage: Stage) -> None:
    line = '{"input": [%s, {"role": "assistant", "content": "Hello"}, %s], "ideal": ["a", "I"]}'
    said = '{"role": "user", "content": "%s"}'
    (stage.folder / "samples.jsonl").write_text(line % (said % "Hi", said % "Bye"))
    number = await stage.push("good", "samples")
    await stage.keeper().look()
    assert (await stage.gate(number)).suite.startswith("samples@")
    sent = json.loads(b64decode(stage.simulator.provider.journal.last(1)[0]["body"]))["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]


async def test_an_accepted_regression_case_is_run_with_the_suite(stage: Stage) -> None:
    unit = Drawn(b"a session's hash", True, 0.5, 1.0, 1.0, 0.0)
    book, id = CaseBook(stage.store), "0123456789ab"
    words = Words("user: Why is it late?", "I cannot help with that.")
    await book.quarantine("greeter", 1, id, unit, words, ("refusal",), None)
    first = await stage.push("good")
    await stage.keeper().look()
    await book.accept("greeter", case_id(id, unit.session), [{"type": "contains", "value": "thirty"}], BY)
    second = await stage.push("fine")
    await stage.keeper().look()
    assert (await stage.gate(first)).state == "passed"
    gate = await stage.gate(second)
    assert gate.state == "failed"
    assert f"failed: case {case_id(id, unit.session)} (contains (line" in gate.detail
    assert gate.suite != (await stage.gate(first)).suite


async def test_two_gatekeepers_run_a_suite_once(stage: Stage) -> None:
    await stage.push("good")
    await asyncio.gather(stage.keeper("a").look(), stage.keeper("b").look())
    assert (await stage.gate(1)).state == "passed"
    assert len(stage.simulator.provider.journal.last(100)) == 5  # three answers, two judgments


async def test_without_an_answer_nothing_is_concluded(stage: Stage) -> None:
    number = await stage.push("down")
    await stage.keeper().look()
    assert (await stage.gate(number)).state == "pending"
    document = await stage.store.get(keys.evaluation("greeter", number))
    assert document is not None
    report = codec.decode_document(document, Evaluation)
    assert report.state == "incomplete"
    assert "the provider answered 503" in report.summary


async def test_a_suite_that_is_not_here_or_cannot_be_read_leaves_the_gate_pending(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = await stage.push("good", "elsewhere")
    (stage.folder / "broken.yaml").write_text("tests: [{assert: [{type: magic}]}]")
    broken = await stage.push("fine", "broken")
    await stage.keeper().look()
    assert [(await stage.gate(n)).state for n in (elsewhere, broken)] == ["pending"] * 2
    assert "broken.yaml:1: there is no check 'magic'" in caplog.text


async def test_a_gate_that_was_changed_meanwhile_is_left_alone(stage: Stage) -> None:
    number = await stage.push("good")
    keeper = stage.keeper()
    run = keeper._trier.run

    async def slow(*given: object) -> Report:
        report = await run(*given)  # type: ignore[arg-type]
        await stage.registry.record_gate("greeter", number, Gate("failed", "support", detail="by hand"), BY)
        return report

    keeper._trier.run = slow  # type: ignore[assignment]
    await keeper.look()
    assert (await stage.gate(number)).detail == "by hand"


def test_names_lead_into_the_folder_only(tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text(SUITE)
    inner = tmp_path / "suites"
    inner.mkdir()
    assert load_suite(inner, "../outside") is None
    assert load_suite(inner, "missing") is None
    (inner / "bad.yaml").write_bytes(b"\xff")
    with pytest.raises(InvalidValue, match="cannot be read"):
        load_suite(inner, "bad")
