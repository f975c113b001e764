"""What became of many runs of a scenario: rates with Wilson intervals, medians with an upper quantile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from gateway.simulation.rollout import Run
from gateway.simulation.scenario import Scenario, Truth
from gateway.stats.intervals import wilson


class Share(msgspec.Struct, frozen=True):
    """`hits` of `runs`, with the 95 % interval of the rate (Wilson)."""

    hits: int
    runs: int
    rate: float
    low: float
    high: float


class Summary(msgspec.Struct, frozen=True):
    """`truth`: what should become of it. `rolled_back`, `promoted`: what did; the rest was still undecided at
    the end. `because`, `held`: runs by what rolled them back, and by what they waited for.

    Pairs are the median and an upper quantile, None without a run: `canary_sessions`, `canary_requests`
    served before a rollback (90 %), `hours` until the decision (80 %), `judge_calls` until then (90 %)."""

    scenario: str
    truth: Truth
    runs: int
    rolled_back: Share
    promoted: Share
    because: dict[str, int]
    held: dict[str, int]
    canary_sessions: tuple[float, float] | None
    canary_requests: tuple[float, float] | None
    hours: tuple[float, float] | None
    judge_calls: tuple[float, float] | None


def summarize(scenario: Scenario, runs: Sequence[Run]) -> Summary:
    """Raises `InvalidValue` without runs."""
    outcomes = Counter(run.outcome for run in runs)
    back = [run for run in runs if run.outcome == "rolled_back"]
    return Summary(
        scenario.name,
        scenario.truth,
        len(runs),
        share(len(back), len(runs)),
        share(outcomes["promoted"], len(runs)),
        because=dict(Counter(run.rule for run in back).most_common()),
        held=dict(Counter(hold for run in runs for hold in run.holds).most_common()),
        canary_sessions=spread([run.canary_sessions for run in back]),
        canary_requests=spread([run.canary_requests for run in back]),
        hours=spread([run.seconds / 3600.0 for run in runs], 0.8),
        judge_calls=spread([run.judge_calls for run in runs]),
    )


def false_rollbacks(summaries: Sequence[Summary]) -> Share | None:
    """Of all runs whose candidate was no worse; None without any. Those that are worse within a tolerance
    count neither here nor there: it is the gate's, and for some metrics any difference is harm."""
    harmless = [each for each in summaries if each.truth in ("same", "better")]
    return _all([(each.rolled_back.hits, each.runs) for each in harmless])


def missed_regressions(summaries: Sequence[Summary]) -> Share | None:
    """Of all runs whose candidate was worse: those that were not rolled back; None without any."""
    harmful = [each for each in summaries if each.truth == "harmful"]
    return _all([(each.runs - each.rolled_back.hits, each.runs) for each in harmful])


def share(hits: int, runs: int) -> Share:
    interval = wilson(hits, runs)
    return Share(hits, runs, *[round(value, 4) for value in interval])


def spread(values: Sequence[float], upper: float = 0.9) -> tuple[float, float] | None:
    """Median and the upper quantile.

    >>> spread([1, 2, 3, 4])
    (2, 3)
    """
    if not values:
        return None
    ordered = sorted(values)
    middle, high = [round(ordered[int(part * (len(ordered) - 1))], 2) for part in (0.5, upper)]
    return middle, high


def _all(pairs: Sequence[tuple[int, int]]) -> Share | None:
    hits, runs = sum([pair[0] for pair in pairs]), sum([pair[1] for pair in pairs])
    return share(hits, runs) if runs else None
