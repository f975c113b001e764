"""What the sessions of a simulated rollout are like, and in what the canary differs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Truth = Literal["same", "harmful", "better", "tolerated"]
RATE = 1000.0  # sessions/h where a scenario is not about traffic


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One arm. Times in s. `score`: the judge's mean, sd .25. `safety`, `errors`: share of sessions with a
    flag, an error; `event_turn`: in which turn it comes (0 the first), None: in any; `icc`: correlation of a
    session's turns, which then err one by one. `latency`: median of a first request's total, log-normal;
    `delay`: so much later every record is written and the next turn begins, while what is measured is the
    same; `slow`: (share, factor) of requests that are slower. `tokens`: median,
    log-normal; `long`: (share, factor). `turns`: mean number, geometric. `score_delay`: mean time of a
    judgment; `unscored`: share that fails."""

    score: float = 0.8
    safety: float = 0.005
    errors: float = 0.005
    event_turn: int | None = None
    icc: float = 0.0
    latency: float = 4.0
    delay: float = 0.0
    slow: tuple[float, float] = (0.0, 1.0)
    tokens: float = 300.0
    long: tuple[float, float] = (0.0, 1.0)
    turns: float = 3.0
    gap: float = 20.0
    score_delay: float = 10.0
    unscored: float = 0.02


@dataclass(frozen=True, slots=True)
class Scenario:
    """`truth`: what should come of it. `per_hour`: sessions of the prompt. `effect_after`: s from which on
    the canary differs. `outage`: (from, to, share) of requests that the provider fails, both arms. `rhythm`:
    how far traffic, scores and latency swing, with a period of `period` s. `misassigned`: the canary's real
    share over its weight. `cold`: s after the start and each step in which the canary is `cold_factor`
    slower. `levels`: of the judge's scale, 0 continuous. `hours`: at most so long. `stable_known`: thresholds
    are known from before."""

    name: str
    truth: Truth = "same"
    policy: str = "standard"
    per_hour: float = RATE
    stable: Behaviour = field(default_factory=Behaviour)
    canary: Behaviour = field(default_factory=Behaviour)
    effect_after: float = 0.0
    outage: tuple[float, float, float] | None = None
    rhythm: float = 0.0
    period: float = 86_400.0
    misassigned: float = 1.0
    cold: float = 0.0
    cold_factor: float = 1.6
    levels: int = 0
    hours: float = 24.0
    judge_all: bool = False
    stable_known: bool = True


def both(scenario: Scenario, **changes: float | int | None) -> Scenario:
    """The same change in both arms."""
    return replace(
        scenario,
        stable=replace(scenario.stable, **changes),  # type: ignore[arg-type]
        canary=replace(scenario.canary, **changes),  # type: ignore[arg-type]
    )


def canary(name: str, truth: Truth = "harmful", **changes: object) -> Scenario:
    """An A/A but for these changes of the canary."""
    return Scenario(name, truth, canary=replace(Behaviour(), **changes))  # type: ignore[arg-type]


def timings() -> list[Scenario]:
    """A/A whose arms differ in time alone, at four rates. A run at a high rate stops when its first hour has
    shown what there is to see."""
    kinds = {
        "turns 5 s slower": (Behaviour(), Behaviour(delay=5.0)),
        "turns 15 s slower": (Behaviour(), Behaviour(delay=15.0)),
        "twice as long": (Behaviour(), Behaviour(turns=6.0)),
        "errors at turn 1 and 3": (
            Behaviour(turns=4.0, gap=60.0, event_turn=0),
            Behaviour(turns=4.0, gap=60.0, event_turn=2),
        ),
        "errors at turn 3 and 1": (
            Behaviour(turns=4.0, gap=60.0, event_turn=2),
            Behaviour(turns=4.0, gap=60.0, event_turn=0),
        ),
    }
    scenarios = []
    for rate, hours in ((2.0, 3.0), (20.0, 1.0), (100.0, 0.3), (500.0, 0.25)):
        for kind, (stable, changed) in kinds.items():
            scenarios.append(
                Scenario(
                    f"A/A {kind}, {rate:.0f}/s",
                    per_hour=rate * 3600.0,
                    stable=stable,
                    canary=changed,
                    hours=hours,
                )
            )
    return scenarios


AA = Scenario("A/A")
SCENARIOS: tuple[Scenario, ...] = (
    AA,
    canary("judge -.02", "tolerated", score=0.78),
    canary("judge -.05", score=0.75),
    canary("judge -.10", score=0.70),
    canary("judge -.20", score=0.60),
    canary("safety .5 to 3 %", safety=0.03),
    replace(both(canary("safety 1 to 5 %"), safety=0.01), canary=Behaviour(safety=0.05)),
    canary("errors .5 to 5 %", errors=0.05),
    canary("only the p99", "harmful", slow=(0.02, 2.5)),
    canary("errors at their tolerance", errors=0.025),
    canary("safety at its tolerance", safety=0.025),
    canary("cost at its tolerance", tokens=385.0),
    canary("latency at its tolerance", latency=4.55),
    canary("tokens +30 %", tokens=390.0),
    canary("tokens, 5 % × 5", long=(0.05, 5.0)),
    canary("tokens +10 %, intended", "tolerated", tokens=330.0),
    replace(AA, name="A/A outage", outage=(2400.0, 3000.0, 0.6)),
    replace(AA, name="A/A blackout", outage=(2400.0, 6000.0, 1.0)),
    replace(both(AA, score_delay=60.0), name="A/A late scores"),
    canary("A/A scores late in the canary", "same", score_delay=60.0),
    replace(canary("A/A 30 % unscored in the canary", "same", unscored=0.30), hours=5.0),
    replace(AA, name="A/A low traffic", per_hour=100.0, judge_all=True),
    replace(canary("judge -.10, low traffic", score=0.70), per_hour=100.0, judge_all=True),
    replace(both(AA, icc=0.5, turns=8.0), name="A/A heavy sessions, ICC .5"),
    replace(both(AA, icc=0.8, turns=8.0), name="A/A heavy sessions, ICC .8"),
    replace(canary("judge -.10 after 40 min", score=0.70), effect_after=2400.0),
    replace(AA, name="A/A daily rhythm", rhythm=0.5, period=7200.0),
    replace(AA, name="A/A SRM .10 to .13", misassigned=1.3, hours=8.0),
    replace(canary("errors .5 to 5 %, SRM .10 to .13", errors=0.05), misassigned=1.3, hours=8.0),
    canary("judge +.05", "better", score=0.85),
    replace(AA, name="A/A five-level scale", levels=5),
    replace(canary("judge -.10, five-level scale", score=0.70), levels=5),
    replace(AA, name="A/A cold cache", cold=240.0),
    *timings(),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
