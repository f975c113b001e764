"""Versions are immutable and found by content; metadata is appended; gates follow the suite."""

import asyncio

import pytest

from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.registry import Registry
from gateway.domain.prompt import Gate
from gateway.errors import InvalidValue, PromptNotFound, VersionNotFound
from gateway.storage.sqlite import SqliteStore
from tests.support.prompts import described, prompt_file, prompt_text

ANN, BOB = By("ann"), By("bob")


async def test_the_same_content_is_the_same_version(store: SqliteStore) -> None:
    registry = Registry(store)
    first = await registry.push(prompt_file("one"), ANN)
    second = await registry.push(prompt_file("two"), ANN)
    again = await registry.push(prompt_file("one"), BOB)
    assert [(item.version, item.created) for item in (first, second, again)] == [
        (1, True),
        (2, True),
        (1, False),
    ]
    assert again.digest == first.digest
    assert not again.metadata_changed
    assert (await registry.version("support-agent", 1)).created_by == "ann"
    assert len(await registry.versions("support-agent")) == 2


async def test_an_unchanged_push_writes_nothing(store: SqliteStore) -> None:
    registry = Registry(store)
    await registry.push(prompt_file(), ANN)
    before = (await store.tick()).revision
    await registry.push(prompt_file(), BOB)
    assert (await store.tick()).revision == before


async def test_changed_metadata_is_appended_and_the_newest_wins(operations: StoreOperations) -> None:
    await operations.push(prompt_text(front=described(change="first")), "a", ANN)
    pushed = await operations.push(prompt_text(front=described(change="second")), "a", BOB)
    assert (pushed.version, pushed.created, pushed.metadata_changed) == (1, False, True)
    detail = await operations.version("support-agent", 1)
    assert detail.version.metadata.change == "second"
    assert [(item.sequence, item.by) for item in detail.metadata_history] == [(1, "ann"), (2, "bob")]


async def test_racing_pushes_of_one_content_make_one_version(store: SqliteStore) -> None:
    registry = Registry(store)
    results = await asyncio.gather(*(registry.push(prompt_file("same"), By(f"op{n}")) for n in range(10)))
    assert {item.version for item in results} == {1}
    assert sum(item.created for item in results) == 1


async def test_racing_pushes_of_different_contents_count_without_gaps(store: SqliteStore) -> None:
    registry = Registry(store)
    results = await asyncio.gather(*(registry.push(prompt_file(f"body {n}"), ANN) for n in range(12)))
    assert sorted(item.version for item in results) == list(range(1, 13))


async def test_a_version_without_a_suite_has_passed(operations: StoreOperations) -> None:
    pushed = await operations.push(prompt_text(), "a", ANN)
    assert (pushed.gate.state, pushed.gate.suite) == ("passed", "none")


async def test_a_version_with_a_suite_waits_for_its_result(operations: StoreOperations) -> None:
    pushed = await operations.push(prompt_text(front=described(suite="evals/s.yaml")), "a", ANN)
    assert (pushed.gate.state, pushed.gate.suite) == ("pending", "evals/s.yaml")
    states = []
    for result in ("failed", "passed"):
        gate = Gate(result, suite="sha256:0f", detail="7 of 9")  # type: ignore[arg-type]
        view = await operations.record_gate("support-agent", 1, gate, BOB)
        states.append(view.state)
        assert view.gate.at > 0
    assert states == ["rejected", "ready"]


async def test_naming_another_suite_asks_for_its_result_and_dropping_it_does_not_pass(
    operations: StoreOperations,
) -> None:
    await operations.push(prompt_text(), "a", ANN)
    named = await operations.push(prompt_text(front=described(suite="evals/s.yaml")), "a", ANN)
    assert named.gate.state == "pending"
    dropped = await operations.push(prompt_text(), "a", ANN)
    assert dropped.gate.state == "pending"


async def test_unknown_prompts_and_versions_say_what_there_is(operations: StoreOperations) -> None:
    with pytest.raises(PromptNotFound, match="push a version of it first"):
        await operations.prompt("nobody")
    with pytest.raises(PromptNotFound):
        await operations.version("nobody", 1)
    await operations.push(prompt_text(), "a", ANN)
    with pytest.raises(VersionNotFound, match="it has 1 to 1"):
        await operations.version("support-agent", 2)
    with pytest.raises(InvalidValue, match="is not a name"):
        await operations.prompt("No/Name")
    with pytest.raises(InvalidValue, match="start at 1"):
        await operations.version("support-agent", 0)
    with pytest.raises(VersionNotFound):
        await operations.record_gate("support-agent", 2, Gate("passed"), ANN)


async def test_a_file_of_another_prompt_is_refused(operations: StoreOperations) -> None:
    with pytest.raises(InvalidValue, match="is of prompt 'support-agent', not 'other'"):
        await operations.push(prompt_text(), "a.prompty", ANN, into="other")


async def test_the_change_note_is_the_reason_in_the_audit_log(operations: StoreOperations) -> None:
    await operations.push(prompt_text(front=described(change="shorter answers")), "a", ANN)
    (entry,) = (await operations.audit()).entries
    assert (entry.action, entry.actor, entry.reason) == ("push", "ann", "shorter answers")
    assert entry.after["version"] == 1
