"""What follows an emergency deploy: the version is evaluated afterwards, since nothing was known before.

A gate that has not passed is pending again, whatever it was, so that the suite is run as for any version. If
it fails while the version is live, that is an alert (`domain.alert`), and no rollback, unless a holdback is
watched (`plan.deploy`): a person decided, and there is no control.

Without a holdback it is compared, too, for a day, how often requests fail under the version, and how often
they did under the one before. What else has changed meanwhile may be the cause; hence an alert, once, and
again no rollback. Every machine compares what its own workers have counted since its supervisor began.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from msgspec.structs import replace

from gateway.control.changes import Change, Current, commit, summary
from gateway.control.following import Deployments
from gateway.control.plan import By
from gateway.domain.prompt import Gate, Metadata
from gateway.domain.rollout import Deployment, Emergency
from gateway.stats.intervals import Interval, watched, wilson
from gateway.storage.base import Store
from gateway.telemetry.metrics import Sample

LONGEST = 86_400.0  # s after the deploy
LOOK = 5.0  # s between looks at the counts
ALPHA = 0.01  # for a version that is no worse to be said to be, however long it is watched
TOGETHER = 5  # requests count as one: those of a conversation, and second attempts, fail together

Counts = Callable[[], Awaitable[Iterable[Sample]]]


def evaluated_afterwards(deployment: Deployment, version: int, metadata: Metadata) -> Deployment:
    gate = deployment.gates.get(version)
    if gate is None or gate.state == "passed" or not metadata.suite:
        return deployment
    pending = Gate("pending", suite=metadata.suite)
    return replace(deployment, gates={**deployment.gates, version: pending})


class Asked(NamedTuple):
    """Requests that have ended, but for those that the provider failed or the client left; and how many of
    them failed as a prompt can make them fail."""

    requests: int = 0
    failed: int = 0

    def since(self, start: Asked) -> Asked:
        return Asked(self.requests - start.requests, self.failed - start.failed)

    def together(self) -> Asked:
        """As many as depend on no other."""
        return Asked(self.requests // TOGETHER, self.failed // TOGETHER)


def worse(before: Asked, after: Asked) -> tuple[Interval, Interval] | None:
    """How often both fail, if that speaks of more failures than before. Holds for requests of which at most
    `TOGETHER` depend on each other.

    >>> worse(Asked(400, 2), Asked(90, 9)) is None, worse(Asked(400, 2), Asked(90, 60)) is None
    (True, False)
    """
    if min(before.requests, after.requests) < TOGETHER or not 0 <= after.failed <= after.requests:
        return None  # too little, or counted apart no longer
    before, after = before.together(), after.together()
    old = wilson(before.failed, before.requests, ALPHA)  # one side of two: it is at fault in ALPHA / 2
    new = watched(after.failed, after.requests, ALPHA / 2)
    return (old, new) if new.low > old.high else None


class Emergencies:
    """`counts` tells what this machine's workers have counted."""

    def __init__(self, store: Store, counts: Counts) -> None:
        self._store = store
        self._counts = counts
        self._deployments = Deployments(store)
        self._cases: dict[str, Case] = {}  # by prompt
        self._looked_at = float("-inf")

    async def turn(self) -> None:
        """One look, if one is due. Raises `GatewayError`."""
        tick = await self._store.tick()
        for deployment in await self._deployments.changed(tick):
            self._follow(deployment)
        new = any(case.start is None for case in self._cases.values())
        if not self._cases or (tick.now < self._looked_at + LOOK and not new):
            return
        self._looked_at = tick.now
        asked = asked_by_version(await self._counts())
        for prompt, case in list(self._cases.items()):
            if tick.now > case.emergency.since + LONGEST:
                del self._cases[prompt]
            elif (found := case.look(prompt, asked)) is not None:
                await self._say(prompt, case, *found)

    def _follow(self, deployment: Deployment) -> None:
        emergency, prompt = deployment.emergency, deployment.prompt
        known = self._cases.get(prompt)
        if emergency is None or emergency.worse or deployment.live is None:
            self._cases.pop(prompt, None)
        elif known is None or known.emergency != emergency:
            self._cases[prompt] = Case(deployment.live, emergency)

    async def _say(self, prompt: str, case: Case, old: Interval, new: Interval) -> None:
        reason = (
            f"{_said(new)} of its requests fail, of those of version {case.emergency.before} {_said(old)} did"
        )

        async def planned(current: Current) -> Change | None:
            deployment = current.deployment
            if deployment.emergency != case.emergency:
                return None
            said = replace(deployment, emergency=replace(case.emergency, worse=True))
            evidence = {"before": old._asdict(), "after": new._asdict()}
            return Change(said, "worse", summary(deployment), summary(said), evidence=evidence)

        await commit(self._store, prompt, By("services", reason), planned, steady=False)
        self._cases.pop(prompt, None)


class Case:
    """Of one emergency deploy. `start`: what had been asked of the version when the deploy was first seen."""

    def __init__(self, version: int, emergency: Emergency) -> None:
        self.version = version
        self.emergency = emergency
        self.start: Asked | None = None

    def look(self, prompt: str, asked: dict[tuple[str, int], Asked]) -> tuple[Interval, Interval] | None:
        version = asked.get((prompt, self.version), Asked())
        if self.start is None:
            self.start = version
        return worse(asked.get((prompt, self.emergency.before), Asked()), version.since(self.start))


def asked_by_version(samples: Iterable[Sample]) -> dict[tuple[str, int], Asked]:
    """From the counts of a supervisor, by prompt and version."""
    found: dict[tuple[str, int], Asked] = {}
    for name, labels, values in samples:
        if name == "requests_total":
            prompt, version, _, outcome = labels
            if outcome in ("ok", "prompt"):
                key, count = (prompt, int(version)), int(values[0])
                before = found.get(key, Asked())
                failed = count if outcome == "prompt" else 0
                found[key] = Asked(before.requests + count, before.failed + failed)
    return found


def _said(rate: Interval) -> str:
    """
    >>> _said(Interval(0.5, 0.25, 0.75))
    '50 % (25 % to 75 %)'
    """
    estimate, low, high = (f"{100.0 * value:.3g} %" for value in rate)
    return f"{estimate} ({low} to {high})"
