"""What a suite came to: cases, how often each passed, and the difference to the live version, paired.

    passed       every case passed in its share of runs, none broke a constraint, and the candidate is not
                 worse than live
    failed       a case did not
    incomplete   a run had no answer or no judgment: no data, so neither of the two

The interval is the normal one of paired differences (Miller 2024, arXiv 2411.00640), from ten cases on;
with fewer nothing is concluded from the comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Literal

import msgspec

from gateway.stats.intervals import Interval

State = Literal["passed", "failed", "incomplete"]
NORMAL = 1.96  # 95 %
FEWEST = 10
NAMED = 5  # failed cases in a summary


class RunResult(msgspec.Struct, frozen=True):
    """`error`: why there is no data; `failures`: what each failed check says; `broken`: one of them is a
    constraint, which no share of good runs makes up for."""

    score: float
    passed: bool
    failures: tuple[str, ...] = ()
    error: str = ""
    broken: bool = False


class CaseResult(msgspec.Struct, frozen=True):
    name: str
    line: int
    needs: float
    runs: tuple[RunResult, ...]

    @property
    def state(self) -> State:
        if any(run.broken for run in self.runs):
            return "failed"
        if any(run.error for run in self.runs):
            return "incomplete"
        return "passed" if sum(run.passed for run in self.runs) >= self.needs * len(self.runs) else "failed"

    @property
    def score(self) -> float:
        return sum(run.score for run in self.runs) / len(self.runs)

    @property
    def why(self) -> str:
        """The first thing that was wrong."""
        errors = [run.error for run in self.runs if run.error]
        failures = [failure for run in self.runs for failure in run.failures]
        return next(iter((*errors, *failures)), "")


class Report(msgspec.Struct, frozen=True):
    """`live`: scores of the live version in the same cases, empty where it was not run."""

    suite: str
    cases: tuple[CaseResult, ...]
    live: tuple[float, ...] = ()

    @property
    def state(self) -> State:
        states = {case.state for case in self.cases}
        if "failed" in states:
            return "failed"
        if "incomplete" in states:
            return "incomplete"
        difference = self.difference
        return "failed" if difference is not None and difference.high < 0.0 else "passed"

    @property
    def score(self) -> float:
        return sum(case.score for case in self.cases) / len(self.cases)

    @property
    def difference(self) -> Interval | None:
        """Of mean scores, candidate less live."""
        if len(self.live) != len(self.cases):
            return None
        return paired([case.score - other for case, other in zip(self.cases, self.live, strict=True)])

    @property
    def summary(self) -> str:
        """In one line, for a gate."""
        bad = [case for case in self.cases if case.state != "passed"]
        text = f"{len(self.cases) - len(bad)} of {len(self.cases)} cases passed, mean score {self.score:.2f}"
        if bad:
            named = "; ".join(f"{case.name} ({case.why})" for case in bad[:NAMED])
            more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
            text += f"; {self.state}: {named}{more}"
        difference = self.difference
        if difference is not None:
            worse = "worse than live: " if difference.high < 0.0 else "difference to live "
            text += f"; {worse}{difference.low:+.2f} to {difference.high:+.2f}"
        return text


def paired(differences: Sequence[float]) -> Interval | None:
    """The 95 % interval of the mean; None for fewer than `FEWEST`.

    >>> paired([0.1, 0.2, 0.15, 0.05, 0.1, 0.2, 0.1, 0.15, 0.1, 0.05]) is not None
    True
    """
    n = len(differences)
    if n < FEWEST:
        return None
    mean = sum(differences) / n
    error = NORMAL * sqrt(sum((each - mean) ** 2 for each in differences) / (n - 1) / n)
    return Interval(mean, mean - error, mean + error)
