"""Evidence as workers write it, without workers: sessions of a rollout in its log."""

from __future__ import annotations

from gateway.domain.observation import Assigned, Batch, Drawn, Evidence, Observed, Outcome, encode_batch
from gateway.domain.policy import Holdback, Policy, Stage
from gateway.storage import keys
from gateway.storage.base import Logs

RULES: dict[str, float] = {
    "watermark": 1.0,
    "judge_limit": 1.0,
    "event_window": 1.0,
    "upstream_limit": 1.0,
    "latency_warmup": 0.0,
    "incident_window": 5.0,
    "incident_requests": 5,
    "incident_longest": 10.0,
}


def quick_policy(*weights: float, watch: float = 0.05, bake: float = 0.0) -> Policy:
    """Only errors count; no time is waited for unless asked."""
    return Policy(
        stages=tuple(Stage(0.0, weight, weight) for weight in weights),
        min_bake=(bake,) * len(weights),
        max_bake=3600.0,
        min_units=5,
        tolerance={"errors": 0.3},
        holdback=Holdback(0.1, watch),
        gates=("errors",),
    )


class Writer:
    """One worker's start. `clock` is what it takes for store time; it may run ahead, as the fold's time is
    the log's."""

    def __init__(self, store: Logs, rollout: str, clock: float, name: str = "w") -> None:
        self.clock = clock
        self._store = store
        self._rollout = rollout
        self._name = name
        self._sequence = 0
        self._sessions = 0

    async def sessions(
        self,
        stable: int,
        canary: int,
        *,
        weight: float = 0.5,
        stable_outcome: Outcome = "ok",
        canary_outcome: Outcome = "ok",
    ) -> None:
        """New sessions of one request each, arms alternating, in one batch."""
        records: list[Evidence] = []
        for number, arm in enumerate(_alternating(stable, canary)):
            self._sessions += 1
            unit = Drawn(
                session=f"{self._name}-{self._sessions}".encode(),
                canary=arm,
                weight=weight,
                q1=1.0,
                q0=1.0,
                pinned_at=self.clock + number * 1e-3,
            )
            outcome = canary_outcome if arm else stable_outcome
            records += [Assigned(unit), Observed(unit, True, False, unit.pinned_at, outcome, 0.5)]
        await self.write(*records)

    async def write(self, *records: Evidence) -> None:
        self._sequence += 1
        batch = Batch(self._name, self._sequence, self.clock, records)
        await self._store.append(keys.evidence(self._rollout), [encode_batch(batch)])

    async def later(self, seconds: float) -> None:
        """Time passes in the log."""
        self.clock += seconds
        await self.write()


def _alternating(stable: int, canary: int) -> list[bool]:
    both = min(stable, canary)
    return [False, True] * both + [False] * (stable - both) + [True] * (canary - both)
