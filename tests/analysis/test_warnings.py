"""Ways in which evidence goes wrong while the formulas are right, and that the fold has none of them.

Where it is cheap the mistake is made beside it, to show that the test can see it."""

from __future__ import annotations

from heapq import merge
from math import log
from random import Random

import pytest

from gateway.analysis.evidence import Evidence
from gateway.domain.observation import Assigned, Drawn
from gateway.domain.observation import Evidence as Record
from gateway.stats.eprocess import Harm, measured_share
from gateway.stats.srm import HOLD_AT, SampleRatio
from tests.support.fold import Log, ended, evidence

Timed = tuple[float, int, Record]


def folded(records: list[Timed], until: float) -> Evidence:
    """Each second's records as one batch."""
    state = evidence()
    writer = Log(state)
    at, index = 0.0, 0
    while at < until:
        at += 1.0
        part = []
        while index < len(records) and records[index][0] < at:
            part.append(records[index][2])
            index += 1
        if part or at % 5.0 == 0.0:
            writer.write(at, *part)
    return state


def drawn(number: int, at: float, canary: bool, weight: float) -> Drawn:
    return Drawn(number.to_bytes(16, "big"), canary, weight, 1.0, 1.0, at)


def sessions(rng: Random, rate: float, seconds: float, weight: float) -> list[Drawn]:
    found, at = [], 0.0
    while (at := at + rng.expovariate(rate)) < seconds:
        found.append(drawn(len(found), at, rng.random() < weight, weight))
    return found


@pytest.mark.parametrize("slower", [60.0, 50.0])
def test_a_slow_canary_is_no_sample_ratio_mismatch(slower: float) -> None:
    """Counted by arrival, the canary's sessions are missing as long as it is slower."""
    rng = Random(1)
    records: list[Timed] = []
    arrivals = []
    for number, unit in enumerate(sessions(rng, 5.0, 400.0, 0.5)):
        total = rng.expovariate(1.0) + (slower if unit.canary else 0.0)
        records.append((unit.pinned_at, number, Assigned(unit)))
        records.append((unit.pinned_at + total, number, ended(unit, total=total)))
        arrivals.append((unit.pinned_at + total, unit.canary))
    by_arrival, worst = SampleRatio.of(), 0.0
    for _, canary in sorted(arrivals):
        by_arrival.update(canary, 0.5)
        worst = max(worst, by_arrival.get())
    assert worst > HOLD_AT
    state = folded(sorted(records, key=lambda record: record[:2]), 500.0)
    assert state.state.assigned.get() < HOLD_AT
    if slower < 60.0:  # later ones come after their watermark, when latency has long been found
        assert state.state.completed.get() < HOLD_AT


def test_the_share_knows_the_sampling() -> None:
    """A tenth of stable is measured and the whole canary, at weight .1: with the weight alone for a share the
    sample ratio would fire at once."""
    rng, state, forgetful = Random(2), evidence(), SampleRatio.of()
    writer = Log(state)
    needed = 0
    for number in range(2000):
        canary = rng.random() < measured_share(0.1, 1.0, 0.1)
        unit = Drawn(number.to_bytes(16, "big"), canary, 0.1, 1.0, 0.1, number / 5.0)
        writer.write(number / 5.0, Assigned(unit), ended(unit, total=0.1))
        forgetful.update(canary, 0.1)
        if not needed and forgetful.get() >= HOLD_AT:
            needed = number
    assert 0 < needed < 100
    writer.write(1000.0)
    assert state.state.assigned.units == 2000
    assert state.state.assigned.get() < HOLD_AT


@pytest.mark.parametrize("seed", range(6))
def test_ones_at_once_and_zeros_at_the_end_are_not_how_events_enter(seed: int) -> None:
    """A canary whose turns take 5 s longer, 1 % of sessions with an error in both arms. Where an error enters
    at once and its absence when the session ends, the canary has errors and hardly any sessions."""
    rng = Random(seed)
    records: list[Timed] = []
    naive_order = []
    for number, unit in enumerate(sessions(rng, 20.0, 600.0, 0.5)):
        fails = rng.random() < 0.01
        slow = 5.0 if unit.canary else 0.0
        started = unit.pinned_at
        records.append((started, number, Assigned(unit)))
        for turn in range(6):
            total = slow + rng.expovariate(1.0)
            outcome = "prompt" if fails and turn == 0 else "ok"
            records.append(
                (started + total, number, ended(unit, total=total, outcome=outcome, turn=turn, at=started))
            )
            started += total
        naive_order.append((unit.pinned_at + slow if fails else started, unit.canary, float(fails)))
    naive, worst, mean = Harm.of(0.0), 0.0, 0.01
    for _, canary, badness in sorted(naive_order):
        naive.update(canary, badness, 0.5, mean)
        mean += 0.007 * (badness - mean)
        worst = max(worst, naive.get())
    state = folded(sorted(records, key=lambda record: record[:2]), 1500.0)
    assert not state.alarm or "latency" in state.state.crossed
    assert "errors" not in state.state.crossed
    assert state.state.comparisons["errors"].harm.get() < log(100.0)


@pytest.mark.parametrize("canary_first", [True, False])
def test_events_at_the_first_turn_in_one_arm_and_later_in_the_other(canary_first: bool) -> None:
    """100 sessions/s, .5 % of them with an error in either arm, in one arm at once and in the other four
    minutes later. What is in flight would roll back if every event entered when it comes."""
    crossed, naive = [], []
    for seed in range(3):
        rng = Random(f"{seed} {canary_first}")
        opened: list[Timed] = []
        events: list[Timed] = []
        for number, unit in enumerate(sessions(rng, 100.0, 420.0, 0.1)):
            opened.append((unit.pinned_at, number, Assigned(unit)))
            if rng.random() < 0.005:
                at = unit.pinned_at + (1.0 if unit.canary == canary_first else 240.0)
                events.append((at, number, ended(unit, turn=1, at=at, outcome="prompt")))
        plain, worst = Harm.of(0.0, later=2), 0.0
        for _, _, record in sorted(events, key=lambda event: event[:2]):
            plain.update(record.unit.canary, 1.0, 0.1, 0.0)
            worst = max(worst, plain.get())
        naive.append(worst >= log(100.0))
        records = list(
            merge(opened, sorted(events, key=lambda event: event[:2]), key=lambda record: record[:2])
        )
        crossed.append("errors" in folded(records, 1300.0).state.crossed)
    assert not any(crossed)
    assert not canary_first or sum(naive) >= 2
