"""Regression cases on a real store: kept for a time, and taken into the suite by a person."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.control.audit import read_page
from gateway.control.cases import CaseBook
from gateway.control.plan import By
from gateway.domain.case import Words, case_id
from gateway.domain.observation import Drawn, Flagged, decode_batch
from gateway.errors import InvalidValue, NotFound, TransitionRefused
from gateway.storage import keys
from gateway.storage.sqlite import SqliteStore
from tests.support.judging import PROMPT, ROLLOUT, run_rollout
from tests.support.stores import PATIENT
from tests.support.worker import StoreClock

ANN = By("ann", "seen it")
WORDS = Words("user: Can I return it?", "I cannot help with that.")


def unit(name: str) -> Drawn:
    return Drawn(name.encode().ljust(16), True, 0.5, 1.0, 1.0, 0.0)


class Stage:
    def __init__(self, store: SqliteStore, clock: StoreClock) -> None:
        self.store, self.clock = store, clock
        self.book = CaseBook(store, most=3, kept=100.0)

    async def failed(self, name: str, *flags: str, rollout: str = ROLLOUT) -> str:
        await self.book.quarantine(PROMPT, 2, rollout, unit(name), WORDS, flags or ("refusal",), None)
        return case_id(rollout, unit(name).session)

    async def told(self) -> list[Flagged]:
        log = await self.store.read(keys.evidence(ROLLOUT), after=0)
        return [record for entry in log for record in decode_batch(entry.value).records]  # type: ignore[misc]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    clock = StoreClock()
    store = SqliteStore(tmp_path / "store", limits=PATIENT, wall=clock)
    await store.open()
    await run_rollout(store)
    yield Stage(store, clock)
    await store.close()


async def test_a_case_is_accepted_and_is_then_a_case_of_the_suite(stage: Stage) -> None:
    id = await stage.failed("a")
    (case,) = await stage.book.all(PROMPT)
    assert (case.id, case.state, case.flags) == (id, "quarantined", ("refusal",))
    assert await stage.book.tests(PROMPT) == []
    view = await stage.book.accept(PROMPT, id, None, ANN)
    assert (view.case.state, view.case.by, view.case.reason) == ("accepted", "ann", "seen it")
    (test,) = await stage.book.tests(PROMPT)
    assert test == {
        "description": f"case {id}",
        "vars": {"input": "Can I return it?"},
        "assert": [{"type": "not-is-refusal"}],
    }
    (entry,) = (await read_page(stage.store, limit=5)).entries
    assert (entry.action, entry.actor, entry.subject) == ("accept_case", "ann", PROMPT)
    await stage.book.reject(PROMPT, id, ANN)
    assert await stage.book.tests(PROMPT) == []
    with pytest.raises(TransitionRefused, match="its words are gone"):
        await stage.book.accept(PROMPT, id, None, ANN)


async def test_a_person_says_what_to_assert_and_what_no_suite_could_hold_is_refused(stage: Stage) -> None:
    id = await stage.failed("a")
    with pytest.raises(InvalidValue, match=f"case {id}:.*there is no check 'magic'"):
        await stage.book.accept(PROMPT, id, [{"type": "magic"}], ANN)
    view = await stage.book.accept(PROMPT, id, [{"type": "icontains", "value": "thirty days"}], ANN)
    assert view.case.test is not None
    assert view.case.test["assert"] == [{"type": "icontains", "value": "thirty days"}]
    with pytest.raises(NotFound):
        await stage.book.accept(PROMPT, "0123456789ab-000000000000", None, ANN)


async def test_words_are_gone_after_their_time_and_undecided_cases_with_them(stage: Stage) -> None:
    kept, lost = await stage.failed("a"), await stage.failed("b")
    await stage.book.accept(PROMPT, kept, None, ANN)
    stage.clock.ahead += 101.0
    view = await stage.book.get(PROMPT, lost)
    assert (view.question, view.answer, view.proposal) == ("", "", None)
    with pytest.raises(TransitionRefused, match="its words are gone"):
        await stage.book.accept(PROMPT, lost, None, ANN)
    assert [case.id for case in await stage.book.all(PROMPT)] == [kept]
    assert len(await stage.book.tests(PROMPT)) == 1  # what the user said is kept with an accepted case


async def test_there_are_at_most_so_many_and_one_of_each_session(stage: Stage) -> None:
    names = ["a", "a", "b", "c", "d", "e"]
    await asyncio.gather(*(stage.failed(name) for name in names))
    cases = await stage.book.all(PROMPT)
    assert len(cases) == len({case.id for case in cases}) == 3
    await stage.book.accept(PROMPT, cases[0].id, None, ANN)
    await stage.failed("f")
    assert len(await stage.book.all(PROMPT)) == 4  # accepted ones take no room


async def test_a_person_s_word_on_a_flag_goes_into_the_evidence(stage: Stage) -> None:
    id = await stage.failed("a", "secret")
    await stage.book.tell(PROMPT, id, "secret", ANN, cleared=False)
    await stage.book.tell(PROMPT, id, "", By("bob"), cleared=True)
    confirmed, cleared = await stage.told()
    assert (confirmed.flag, confirmed.by, confirmed.unit) == ("secret", "person:ann", unit("a"))
    assert (cleared.by, cleared.cleared) == ("person:bob", True)
    with pytest.raises(InvalidValue, match="has the flags secret"):
        await stage.book.tell(PROMPT, id, "leak", ANN, cleared=False)
    old = await stage.failed("b", "secret", rollout="ba9876543210")
    with pytest.raises(TransitionRefused, match="rollout ba9876543210 has ended"):
        await stage.book.tell(PROMPT, old, "secret", ANN, cleared=False)
