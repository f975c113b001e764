"""The table of metrics, thresholds and tolerances."""

from __future__ import annotations

import math
from random import Random

import msgspec
import pytest

from gateway.analysis.metrics import BY_NAME, METRICS, expected, harm_margin, threshold, tolerance
from gateway.analysis.rules import Rules
from gateway.analysis.sampling import rates
from gateway.analysis.thresholds import freeze
from gateway.domain.policy import FAMILIES, GATES, POLICIES
from gateway.errors import InvalidValue
from gateway.stats.eprocess import measured_share

STANDARD = POLICIES["standard"]


def answers(factor: float = 1.0, seed: int = 1, size: int = 20_000) -> list[float]:
    rng = Random(seed)
    return [factor * 300.0 * math.exp(rng.gauss(0.0, 0.5)) for _ in range(size)]


def test_the_table_covers_families_and_gates() -> None:
    assert len(METRICS) == 13
    assert {metric.family for metric in METRICS} == set(FAMILIES)
    assert {metric.name for metric in METRICS if metric.gate} == set(GATES)


def test_tolerances_are_in_badness() -> None:
    frozen = freeze(answers(), 0.2)
    assert tolerance(BY_NAME["judge"], STANDARD, None) == 0.05
    assert tolerance(BY_NAME["latency_p90"], STANDARD, frozen) == 0.07
    assert tolerance(BY_NAME["latency_p99"], STANDARD, frozen) == pytest.approx(0.07 / 3)
    assert tolerance(BY_NAME["tokens"], STANDARD, frozen) == pytest.approx(0.2 * frozen.mean)
    assert harm_margin(BY_NAME["cost"], STANDARD, frozen) == pytest.approx(0.5 * 0.15 * frozen.mean)
    assert harm_margin(BY_NAME["errors"], STANDARD, None) == 0.0


def test_mean_and_tail_allow_the_same_change() -> None:
    """Every answer 10 % longer is half the tolerance: the margin of both."""
    frozen = freeze(answers(), 0.2)
    longer = answers(1.1)
    above, amount = BY_NAME["tokens_above_p95"], BY_NAME["tokens"]
    share = sum(value > threshold(above, frozen) for value in longer) / len(longer) - 0.05
    mean = sum(min(value / frozen.cap, 1.0) for value in longer) / len(longer) - frozen.mean
    assert share < 1.05 * harm_margin(above, STANDARD, frozen)
    assert mean < 1.05 * harm_margin(amount, STANDARD, frozen)
    assert expected(above, frozen) == pytest.approx(0.05)
    assert expected(amount, frozen) == frozen.mean


@pytest.mark.parametrize("values", [[], [-1.0], [math.inf], [1.0, math.inf]])
def test_thresholds_need_amounts(values: list[float]) -> None:
    with pytest.raises(InvalidValue):
        freeze(values)


@pytest.mark.parametrize(
    "change",
    [
        {"watermark": -1.0},
        {"judge_limit": 1000.0},
        {"freeze_after": 0},
        {"hard_stop": 0},
        {"watermark": math.nan},
    ],
)
def test_limits_that_cannot_hold_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(InvalidValue):
        msgspec.structs.replace(Rules(), **change)


@pytest.mark.parametrize("weight", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("sessions", [1.0, 600.0, 5000.0])
def test_a_cap_keeps_nine_stable_for_each_canary_where_there_are_so_many(
    weight: float, sessions: float
) -> None:
    found = rates(STANDARD, weight, sessions, 500.0, first_stage=True)
    measured = sessions * (weight * found.q1 + (1.0 - weight) * found.q0)
    assert measured <= 500.0 + 1e-6
    assert measured == pytest.approx(min(sessions, 500.0))
    share = measured_share(weight, found.q1, found.q0)
    assert (1.0 - share) / share >= min(9.0, (1.0 - weight) / weight) - 1e-6
    judged = measured_share(weight, found.q1 * found.j1, found.q0 * found.j0)
    assert (1.0 - judged) / judged == pytest.approx(min(3.0, (1.0 - share) / share))


def test_no_sessions_are_measured_whole() -> None:
    assert rates(STANDARD, 0.0, 1000.0, 500.0, first_stage=True).q0 == 0.5
    assert rates(STANDARD, 1.0, 0.0, 500.0, first_stage=True) == (1.0, 1.0, 1.0, 1.0)
    with pytest.raises(InvalidValue):
        rates(STANDARD, 1.5, 1.0, 1.0, first_stage=True)
