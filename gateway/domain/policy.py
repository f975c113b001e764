"""Policies: what a rollout must show, for how long, and at which error rates.

    careful · standard · fast      the named ones
    {"extends": "standard", ...}   a named one with some fields changed, as it stands in YAML

Durations are numbers of seconds or `30m`, `4h`; tolerances are shares (`.05`) or per cent (`15%`). Those of
tokens and cost are relative to stable's mean, all others are differences of badness. The named policies'
numbers were found by simulation. `ALPHA_BUDGET` bounds what all families may spend together (union bound).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gateway.domain.names import NAME
from gateway.errors import InvalidValue

FAMILIES = ("safety", "errors", "judge", "latency", "tokens", "cost")
TOLERANCES = ("judge", "safety", "errors", "p50", "p90", "tokens", "cost")
GATES = ("judge", "safety", "errors", "latency_p50", "latency_p90", "cost")
SHADOWED = ("judge", "safety", "errors")  # what a replay of a stable request can show
ALPHA_BUDGET = 0.05
MOST_OUTCOMES = 8
MOST_TURN = 100
WATCH = "watch"  # the stage after all planned ones
MOST_APPROVALS = 20

_ALPHAS = dict(zip(FAMILIES, (0.015, 0.01, 0.01, 0.01, 0.0025, 0.0025), strict=True))
_SHADOW_ALPHAS = {"judge": 0.01, "safety": 0.005, "errors": 0.005}
_MARGINS = dict(zip(FAMILIES, (0.0, 0.0, 0.0, 0.5, 0.5, 0.5), strict=True))

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_PER_CENT = re.compile(r"(\d+(?:\.\d+)?)%")


class Stage(msgspec.Struct, frozen=True):
    """A weight, or the weight that brings `canary_per_hour` sessions, between `min` and `max`."""

    canary_per_hour: float
    min: float
    max: float

    def __post_init__(self) -> None:
        if not (self.canary_per_hour >= 0.0 and 0.0 < self.min <= self.max <= 1.0):
            raise InvalidValue("a stage needs 0 < min <= max <= 1 and canary_per_hour >= 0", param="stages")

    def weight(self, sessions_per_hour: float) -> float:
        """The weight at this traffic; without any, the largest allowed.

        >>> Stage(100.0, 0.05, 0.5).weight(1000.0)
        0.1
        """
        if sessions_per_hour <= 0.0:
            return self.max
        return min(max(self.canary_per_hour / sessions_per_hour, self.min), self.max)


class Holdback(msgspec.Struct, frozen=True):
    """`share` of the sessions stays on the old version for `watch` s, so that there is a control left."""

    share: float
    watch: float

    def __post_init__(self) -> None:
        if not (0.0 < self.share < 1.0 and self.watch > 0.0):
            raise InvalidValue("a holdback has a share between 0 and 1, a watch above 0", param="holdback")


class Shadow(msgspec.Struct, frozen=True):
    """A stage before any traffic: the candidate answers copies of stable requests, which nobody is shown
    (docs/shadow.md). `alpha`: its own error rates, beside those of `alpha_rollback`. At least `min_pairs`;
    past `max_bake` s without a decision it holds."""

    min_pairs: int = 50
    max_bake: float = 604_800.0
    alpha: dict[str, float] = msgspec.field(default_factory=lambda: dict(_SHADOW_ALPHAS))

    def __post_init__(self) -> None:
        _known("shadow.alpha", self.alpha, SHADOWED)
        spent = sum(self.alpha.values())
        if not all(0.0 < rate < 1.0 for rate in self.alpha.values()) or spent > ALPHA_BUDGET + 1e-12:
            raise InvalidValue(
                f"shadow.alpha has error rates above 0, at most {ALPHA_BUDGET:g} together, not {spent:g}",
                param="shadow",
            )
        if self.min_pairs < 1 or not self.max_bake > 0.0:
            raise InvalidValue("a shadow stage has min_pairs and a max_bake above 0", param="shadow")


class Goal(msgspec.Struct, frozen=True):
    """A named outcome of feedback as a metric: `tolerance` in badness, `absent` what a session is of which
    nothing was told, `role` whether it holds (signal) or is shown (observe), `gate` whether it must pass."""

    tolerance: float
    absent: Literal["bad", "good"] = "bad"
    role: Literal["signal", "observe"] = "signal"
    gate: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.tolerance < 1.0:
            raise InvalidValue("a goal's tolerance lies between 0 and 1", param="outcomes")


class Policy(msgspec.Struct, frozen=True):
    """`min_bake`: s for each stage; `max_bake`: s in all. `harm_margin` multiplies the tolerance.

    Stored policies may have fields that a newer gateway of the fleet wrote; those that people write may not
    (`read_policy`)."""

    stages: tuple[Stage, ...]
    min_bake: tuple[float, ...]
    max_bake: float
    min_units: int
    tolerance: dict[str, float]
    holdback: Holdback
    alpha_rollback: dict[str, float] = msgspec.field(default_factory=lambda: dict(_ALPHAS))
    alpha_promote: float = 0.05
    harm_margin: dict[str, float] = msgspec.field(default_factory=lambda: dict(_MARGINS))
    max_harm_e: float = 3.0
    gates: tuple[str, ...] = GATES
    stable_per_canary: float = 9.0
    judged_first: float = 3.0  # judged stable sessions for each judged canary one, in the first stage
    judged_later: float = 1.0
    judged_turn: int = 1  # of a judged session the answer to its user's so many-th message
    approvals: dict[str, int] = {}  # by stage (2, 3, …, watch): people who must approve before it
    shadow: Shadow | None = None

    outcomes: dict[str, Goal] = {}  # named outcomes of feedback that count, at most MOST_OUTCOMES

    def __post_init__(self) -> None:
        if len(self.outcomes) > MOST_OUTCOMES or any(not NAME.match(name) for name in self.outcomes):
            raise InvalidValue(
                f"outcomes are at most {MOST_OUTCOMES}, by the name that feedback gives them",
                param="outcomes",
            )
        _known("alpha_rollback", self.alpha_rollback, FAMILIES)
        _known("harm_margin", self.harm_margin, FAMILIES)
        _known("tolerance", self.tolerance, TOLERANCES)
        _known("gates", self.gates, GATES)
        self._check_numbers()
        self._check_stages()
        self._check_approvals()
        if self.shadow is not None and not set(self.gates) & set(SHADOWED):
            raise InvalidValue(
                f"a shadow stage decides gates among {', '.join(SHADOWED)}; the policy has none of them",
                param="shadow",
            )
        if missing := [gate for gate in self.gates if gate.removeprefix("latency_") not in self.tolerance]:
            raise InvalidValue(f"the gate {missing[0]} has no tolerance", param="tolerance")

    def _check_numbers(self) -> None:
        spent = sum(self.alpha_rollback.values())
        if spent > ALPHA_BUDGET + 1e-12:
            raise InvalidValue(
                f"alpha_rollback spends {spent:g}; at most {ALPHA_BUDGET:g}", param="alpha_rollback"
            )
        rates = [*self.alpha_rollback.values(), self.alpha_promote, *self.tolerance.values()]
        if not all(0.0 < rate < 1.0 for rate in rates):
            raise InvalidValue("error rates and tolerances lie between 0 and 1", param="policy")
        if not all(0.0 <= margin < 1.0 for margin in self.harm_margin.values()):
            raise InvalidValue(
                "a harm margin is a share of the tolerance, from 0 to below 1", param="harm_margin"
            )
        if not 1 <= self.judged_turn <= MOST_TURN:
            raise InvalidValue(f"judged_turn is a number from 1 to {MOST_TURN}", param="judged_turn")
        if self.min_units < 1 or min(self.stable_per_canary, self.judged_first, self.judged_later) <= 0.0:
            raise InvalidValue("min_units and the ratios of stable to canary are above 0", param="policy")

    def _check_approvals(self) -> None:
        first = 2 if self.shadow is None else 1
        stages = (*map(str, range(first, len(self.stages) + 1)), WATCH)
        _known("approvals", self.approvals, stages)
        if not all(1 <= needs <= MOST_APPROVALS for needs in self.approvals.values()):
            raise InvalidValue(
                f"a stage is approved by 1 to {MOST_APPROVALS} people; leave it out for none",
                param="approvals",
            )

    def _check_stages(self) -> None:
        if not self.stages or len(self.stages) != len(self.min_bake):
            raise InvalidValue("a policy needs stages, and a min_bake for each", param="min_bake")
        if not all(
            before.min < after.min for before, after in zip(self.stages, self.stages[1:], strict=False)
        ):
            raise InvalidValue("each stage's weight must be above the one before", param="stages")
        if not (min(self.min_bake) >= 0.0 and sum(self.min_bake) < self.max_bake):
            raise InvalidValue("max_bake must be above all min_bake together", param="max_bake")


def seconds(value: object) -> float:
    """A duration in seconds.

    >>> seconds("1.5h"), seconds(90)
    (5400.0, 90.0)
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _UNITS[match[2]]
    raise InvalidValue(f"{value!r} is no duration: use seconds, or a number with s, m, h or d")


def share(value: object) -> float:
    """A share, from a number or per cent.

    >>> share("15%"), share(0.05)
    (0.15, 0.05)
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and (match := _PER_CENT.fullmatch(value.strip())):
        return float(match[1]) / 100.0
    raise InvalidValue(f"{value!r} is no share: use a number from 0 to 1, or per cent like 15%")


def read_policies(raw: Mapping[str, Mapping[str, Any]]) -> dict[str, Policy]:
    """The named policies and those of a configuration, which may extend any that stands before them.
    Raises `InvalidValue`."""
    known = dict(POLICIES)
    for name, fields in raw.items():
        if name in POLICIES:
            raise InvalidValue(f"the policy {name!r} is built in: choose another name", param=name)
        try:
            known[name] = read_policy(fields, known)
        except InvalidValue as error:
            raise InvalidValue(f"policy {name!r}: {error.message}", param=error.param) from error
    return known


def read_policy(raw: str | Mapping[str, Any], known: Mapping[str, Policy] | None = None) -> Policy:
    """A policy by its name, or by its fields, which may say `extends` one of `known` (default: the named
    ones). Raises `InvalidValue`."""
    known = POLICIES if known is None else known
    given = {"extends": raw} if isinstance(raw, str) else dict(raw)
    fields: dict[str, Any] = {}
    name = given.pop("extends", None)
    if name is not None:
        if not isinstance(name, str) or name not in known:
            raise InvalidValue(f"there is no policy {name!r}; there is {', '.join(known)}", param="extends")
        fields = msgspec.to_builtins(known[name])
    _only(given, Policy)
    stages = given.pop("stages", None)
    if isinstance(stages, list):
        given = {"shadow": None, **_planned(stages), **given}
    elif stages is not None:
        given["stages"] = stages
    for key, value in given.items():
        fields[key] = _merged(fields.get(key), _read(key, value))
    try:
        return msgspec.convert(fields, Policy)
    except msgspec.ValidationError as error:
        raise InvalidValue(f"policy: {error}", param="policy") from error


def _read(key: str, value: Any) -> Any:
    """One field as YAML has it, in seconds and shares."""
    if key == "min_bake" and isinstance(value, list):
        return [seconds(each) for each in value]
    if key == "approvals" and isinstance(value, dict):
        return {str(stage): needs for stage, needs in value.items()}
    if key == "max_bake":
        return seconds(value)
    if key == "tolerance" and isinstance(value, dict):
        return {metric: share(each) for metric, each in value.items()}
    if key == "outcomes" and isinstance(value, dict):
        return {name: _goal(each) for name, each in value.items()}
    if key == "stages" and isinstance(value, list):
        return [_stage(each) for each in value]
    if key == "shadow" and isinstance(value, dict):
        _only(value, Shadow)
        return {**value, "max_bake": seconds(value["max_bake"])} if "max_bake" in value else value
    if key == "holdback" and isinstance(value, dict):
        _only(value, Holdback)
        return {**value, "watch": seconds(value["watch"])} if "watch" in value else value
    return value


def _planned(stages: list[Any]) -> dict[str, Any]:
    """`[shadow, .05, .5, 1]`: a shadow stage may come first. A 1 at the end says what every rollout comes to,
    after its watch; it is no stage."""
    found: dict[str, Any] = {}
    if stages and stages[0] == "shadow":
        found["shadow"], stages = {}, stages[1:]
    if len(stages) > 1 and stages[-1] in (1, "100%"):
        stages = stages[:-1]
    return {**found, "stages": stages}


def _goal(value: Any) -> Any:
    if not isinstance(value, dict):
        return {"tolerance": share(value)}
    _only(value, Goal)
    return {**value, "tolerance": share(value["tolerance"])} if "tolerance" in value else value


def _stage(value: Any) -> Any:
    if isinstance(value, dict):
        _only(value, Stage)
        return value
    weight = share(value)
    return {"canary_per_hour": 0.0, "min": weight, "max": weight}


def _merged(before: Any, after: Any) -> Any:
    """Mappings change where they are changed; everything else is replaced."""
    if isinstance(before, dict) and isinstance(after, dict):
        return {**before, **after}
    return after


def _only(given: Mapping[str, Any], kind: type[msgspec.Struct]) -> None:
    if unknown := sorted(set(given) - set(kind.__struct_fields__)):
        allowed = ", ".join(kind.__struct_fields__)
        raise InvalidValue(f"policy: {unknown[0]!r} is no field; there is {allowed}", param=unknown[0])


def _known(field: str, names: Mapping[str, float] | tuple[str, ...], allowed: tuple[str, ...]) -> None:
    if unknown := sorted(set(names) - set(allowed)):
        raise InvalidValue(f"{field}: {unknown[0]!r} is unknown; there is {', '.join(allowed)}", param=field)


def _fixed(weight: float) -> Stage:
    return Stage(0.0, weight, weight)


def _tolerance(*values: float) -> dict[str, float]:
    return dict(zip(TOLERANCES, values, strict=True))


_M, _H = _UNITS["m"], _UNITS["h"]
POLICIES: dict[str, Policy] = {
    "careful": Policy(
        stages=(Stage(100.0, 0.01, 0.5), _fixed(0.25), _fixed(0.5)),
        min_bake=(30 * _M, 30 * _M, _H),
        max_bake=72 * _H,
        min_units=100,
        tolerance=_tolerance(0.03, 0.01, 0.01, 0.07, 0.04, 0.15, 0.10),
        holdback=Holdback(0.1, 24 * _H),
    ),
    "standard": Policy(
        stages=(Stage(100.0, 0.05, 0.5), _fixed(0.5)),
        min_bake=(15 * _M, 30 * _M),
        max_bake=24 * _H,
        min_units=50,
        tolerance=_tolerance(0.05, 0.02, 0.02, 0.10, 0.07, 0.20, 0.15),
        holdback=Holdback(0.1, 4 * _H),
    ),
    "fast": Policy(
        stages=(Stage(150.0, 0.1, 0.5), _fixed(0.5)),
        min_bake=(10 * _M, 15 * _M),
        max_bake=8 * _H,
        min_units=30,
        tolerance=_tolerance(0.08, 0.03, 0.03, 0.15, 0.10, 0.30, 0.25),
        holdback=Holdback(0.1, 2 * _H),
    ),
}
