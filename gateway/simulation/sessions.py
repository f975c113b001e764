"""Whole sessions as the records that workers and judges would write, in order of writing.

Assignment, sampling and the judge's draw are the gateway's own functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, pi, sin
from random import Random

from gateway.analysis.sampling import Rates
from gateway.analysis.thresholds import Thresholds, freeze
from gateway.domain.assignment import bucket, judged, sampled
from gateway.domain.observation import Assigned, Drawn, Evidence, Observed, Scored
from gateway.domain.policy import Policy
from gateway.simulation.scenario import Behaviour, Scenario

POOL = 20_000
GOLDEN = (5.0**0.5 - 1.0) / 2.0  # its multiples fill [0, 1] evenly: rounding by them keeps a mean
SIGMA = 0.5  # of log-normal times and tokens
INPUT = 800  # tokens; an answer's token costs four times as much
PRICE = 2.5e-6


@dataclass
class Setting:
    """What the controller has published."""

    weight: float
    rates: Rates
    stepped_at: float


@dataclass
class Counts:
    """Of sessions and requests, measured or not."""

    canary_sessions: int = 0
    canary_requests: int = 0
    sessions: int = 0
    judge_calls: int = 0


@lru_cache(maxsize=64)
def scores(mean: float, levels: int) -> tuple[float, ...]:
    """Judge scores with this mean and sd .25. So few draws have a mean that is off by .002, so they are
    centred."""
    rng = Random(f"scores {mean} {levels}")
    total = mean * (1.0 - mean) / 0.0625 - 1.0
    drawn = centred([rng.betavariate(mean * total, (1.0 - mean) * total) for _ in range(POOL)], mean)
    if levels:
        steps = levels - 1
        drawn = [int(score * steps + index * GOLDEN % 1.0) / steps for index, score in enumerate(drawn)]
    return tuple(drawn)


def centred(drawn: Sequence[float], mean: float) -> list[float]:
    """The same numbers from 0 to 1 with this mean: scaled towards the end that is too far away."""
    found = sum(drawn) / len(drawn)
    if found > mean:
        return [value * mean / found for value in drawn]
    return [1.0 - (1.0 - value) * (1.0 - mean) / (1.0 - found) for value in drawn]


@lru_cache(maxsize=1)
def factors() -> tuple[float, ...]:
    """Log-normal with median 1."""
    rng = Random("factors")
    return tuple(exp(rng.gauss(0.0, SIGMA)) for _ in range(POOL))


def known_thresholds(scenario: Scenario, policy: Policy) -> Thresholds:
    """What stable's traffic before the rollout would have told."""
    world = World(scenario, Random(f"before {scenario.name}"), Setting(0.0, Rates(1.0, 1.0, 1.0, 1.0), 0.0))
    firsts = [world.first(scenario.stable, canary=False, at=0.0) for _ in range(2000)]
    relative = policy.tolerance
    return Thresholds(
        total=freeze([first[0] for first in firsts]),
        first_token=freeze([first[0] * first[3] for first in firsts]),
        tokens=freeze([first[1] for first in firsts], relative.get("tokens", 0.0)),
        cost=freeze([first[2] for first in firsts], relative.get("cost", 0.0)),
        judge=1.0 - scenario.stable.score,
        provider_errors=0.001,
    )


class World:
    """Sessions arrive, talk and are judged. `setting` is changed from outside, from then on it counts."""

    def __init__(self, scenario: Scenario, rng: Random, setting: Setting) -> None:
        self.scenario = scenario
        self.setting = setting
        self.counts = Counts()
        self.salt = f"{rng.getrandbits(64):x}"
        self._rng = rng
        self._written: dict[int, list[tuple[float, int, Evidence]]] = {}  # by the second of writing
        self._number = 0

    def seconds(self, limit: float) -> Iterator[tuple[float, list[Evidence]]]:
        """Every second in which something was written, or every fifth: what was written in it."""
        arrival = self._gap(0.0)
        second = 0.0
        while second < limit:
            second += 1.0
            while arrival < second:
                self._session(arrival)
                arrival += self._gap(arrival)
            written = self._written.pop(int(second) - 1, [])
            written.sort()
            records = [record for _, _, record in written]
            if records or second % 5.0 == 0.0:
                yield second, records

    def _gap(self, at: float) -> float:
        scenario = self.scenario
        rate = scenario.per_hour / 3600.0 * (1.0 + scenario.rhythm * sin(2.0 * pi * at / scenario.period))
        return -log(1.0 - self._rng.random()) / rate

    def _write(self, at: float, record: Evidence) -> None:
        self._number += 1
        self._written.setdefault(int(at), []).append((at, self._number, record))

    def _session(self, at: float) -> None:
        scenario, setting, counts = self.scenario, self.setting, self.counts
        session = self._rng.randbytes(16)
        canary = bucket(self.salt, session) < setting.weight * scenario.misassigned
        counts.sessions += 1
        counts.canary_sessions += canary
        rates = setting.rates
        rate = rates.q1 if canary else rates.q0
        measured = rate >= 1.0 or sampled(self.salt, session) < rate
        different = canary and at >= scenario.effect_after
        behaviour = scenario.canary if different else scenario.stable
        if not measured:
            counts.canary_requests += canary  # at least its first
            return
        drawn_for_judge = judged(self.salt, session) < (rates.j1 if canary else rates.j0)
        unit = Drawn(
            session, canary, setting.weight, rates.q1, rates.q0, at, drawn_for_judge, rates.j1, rates.j0
        )
        self._write(at + 0.05, Assigned(unit))
        self._talk(unit, behaviour, at)

    def _talk(self, unit: Drawn, behaviour: Behaviour, at: float) -> None:
        rng, random = self._rng, self._rng.random
        turns = 1
        while random() > 1.0 / behaviour.turns and turns < 60:
            turns += 1
        error_turns, flag_turns = self._events(behaviour, turns)
        started = at
        for turn in range(turns):
            total, tokens, cost, part = self.first(behaviour, canary=unit.canary, at=started)
            outcome = "ok"
            if self._provider_fails(started):
                outcome, total = "provider", 0.5
            elif turn in error_turns:
                outcome = "prompt"
            self.counts.canary_requests += unit.canary
            ok = outcome == "ok"
            ended = started + total + behaviour.delay
            record = Observed(
                unit,
                turn == 0,
                False,
                started,
                outcome,  # type: ignore[arg-type]
                total,
                total * part if ok else None,
                int(tokens) if ok else None,
                cost if ok else None,
                ("refusal",) if turn in flag_turns else (),
            )
            self._write(ended, record)
            if turn == 0 and ok and unit.judged:
                self._judge(unit, behaviour, ended)
            started = ended - behaviour.gap * log(1.0 - rng.random())

    def first(self, behaviour: Behaviour, *, canary: bool, at: float) -> tuple[float, float, float, float]:
        """A request's total, tokens, cost, and when its first token comes as a part of total."""
        random, pool, scenario = self._rng.random, factors(), self.scenario
        pace = pool[int(random() * POOL)]
        tokens = behaviour.tokens * pool[int(random() * POOL)]
        share, factor = behaviour.long
        if share and random() < share:
            tokens *= factor
        total = behaviour.latency * pace
        share, factor = behaviour.slow
        if share and random() < share:
            total *= factor
        if scenario.rhythm:
            total *= 1.0 + 0.5 * scenario.rhythm * sin(2.0 * pi * at / scenario.period)
        if scenario.cold and canary and at < self.setting.stepped_at + scenario.cold:
            total *= scenario.cold_factor
        return total, tokens, PRICE * (INPUT + 4.0 * tokens), 0.1 + 0.2 * random()

    def _events(self, behaviour: Behaviour, turns: int) -> tuple[set[int], set[int]]:
        """Turns with an error, turns with a flag. Without `icc` a session has the given probability of one,
        wherever it comes; with it, each turn errs on its own, given the session's own rate."""
        rng = self._rng
        if behaviour.icc:
            found = []
            for rate in (behaviour.errors, behaviour.safety):
                spread = (1.0 - behaviour.icc) / behaviour.icc
                own = rng.betavariate(rate * spread, (1.0 - rate) * spread)
                found.append({turn for turn in range(turns) if rng.random() < own} if own > 1e-6 else set())
            return found[0], found[1]
        result: list[set[int]] = []
        for rate in (behaviour.errors, behaviour.safety):
            if rng.random() >= rate:
                result.append(set())
            elif behaviour.event_turn is None:
                result.append({int(rng.random() * turns)})
            else:
                result.append({min(behaviour.event_turn, turns - 1)})
        return result[0], result[1]

    def _provider_fails(self, at: float) -> bool:
        outage = self.scenario.outage
        if outage is not None and outage[0] <= at < outage[1]:
            return self._rng.random() < outage[2]
        return self._rng.random() < 0.001

    def _judge(self, unit: Drawn, behaviour: Behaviour, at: float) -> None:
        rng, scenario = self._rng, self.scenario
        self.counts.judge_calls += 1
        judged_at = at + 1.0 - behaviour.score_delay * log(1.0 - rng.random())
        if rng.random() < behaviour.unscored:
            self._write(judged_at, Scored(unit, None, judged_at, "failed"))
            return
        mean = behaviour.score
        if scenario.rhythm:
            mean -= 0.1 * scenario.rhythm * (1.0 + sin(2.0 * pi * at / scenario.period))
        pool = scores(round(mean, 2), scenario.levels)
        self._write(judged_at, Scored(unit, pool[int(rng.random() * POOL)], judged_at))
