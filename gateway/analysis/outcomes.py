"""Named outcomes of feedback as metrics: what came of a session, by a policy's goals.

A session's badness is 1 − the score that was told of one of its answers while it was open, the last word
counting; without a word it is what the goal's `absent` says. Leaving silent sessions out would choose by who
talks, which the arm may change. It enters when the session is final, so nothing depends on when it was told.
An outcome holds and gates, it never rolls back: the error rates of a rollback are spent on the families.
"""

from __future__ import annotations

from math import exp

from gateway.analysis.comparison import SMALLEST_TOLERANCE, Comparison
from gateway.analysis.metrics import Metric
from gateway.analysis.units import Unit
from gateway.domain.policy import Goal, Policy
from gateway.stats.eprocess import Harm, NonInferiority
from gateway.stats.intervals import Effect
from gateway.stats.prediction import RunningMean
from gateway.stats.wealth import evidence_for

PREFIX = 8  # bytes of a session that a request id carries
BEFORE = 0.5  # badness, while nothing is known
FAMILY = "outcome"


def opened(policy: Policy) -> dict[str, Comparison]:
    """By outcome, at a rollout's start."""
    return {name: _comparison(name, goal) for name, goal in policy.outcomes.items()}


def _comparison(name: str, goal: Goal) -> Comparison:
    return Comparison(
        metric_of(name, goal).name,
        0.0,
        goal.tolerance,
        Harm.of(0.0),
        RunningMean(BEFORE),
        Effect.of(BEFORE * BEFORE, max(goal.tolerance, SMALLEST_TOLERANCE)),
        NonInferiority.of(goal.tolerance) if goal.gate else None,
    )


def metric_of(name: str, goal: Goal) -> Metric:
    return Metric(f"{FAMILY}:{name}", FAMILY, "event", name, goal.gate, role=goal.role)


def final(
    comparisons: dict[str, Comparison], policy: Policy, unit: Unit, told: dict[str, float], clock: float
) -> None:
    """A session is final; `told`: scores by outcome."""
    if not unit.reached or not 0.0 < unit.share < 1.0:
        return
    needs = evidence_for(policy.alpha_promote)
    for name, test in comparisons.items():
        silent = 1.0 if policy.outcomes[name].absent == "bad" else 0.0
        badness = 1.0 - told[name] if name in told else silent
        predicted = test.mean.get()
        test.harm.update(unit.canary, badness, unit.share, predicted)
        if test.gate is not None:
            test.gate.update(unit.canary, badness, unit.share, predicted)
        test.effect.update(unit.canary, badness, unit.share, predicted)
        test.mean.update(badness)
        if test.passed_at is None and test.passes(needs):
            test.passed_at = clock


def harms(comparisons: dict[str, Comparison], policy: Policy) -> list[tuple[str, float]]:
    """E of those that hold."""
    return [
        (test.name, exp(min(test.harm.get(), 690.0)))
        for name, test in comparisons.items()
        if policy.outcomes[name].role == "signal"
    ]


def waiting(comparisons: dict[str, Comparison]) -> list[str]:
    """Gates that have not passed."""
    return [test.name for test in comparisons.values() if test.gate is not None and test.passed_at is None]
