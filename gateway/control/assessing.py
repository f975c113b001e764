"""What is known of versions from suites, ours and others': one protocol, its implementation on a store."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from gateway.control.cases import CaseBook, CaseView
from gateway.control.plan import By
from gateway.control.registry import Registry
from gateway.domain.case import Case
from gateway.domain.prompt import Gate
from gateway.errors import InvalidValue, NotFound
from gateway.evals.report import CaseResult, Report, State
from gateway.evals.results import Posted, report_of
from gateway.storage import codec, keys
from gateway.storage.base import Put, Store

OURS = "prompt-canary"  # the runner of the gateway's own gate


class Evaluation(msgspec.Struct, frozen=True):
    """A version's last run of a suite. `runner` ran it, `by` recorded it at `at` (store time, s). `live`: the
    live version's scores in the same cases."""

    prompt: str
    version: int
    state: State
    summary: str
    suite: str
    runner: str
    by: str
    at: float
    cases: tuple[CaseResult, ...]
    live: tuple[float, ...] = ()


class Assessing(Protocol):
    """Errors are `errors.GatewayError`s."""

    async def evaluation(self, prompt: str, number: int) -> Evaluation: ...

    async def post_evaluation(
        self, prompt: str, number: int, posted: Posted, by: By, *, expected: int | None = None
    ) -> Evaluation:
        """Record a suite that ran elsewhere, and the gate that follows from it."""

    async def cases(self, prompt: str) -> tuple[Case, ...]: ...

    async def case(self, prompt: str, id: str) -> CaseView: ...

    async def accept_case(self, prompt: str, id: str, asserts: list[Any] | None, by: By) -> CaseView: ...

    async def reject_case(self, prompt: str, id: str, by: By) -> CaseView: ...

    async def confirm_flag(self, prompt: str, id: str, flag: str, by: By) -> CaseView:
        """A person says that a severe flag is real."""

    async def clear_flags(self, prompt: str, id: str, by: By) -> CaseView:
        """A person says that there is nothing severe in it."""


class StoreAssessing:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._book = CaseBook(store)
        self._registry = Registry(store)

    async def evaluation(self, prompt: str, number: int) -> Evaluation:
        """Raises `PromptNotFound`, `VersionNotFound` or `NotFound`."""
        await self._registry.version(prompt, number)
        document = await self._store.get(keys.evaluation(prompt, number))
        if document is None:
            raise NotFound(f"no suite of {prompt}/{number} has been run", param="version")
        return codec.decode_document(document, Evaluation)

    async def post_evaluation(
        self, prompt: str, number: int, posted: Posted, by: By, *, expected: int | None = None
    ) -> Evaluation:
        """Raises `PromptNotFound`, `VersionNotFound`, or `InvalidValue` for another suite than the version's.
        What is incomplete is kept and leaves the gate as it is."""
        await self._registry.version(prompt, number)
        deployment, _ = await self._registry.deployment(prompt)
        require_suite(deployment.gates.get(number), posted.suite)
        report = report_of(posted)
        at = (await self._store.tick()).now
        if (gate := gate_of(report, posted.runner)) is not None:
            why = by if by.reason else by._replace(reason=f"suite {posted.suite} run by {posted.runner}")
            await self._registry.record_gate(prompt, number, gate, why, expected=expected)
        found = evaluation_of(prompt, number, report, posted.runner, by.actor, at)
        await self._store.commit([put_of(found)])
        return found

    async def cases(self, prompt: str) -> tuple[Case, ...]:
        await self._registry.deployment(prompt)
        return await self._book.all(prompt)

    async def case(self, prompt: str, id: str) -> CaseView:
        return await self._book.get(prompt, id)

    async def accept_case(self, prompt: str, id: str, asserts: list[Any] | None, by: By) -> CaseView:
        return await self._book.accept(prompt, id, asserts, by)

    async def reject_case(self, prompt: str, id: str, by: By) -> CaseView:
        return await self._book.reject(prompt, id, by)

    async def confirm_flag(self, prompt: str, id: str, flag: str, by: By) -> CaseView:
        return await self._book.tell(prompt, id, flag, by, cleared=False)

    async def clear_flags(self, prompt: str, id: str, by: By) -> CaseView:
        return await self._book.tell(prompt, id, "", by, cleared=True)


def require_suite(gate: Gate | None, suite: str) -> None:
    """A gate is passed by its own suite, not by any other one."""
    asked = "none" if gate is None else gate.suite
    if not suite or (asked != "none" and suite.partition("@")[0] != asked.partition("@")[0]):
        raise InvalidValue(
            f"the version's gate is for suite {asked.partition('@')[0]!r}, not {suite!r}", param="suite"
        )


def gate_of(report: Report, runner: str) -> Gate | None:
    """None where there is no data."""
    if report.state == "incomplete":
        return None
    detail = report.summary if runner == OURS else f"{report.summary} (run by {runner})"
    return Gate("passed" if report.state == "passed" else "failed", suite=report.suite, detail=detail)


def evaluation_of(prompt: str, number: int, report: Report, runner: str, by: str, at: float) -> Evaluation:
    return Evaluation(
        *(prompt, number, report.state, report.summary, report.suite, runner, by, at, report.cases),
        report.live,
    )


def put_of(evaluation: Evaluation) -> Put:
    return Put(keys.evaluation(evaluation.prompt, evaluation.version), codec.encode(evaluation), None)
