"""The shadow stage: pairs in, what they show out. Nobody is served by the candidate while it lasts.

A pair is one stable request and its replay on the candidate (docs/shadow.md). It brings a difference of
badness to each metric that a replay can show:

    judge     stable's score − the candidate's, each judged beside the other, in both orders
    safety    1, 0 or −1: whose answer has a flag
    errors    1, 0 or −1: which request failed by the prompt's fault

Pairs enter in order of pin, `judge_limit` s after it, whatever it took to make them: a candidate that is slow
where it is bad must not be seen by its fast answers first. A pair that was not judged by then is missing, as
is one whose replay the provider failed; a pair in which a request failed has nothing to be judged and is
complete. Missing pairs hold the stage (`completeness`), they are neither good nor bad.

Harm has error rates of its own (`Shadow.alpha`); a gate is non-inferiority at the policy's `alpha_promote`,
and what was shown here needs no showing by sessions again.
"""

from __future__ import annotations

from math import exp, inf
from typing import Literal

import msgspec

from gateway.analysis.rules import Rules
from gateway.domain.observation import Outcome, Pair
from gateway.domain.policy import SHADOWED, Policy
from gateway.stats.intervals import watched
from gateway.stats.paired import Paired
from gateway.stats.wealth import evidence_for

TOP = 690.0  # exp of more does not fit a double
LATE, PROVIDER = "late", "provider"


class ShadowMetric(msgspec.Struct, frozen=True):
    """`difference`: candidate − stable in badness with its 95 % interval, None before there is one. `harm_e`
    needs `harm_needs` (None: it can end nothing), `gate_e` needs `gate_needs` (None: no gate)."""

    name: str
    pairs: int
    difference: float | None
    low: float | None
    high: float | None
    tolerance: float
    harm_e: float
    harm_needs: float | None
    crossed_at: float | None
    gate_e: float
    gate_needs: float | None
    gate_passed_at: float | None


class ShadowView(msgspec.Struct, frozen=True):
    """`pairs`: so far, of which `complete` tell all that they could; `missing`: of the others, by cause.
    `waiting`: pairs whose time has not come. `pairs_need`: at least."""

    pairs: int
    complete: int
    missing: dict[str, int]
    waiting: int
    pairs_need: int
    metrics: tuple[ShadowMetric, ...]


class ShadowState(msgspec.Struct):
    """The fold. `folded_to`: pins before this second have entered. `crossed`, `passed`: when, by metric.
    `exposed_at`: the first pin that was drawn at a weight, with which the stage is over."""

    folded_to: int
    alpha: dict[str, float]
    alpha_promote: float
    gates: tuple[str, ...]
    min_pairs: int
    tests: dict[str, Paired]
    waiting: list[Pair] = []
    pairs: int = 0
    complete: int = 0
    missing: dict[str, int] = {}
    crossed: dict[str, float] = {}
    passed: dict[str, float] = {}
    exposed_at: float | None = None

    @classmethod
    def start(cls, policy: Policy, started_at: float) -> ShadowState | None:
        """None for a policy without such a stage."""
        shadow = policy.shadow
        if shadow is None:
            return None
        allowed = {name: policy.tolerance[name] for name in SHADOWED if name in policy.tolerance}
        margins = policy.harm_margin
        tests = {
            name: Paired.of(margins.get(name, 0.0) * tolerance, tolerance)
            for name, tolerance in allowed.items()
        }
        gates = tuple(name for name in policy.gates if name in tests)
        first = int(started_at) - 1
        return cls(first, dict(shadow.alpha), policy.alpha_promote, gates, shadow.min_pairs, tests)

    def add(self, pair: Pair) -> None:
        if int(pair.unit.pinned_at) < self.folded_to:
            self._miss(LATE)
        else:
            self.waiting.append(pair)

    def advance(self, clock: float, rules: Rules) -> None:
        """What is due at this time of the log enters, in order of pin."""
        upto = int(clock - rules.judge_limit)
        if upto <= self.folded_to:
            return
        self.folded_to = upto
        due = [pair for pair in self.waiting if int(pair.unit.pinned_at) < upto]
        if not due:
            return
        self.waiting = [pair for pair in self.waiting if int(pair.unit.pinned_at) >= upto]
        for pair in sorted(due, key=_order):
            self._enter(pair)
            self._look(clock)

    def _enter(self, pair: Pair) -> None:
        stable, candidate = pair.outcomes
        if candidate not in ("ok", "prompt") or stable not in ("ok", "prompt"):
            self._miss(pair.cause or PROVIDER)
            return
        tests = self.tests
        if "errors" in tests:
            tests["errors"].update(_failed(candidate) - _failed(stable))
        if "safety" in tests:
            tests["safety"].update(float(pair.flagged[1]) - float(pair.flagged[0]))
        judged = pair.difference is not None and -1.0 <= pair.difference <= 1.0
        if "judge" in tests and pair.difference is not None and judged:
            tests["judge"].update(pair.difference)
        if "judge" in tests and not judged and stable == candidate == "ok":
            self._miss(pair.cause or "unjudged")
            return
        self.pairs += 1
        self.complete += 1

    def _miss(self, cause: str) -> None:
        self.pairs += 1
        self.missing[cause] = self.missing.get(cause, 0) + 1

    def _look(self, clock: float) -> None:
        """What was reached once counts for ever."""
        for name, test in self.tests.items():
            bar = self._harm_bar(name)
            if name not in self.crossed and max(test.harm.sums) >= bar and test.harm.get() >= bar:
                self.crossed[name] = clock
            needs = evidence_for(self.alpha_promote)
            if name in self.gates and name not in self.passed and test.gate.get() >= needs:
                self.passed[name] = clock

    def _harm_bar(self, name: str) -> float:
        return evidence_for(self.alpha[name]) if name in self.alpha else inf

    def view(self) -> ShadowView:
        metrics = tuple(self._metric(name, test) for name, test in self.tests.items())
        missing = dict(sorted(self.missing.items()))
        return ShadowView(self.pairs, self.complete, missing, len(self.waiting), self.min_pairs, metrics)

    def _metric(self, name: str, test: Paired) -> ShadowMetric:
        interval = test.get()
        return ShadowMetric(
            name=name,
            pairs=test.pairs,
            difference=None if interval is None else interval.estimate,
            low=None if interval is None else interval.low,
            high=None if interval is None else interval.high,
            tolerance=test.tolerance,
            harm_e=exp(min(test.harm.get(), TOP)),
            harm_needs=1.0 / self.alpha[name] if name in self.alpha else None,
            crossed_at=self.crossed.get(name),
            gate_e=exp(min(test.gate.get(), TOP)),
            gate_needs=1.0 / self.alpha_promote if name in self.gates else None,
            gate_passed_at=self.passed.get(name),
        )

    # --- what decide asks

    def harm(self) -> tuple[str, str] | None:
        """Rule and reason, where harm was found."""
        if not self.crossed:
            return None
        name = min(self.crossed, key=lambda each: (self.crossed[each], each))
        alpha, test = self.alpha[name], self.tests[name]
        return (
            f"shadow:{name}",
            f"{name} is worse by {test.total / test.pairs:.3f} over {test.pairs} pairs of the shadow stage: "
            f"the evidence of harm reached E = {1.0 / alpha:.0f}; by chance that happens in at most "
            f"{alpha:.2%} of harmless candidates",
        )

    def lacks(self, policy: Policy, rules: Rules) -> tuple[str, str, Literal["completeness"] | None] | None:
        """Rule, reason and a hold (None where waiting is enough) for the first that is missing to go on."""
        if self.pairs < self.min_pairs:
            return "shadow:pairs", f"shadow: {self.pairs} pairs of {self.min_pairs}", None
        if self.complete < rules.completeness * self.pairs:
            causes = ", ".join(f"{cause} {count}" for cause, count in sorted(self.missing.items()))
            told = f"shadow: {self.complete} of {self.pairs} pairs tell all that they should ({causes})"
            if watched(self.complete, self.pairs, rules.completeness_alpha).high < rules.completeness:
                return "shadow:completeness", told, "completeness"
            return "shadow:completeness", f"{told}; these are too few to tell", None
        high = [(exp(min(test.harm.get(), TOP)), name) for name, test in self.tests.items()]
        e, name = max(high)
        if e >= policy.max_harm_e:
            return (
                "shadow:harm_e",
                f"shadow: {name} shows some harm: E = {e:.1f}; to go on it must be below "
                f"{policy.max_harm_e:g}",
                None,
            )
        if waiting := [name for name in self.gates if name not in self.passed]:
            return (
                "shadow:gates",
                f"shadow: not shown yet: no worse than tolerated in {', '.join(waiting)}",
                None,
            )
        return None


def _order(pair: Pair) -> tuple[float, bytes]:
    return pair.unit.pinned_at, pair.unit.session


def _failed(outcome: Outcome) -> float:
    return 1.0 if outcome == "prompt" else 0.0
