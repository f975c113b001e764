"""What `decide` is asked about a rollout, and what it answers."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.analysis.shadow import ShadowView
from gateway.analysis.trust import Doubt
from gateway.domain.rollout import Phase

Action = Literal["bake", "advance", "promote", "roll_back", "hold", "raise_weight"]
HoldReason = Literal["evidence", "completeness", "srm", "incident", "judge", "safety"]


class Position(msgspec.Struct, frozen=True):
    """Where a rollout stands. `stage`: index into the policy's stages, the last one while `in_watch`.
    `stage_since`: when it (or the watch) took effect, store time. `weight`, `q1`, `q0`: in force.
    `raises`: times the weight was raised so far. `idle`: s of this stage that do not count as bake, such
    as pauses by a person (incidents are subtracted by `decide`). `in_shadow`: before stage 0.
    `doubt`: why the judge is not believed."""

    phase: Phase
    stage: int
    stage_since: float
    started_at: float
    weight: float
    q1: float = 1.0
    q0: float = 1.0
    in_watch: bool = False
    raises: int = 0
    idle: float = 0.0
    in_shadow: bool = False
    doubt: Doubt = ""


class MetricView(msgspec.Struct, frozen=True):
    """One metric. Pairs are (stable, canary). `difference`, `low`, `high`: canary − stable in badness with
    its 95 % interval, None before there is anything to compare. `harm_e`, `gate_e`: E, not its logarithm,
    at most 1e300. `gate_e` None: not a gate. `threshold`: frozen, None where none is needed or yet known."""

    name: str
    family: str
    role: str
    units: tuple[int, int]
    means: tuple[float | None, float | None]
    difference: float | None
    low: float | None
    high: float | None
    tolerance: float
    margin: float
    threshold: float | None
    harm_e: float
    gate_e: float | None = None
    gate_needs: float | None = None
    gate_passed_at: float | None = None


class FamilyView(msgspec.Struct, frozen=True):
    """Harm of a family: the mean E of its metrics, `needs` 1/α; `crossed_at`: when it first got there."""

    name: str
    e: float
    needs: float
    crossed_at: float | None


class StreamView(msgspec.Struct, frozen=True):
    """Sample ratio of one stream (assigned, completed, scored)."""

    name: str
    e: float
    units: int


class Verdict(msgspec.Struct, frozen=True):
    """`action`, and why in words. `weight`: of `raise_weight`. `hold`: of `hold`. Pairs are (stable, canary).

    `advance` ends a stage: the next one begins, or, in the watch, the rollout is promoted for everyone.
    `promote` moves `live` and begins the watch. `bake` goes on. `rule`: what decided (`harm:errors`,
    `hard_stop`, `gates`, `bake`, ...), a stable name for alerts and tests.

    `bake`, `bake_needs`: s of this stage that count, and the minimum. `canary_units`: canary sessions of
    this stage. `scored`, `sampled`: judged sessions. `at`: the fold's clock, store time. `open_sessions`,
    `left_out`, `lost_batches`, `dropped`: what the evidence is missing. `without_data`: gates that no session
    brings anything for, in words. `shadow`: what pairs have shown, of a rollout whose policy begins so; in
    that stage the other numbers are of stable alone."""

    action: Action
    rule: str
    reason: str
    method: int
    at: float
    hold: HoldReason | None = None
    weight: float | None = None
    bake: float = 0.0
    bake_needs: float = 0.0
    canary_units: int = 0
    units_need: int = 0
    metrics: tuple[MetricView, ...] = ()
    families: tuple[FamilyView, ...] = ()
    streams: tuple[StreamView, ...] = ()
    scored: tuple[int, int] = (0, 0)
    sampled: tuple[int, int] = (0, 0)
    incident: str = ""
    open_sessions: int = 0
    left_out: int = 0
    lost_batches: int = 0
    dropped: int = 0
    shadow: ShadowView | None = None
    without_data: tuple[str, ...] = ()

    def because(
        self, action: Action, rule: str, reason: str, *, hold: HoldReason | None, weight: float | None
    ) -> Verdict:
        return msgspec.structs.replace(
            self, action=action, rule=rule, reason=reason, hold=hold, weight=weight
        )
