"""The offline gate by itself: the suite of each pending version is run, and its gate recorded.

    pending   a version names a suite, and a file of that name is there → run, under a lease of its own
    recorded  only if the gate is still pending for that suite: whoever changed it meanwhile is right
    no data   a run without an answer or a judgment leaves the gate pending, and it is run again later

A gate that passed names the suite with its digest, so it says what was passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from gateway.control.assessing import OURS, evaluation_of, gate_of, put_of
from gateway.control.cases import CaseBook
from gateway.control.judging.trying import Trier
from gateway.control.plan import By
from gateway.control.registry import Registry
from gateway.domain.prompt import Gate, Version
from gateway.domain.rollout import Deployment
from gateway.errors import Conflict, GatewayError, InvalidValue
from gateway.evals.imports.formats import SUFFIXES, read_any
from gateway.evals.regression import joined
from gateway.evals.report import Report
from gateway.evals.suite import Suite
from gateway.storage.base import Store

logger = logging.getLogger(__name__)

LOOK = 1.0  # s between looks at what is pending
AGAIN = 30.0  # s until a version is tried again that could not be
LEASE = 30.0  # s; it is renewed while a suite runs
RECORDS = 20
ACTOR = "gate"


class Gatekeeper:
    """`folder` holds the suites; `compare`: with the live version."""

    def __init__(self, store: Store, trier: Trier, folder: Path, *, owner: str, compare: bool) -> None:
        self._store = store
        self._registry = Registry(store)
        self._book = CaseBook(store)
        self._trier = trier
        self._folder = folder
        self._owner = owner
        self._compare = compare
        self._waits: dict[tuple[str, int], float] = {}  # by version: when it may be tried again
        self._failing = False

    async def run(self, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                await self._try_look()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK)
        finally:
            await self._trier.close()

    async def _try_look(self) -> None:
        try:
            await self.look()
            self._failing = False
        except GatewayError as error:
            if not self._failing:
                logger.error("no suites are run for now: %s", error.message)
            self._failing = True

    async def look(self) -> None:
        """Run what is pending, one version after the other."""
        now = asyncio.get_running_loop().time()
        for deployment in await self._registry.deployments():
            for number, gate in sorted(deployment.gates.items()):
                due = self._waits.get((deployment.prompt, number), 0.0)
                if gate.state == "pending" and now >= due:
                    await self._attend(deployment, number, gate)

    async def _attend(self, deployment: Deployment, number: int, gate: Gate) -> None:
        prompt = deployment.prompt
        name = f"gate/{prompt}/{number}"
        if await self._store.acquire(name, self._owner, LEASE) is None:
            return
        renewing = asyncio.create_task(self._renew(name))
        self._waits[(prompt, number)] = asyncio.get_running_loop().time() + AGAIN
        try:
            suite = await asyncio.to_thread(load_suite, self._folder, gate.suite)
            if suite is None:
                return  # its result may come from elsewhere
            suite = joined(suite, await self._book.tests(prompt), f"cases of {prompt}")
            version, live = await self._versions(deployment, number)
            logger.info("%s/%d: suite %s, %d cases", prompt, number, suite.reference, len(suite.cases))
            report = await self._trier.run(suite, version, live)
            await self._record(prompt, number, gate, report)
        except GatewayError as error:
            if error.status >= 500:
                raise
            logger.error("%s/%d: its suite cannot be run: %s", prompt, number, error.message)
        finally:
            renewing.cancel()
            await self._store.release(name, self._owner)

    async def _renew(self, name: str) -> None:
        while True:
            await asyncio.sleep(LEASE / 3.0)
            with contextlib.suppress(GatewayError):
                await self._store.acquire(name, self._owner, LEASE)

    async def _versions(self, deployment: Deployment, number: int) -> tuple[Version, Version | None]:
        version = await self._registry.version(deployment.prompt, number)
        live = deployment.live
        if not self._compare or live is None or live == number:
            return version, None
        return version, await self._registry.version(deployment.prompt, live)

    async def _record(self, prompt: str, number: int, gate: Gate, report: Report) -> None:
        logger.info("%s/%d: %s: %s", prompt, number, report.state, report.summary)
        at = (await self._store.tick()).now
        await self._store.commit([put_of(evaluation_of(prompt, number, report, OURS, ACTOR, at))])
        result = gate_of(report, OURS)
        if result is None:
            return
        for _ in range(RECORDS):
            deployment, revision = await self._registry.deployment(prompt)
            if deployment.gates.get(number) != gate:
                logger.info("%s/%d: its gate was changed meanwhile", prompt, number)
                return
            by = By(ACTOR, f"suite {report.suite}")
            try:
                await self._registry.record_gate(prompt, number, result, by, expected=revision)
            except Conflict:
                continue
            return


def load_suite(folder: Path, name: str) -> Suite | None:
    """None where there is no such file. Raises `InvalidValue`."""
    for suffix in SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.parent == folder and path.is_file():
            break
    else:
        return None
    try:
        return read_any(path.read_text(encoding="utf-8"), name, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{path} cannot be read: {error}") from error
