"""A policy against the scenarios, at some traffic: what `prompt-canary simulate` runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec

from gateway.analysis.rules import Rules
from gateway.domain.policy import Policy
from gateway.errors import InvalidValue
from gateway.simulation.rollout import Run, simulate
from gateway.simulation.scenario import BY_NAME, RATE, Scenario, Truth
from gateway.simulation.summary import Share, Summary, false_rollbacks, missed_regressions, summarize

USUAL = (
    "A/A",
    "A/A outage",
    "A/A daily rhythm",
    "A/A heavy sessions, ICC .5",
    "tokens +10 %, intended",
    "judge -.05",
    "judge -.10",
    "safety .5 to 3 %",
    "errors .5 to 5 %",
    "tokens +30 %",
)

DAY = 24.0  # h: the limit of a scenario that has none of its own
ROUNDING = 1e-9


class Trial(msgspec.Struct, frozen=True):
    """`false_rollbacks`: of runs whose candidate is no worse. `missed_regressions`: of runs
    whose candidate is worse, those not rolled back, of which `regressions_promoted` were promoted; the others
    were held or undecided at the end. None: no such scenario was run."""

    policy: str
    sessions_per_hour: float
    false_rollbacks: Share | None
    missed_regressions: Share | None
    regressions_promoted: int
    scenarios: tuple[Summary, ...]


def choose(parts: Sequence[str], policy: Policy, per_hour: float) -> list[Scenario]:
    """Scenarios whose name has one of these parts, or the usual ones; at this traffic and for as long as the
    policy may take. Raises `InvalidValue` for a part that is in no name."""
    names = {name: scenario for name, scenario in BY_NAME.items() if scenario.per_hour == RATE}
    chosen = [name for name in names if any(part in name for part in parts)] if parts else list(USUAL)
    for part in parts:
        if not any(part in name for name in names):
            raise InvalidValue(
                f"no scenario has {part!r} in its name; there is {'; '.join(names)}", param="scenario"
            )
    shadow = 0.0 if policy.shadow is None else policy.shadow.max_bake
    longest = (shadow + policy.max_bake * (1.0 + Rules().extension)) / 3600.0
    return [
        replace(
            names[name],
            per_hour=per_hour,
            hours=min(longest, names[name].hours) if names[name].hours < DAY else longest,
            truth=truth(names[name], policy),
        )
        for name in chosen
    ]


def truth(scenario: Scenario, policy: Policy) -> Truth:
    """What should become of it under this policy: what differs by less than is tolerated is no harm."""
    stable, canary = scenario.stable, scenario.canary
    differences = {
        "judge": stable.score - canary.score,
        "safety": canary.safety - stable.safety,
        "errors": canary.errors - stable.errors,
        "tokens": canary.tokens / stable.tokens - 1.0,
    }
    worse = {name: by for name, by in differences.items() if by > ROUNDING}
    if not worse:
        return scenario.truth
    within = [by < policy.tolerance.get(name, 0.0) - ROUNDING for name, by in worse.items()]
    return "tolerated" if all(within) else "harmful"


def trial(scenario: Scenario, policy: Policy, runs: int) -> Iterator[Run]:
    """Seeds 0, 1, 2, …: the same every time."""
    for seed in range(runs):
        yield simulate(scenario, seed, policy=policy)


def concluded(
    policy: str, per_hour: float, scenarios: Sequence[Scenario], runs: Sequence[Sequence[Run]]
) -> Trial:
    summaries = tuple(summarize(scenario, found) for scenario, found in zip(scenarios, runs, strict=True))
    promoted = sum([each.promoted.hits for each in summaries if each.truth == "harmful"])
    wrong, missed = false_rollbacks(summaries), missed_regressions(summaries)
    return Trial(policy, per_hour, wrong, missed, promoted, summaries)
