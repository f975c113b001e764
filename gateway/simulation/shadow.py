"""The shadow stage of a simulated rollout: first requests of stable, as pairs that a judge makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from random import Random

from gateway.analysis.shadow_reach import PAIRS_PER_HOUR
from gateway.domain.observation import Evidence, Observed, Outcome, Pair
from gateway.simulation.scenario import Behaviour, Scenario
from gateway.stats.paired import PAIRED_SD

GAP = 3600.0 / PAIRS_PER_HOUR  # s between two copies, at least


class Copies:
    """Differences of scores are normal with sd .2 around that of the arms' means. Chance is its own, so that
    sessions are those of a rollout without such a stage."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._rng = Random(f"pairs {scenario.name} {seed}")
        self._next = 0.0

    def pairs(self, records: Sequence[Evidence]) -> list[Pair]:
        """Of the first requests among these."""
        found = []
        for record in records:
            if not isinstance(record, Observed) or record.started_at < self._next:
                continue
            if record.first and record.outcome in ("ok", "prompt"):
                self._next = record.started_at + GAP
                found.append(self._pair(record))
        return found

    def _pair(self, stable: Observed) -> Pair:
        scenario, rng = self._scenario, self._rng
        different = stable.started_at >= scenario.effect_after
        candidate = scenario.canary if different else scenario.stable
        at = stable.started_at + stable.total
        if rng.random() < candidate.unscored:
            return Pair(stable.unit, at, None, "timeout", (stable.outcome, "provider"))
        failed: Outcome = "prompt" if rng.random() < first_rate(candidate, candidate.errors) else "ok"
        flagged = rng.random() < first_rate(candidate, candidate.safety)
        outcomes: tuple[Outcome, Outcome] = stable.outcome, failed
        difference = None
        if outcomes == ("ok", "ok"):
            drawn = rng.gauss(scenario.stable.score - candidate.score, PAIRED_SD)
            difference = max(-1.0, min(1.0, drawn))
        return Pair(stable.unit, at, difference, "", outcomes, (bool(stable.flags), flagged))


def first_rate(behaviour: Behaviour, rate: float) -> float:
    """Of sessions with an event in a share `rate`, those in whose first request it comes: E[1/turns] of
    geometric turns where it may come in any.

    >>> round(first_rate(Behaviour(turns=3.0), 0.005), 5)
    0.00275
    """
    if behaviour.event_turn is not None:
        return rate if behaviour.event_turn == 0 else 0.0
    if behaviour.icc or behaviour.turns <= 1.0:
        return rate
    return rate * log(behaviour.turns) / (behaviour.turns - 1.0)
