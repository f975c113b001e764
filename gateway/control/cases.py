"""The cases of a prompt in the store: `cases/{prompt}` holds what is known of them, keys that expire hold
their words. One document, so that a decision and the next failed answer cannot overwrite each other."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.control.changes import Entry, record
from gateway.control.plan import By
from gateway.domain.case import MOST_ACCEPTED, Case, Cases, Words, case_id, pruned
from gateway.domain.observation import Batch, Drawn, Flagged, encode_batch
from gateway.domain.rollout import Deployment
from gateway.domain.safety import PERSON
from gateway.errors import InvalidValue, NotFound, StoreRevised, TransitionRefused, Unavailable
from gateway.evals.regression import checked, proposed
from gateway.storage import codec, keys
from gateway.storage.base import Put, Store

ATTEMPTS = 50

_WORDS = msgspec.msgpack.Decoder(Words)


class CaseView(msgspec.Struct, frozen=True):
    """A case, and its words while they are kept (`answer` is shown to people and never stored longer);
    `proposal`: what would be accepted."""

    prompt: str
    case: Case
    question: str = ""
    answer: str = ""
    proposal: dict[str, Any] | None = None


class CasePage(msgspec.Struct, frozen=True):
    """The oldest first."""

    cases: tuple[Case, ...]


class CaseBook:
    """`most`: quarantined and rejected cases of one prompt; `kept`: s that words are kept."""

    def __init__(self, store: Store, *, most: int = 200, kept: float = 86_400.0) -> None:
        self._store = store
        self._most = most
        self._kept = kept

    async def quarantine(
        self,
        prompt: str,
        version: int,
        rollout: str,
        unit: Drawn,
        words: Words,
        flags: tuple[str, ...],
        score: float | None,
    ) -> bool:
        """False if there is no room, or its session has one already. `words` must be redacted."""
        id = case_id(rollout, unit.session)
        for _ in range(ATTEMPTS):
            now = (await self._store.tick()).now
            cases, revision = await self._read(prompt)
            cases = pruned(cases, now, self._most)
            others = sum(case.state != "accepted" for case in cases.cases)
            if others >= self._most or any(case.id == id for case in cases.cases):
                return False
            case = Case(id, version, rollout, unit, now, now + self._kept, flags, score)
            await self._store.set_if_absent(
                keys.case_words(prompt, id), msgspec.msgpack.encode(words), self._kept
            )
            try:
                await self._store.commit([_put(with_case(cases, case), revision)])
            except StoreRevised:
                continue
            return True
        raise _busy(prompt)

    async def all(self, prompt: str) -> tuple[Case, ...]:
        cases, _ = await self._read(prompt)
        now = (await self._store.tick()).now
        return pruned(cases, now, self._most).cases

    async def get(self, prompt: str, id: str) -> CaseView:
        """Raises `NotFound`."""
        case = self._find((await self._read(prompt))[0], id)
        raw = await self._store.get_key(keys.case_words(prompt, id))
        if raw is None:
            return CaseView(prompt, case)
        words = _WORDS.decode(raw)
        proposal = proposed(id, words.question, case.flags, case.score) if case.test is None else None
        return CaseView(prompt, case, words.question, words.answer, proposal)

    async def accept(self, prompt: str, id: str, asserts: list[Any] | None, by: By) -> CaseView:
        """Into the suite. Raises `NotFound`, `InvalidValue` for what no suite could hold, and
        `TransitionRefused` if its words are gone."""
        view = await self.get(prompt, id)
        known = view.proposal or view.case.test
        if known is None:
            raise TransitionRefused(f"case {id} is {view.case.state}, and its words are gone", param="case")
        test = checked({**known, "assert": asserts} if asserts else known, id)

        def decide(case: Case) -> Case:
            return msgspec.structs.replace(case, state="accepted", test=test, by=by.actor, reason=by.reason)

        await self._decide(prompt, id, "accept_case", decide, by)
        return await self.get(prompt, id)

    async def reject(self, prompt: str, id: str, by: By) -> CaseView:
        """Also of an accepted one: it leaves the suite. Raises `NotFound`."""

        def decide(case: Case) -> Case:
            return msgspec.structs.replace(case, state="rejected", test=None, by=by.actor, reason=by.reason)

        await self._decide(prompt, id, "reject_case", decide, by)
        await self._store.delete_key(keys.case_words(prompt, id))
        return await self.get(prompt, id)

    async def tell(self, prompt: str, id: str, flag: str, by: By, *, cleared: bool) -> CaseView:
        """A person's word on a severe flag, into the evidence of its rollout. Raises `NotFound`, and
        `TransitionRefused` once that has ended."""
        case = self._find((await self._read(prompt))[0], id)
        document = await self._store.get(keys.deployment(prompt))
        running = None if document is None else codec.decode_document(document, Deployment).rollout
        if running is None or running.id != case.rollout:
            raise TransitionRefused(f"rollout {case.rollout} has ended: nothing is decided on it any more")
        if not cleared and flag not in case.flags:
            raise InvalidValue(f"case {id} has the flags {', '.join(case.flags) or 'none'}", param="flag")
        now = (await self._store.tick()).now
        told = Flagged(case.unit, flag, PERSON + by.actor, now, cleared)
        action = "clear_flag" if cleared else "confirm_flag"

        async def entry(at: float) -> Entry:
            return Entry(action, prompt, None, {"case": id, "flag": flag, "rollout": case.rollout})

        await record(self._store, by, entry)
        batch = Batch(f"person-{secrets.token_hex(6)}", 1, now, (told,))
        await self._store.append(keys.evidence(case.rollout), [encode_batch(batch)])
        return await self.get(prompt, id)

    async def tests(self, prompt: str) -> list[dict[str, Any]]:
        """Accepted cases, as a suite has them."""
        cases, _ = await self._read(prompt)
        return [case.test for case in cases.cases if case.state == "accepted" and case.test is not None]

    # --- the document

    async def _read(self, prompt: str) -> tuple[Cases, int]:
        document = await self._store.get(keys.cases(prompt))
        if document is None:
            return Cases(prompt), 0
        return codec.decode_document(document, Cases), document.revision

    def _find(self, cases: Cases, id: str) -> Case:
        for case in cases.cases:
            if case.id == id:
                return case
        raise NotFound(f"{cases.prompt} has no case {id!r}", param="case")

    async def _decide(
        self, prompt: str, id: str, action: str, decide: Callable[[Case], Case], by: By
    ) -> None:
        async def entry(at: float) -> Entry:
            cases, revision = await self._read(prompt)
            before = self._find(cases, id)
            after = decide(before)
            accepted = sum(case.state == "accepted" for case in cases.cases)
            if after.state == "accepted" and accepted >= MOST_ACCEPTED:
                raise InvalidValue(f"{prompt} has {MOST_ACCEPTED} accepted cases: reject some", param="case")
            changed = tuple(after if case.id == id else case for case in cases.cases)
            put = _put(msgspec.structs.replace(cases, cases=changed), revision)
            told = {"case": id, "state": after.state}
            return Entry(action, prompt, {"case": id, "state": before.state}, told, (put,))

        await record(self._store, by, entry)


def with_case(cases: Cases, case: Case) -> Cases:
    return msgspec.structs.replace(cases, cases=(*cases.cases, case))


def _put(cases: Cases, revision: int) -> Put:
    return Put(keys.cases(cases.prompt), codec.encode(cases), revision)


def _busy(prompt: str) -> Unavailable:
    return Unavailable(f"{prompt}: its cases are being changed by others; try again", retry_after=1)
