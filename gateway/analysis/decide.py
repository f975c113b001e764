"""The decision: policy, position, evidence and time in, verdict out. One pure function.

In this order, the first that applies:

    roll_back      a family's harm was found, the canary's first requests all failed, or severe flags were
                   confirmed; in every phase
    hold           the provider fails (incident); a severe flag was confirmed (safety); the arms' shares are
                   wrong (srm); the judge drifts (judge)
    watch          advance when it has lasted
    shadow         enough pairs, no harm in them, its gates passed → advance
    stage          not the last: minimum bake, minimum units, every harm E below the policy's, completeness
                   → advance
    last stage     the same without minimum units, and every gate passed → promote,
                   unless nothing but a judge of whom nobody knows whether it agrees with people says so
    time           near the maximum bake: raise_weight; past it: wait on, bounded, then hold (evidence)

No timer promotes: time only ever adds a condition.
"""

from __future__ import annotations

from math import exp

from gateway.analysis import outcomes
from gateway.analysis.evidence import Evidence
from gateway.analysis.reach import needed_weight
from gateway.analysis.report import describe
from gateway.analysis.state import State
from gateway.analysis.trust import forbids_more, forbids_promotion
from gateway.analysis.verdict import Action, HoldReason, Position, Verdict
from gateway.domain.policy import Policy
from gateway.domain.rollout import FINAL
from gateway.stats.srm import HOLD_AT

Answer = tuple[Action, str, str, HoldReason | None, float | None]


def decide(policy: Policy, position: Position, evidence: Evidence, now: float) -> Verdict:
    """`now`: store time, s. The policy is the one that the evidence was started with."""
    action, rule, reason, hold, weight = answer(policy, position, evidence, now)
    verdict = describe(policy, position, evidence, now)
    return verdict.because(action, rule, reason, hold=hold, weight=weight)


def answer(policy: Policy, position: Position, evidence: Evidence, now: float) -> Answer:
    """The verdict without the numbers: action, rule, reason, hold and weight."""
    return (
        _harm(evidence)
        or _waits(position, evidence)
        or _doubted(policy, position)
        or (_watch(policy, position, evidence, now) if position.in_watch else None)
        or (_shadow(policy, position, evidence, now) if position.in_shadow else None)
        or _stage(policy, position, evidence, now)
    )


def bake(position: Position, evidence: Evidence, now: float) -> float:
    """s of this stage that count: not those of pauses and incidents."""
    stopped = evidence.state.stopped[position.stage + position.in_watch]
    return max(0.0, now - position.stage_since - position.idle - stopped)


def _harm(evidence: Evidence) -> Answer | None:
    state = evidence.state
    if state.hard_stop.at is not None:
        stop = state.hard_stop
        return (
            "roll_back",
            "hard_stop",
            f"the canary's first {stop.canary} requests all failed, {stop.stable_failed} of stable's "
            f"{stop.stable} did",
            None,
            None,
        )
    if state.shadow is not None and (found := state.shadow.harm()) is not None:
        return "roll_back", found[0], found[1], None, None
    if state.severe.found_at is not None:
        told = f"{state.severe.confirmed[1]} canary sessions had a severe flag that was confirmed"
        return "roll_back", "severe", f"{told} ({state.severe.shown()}), no stable one had", None, None
    if not state.crossed:
        return None
    family = min(state.crossed, key=lambda name: (state.crossed[name], name))
    bar = exp(evidence.family_bar(family))
    worst = evidence.worst_of(family)
    return (
        "roll_back",
        f"harm:{family}",
        f"{family}: the evidence of harm reached E = {bar:.0f} (mostly {worst}); by chance that happens in "
        f"at most {1.0 / bar:.2%} of harmless rollouts{_doubt(state)}",
        None,
        None,
    )


def _doubt(state: State) -> str:
    return "" if state.mismatched_at is None else ", if the arms are alike although their shares are wrong"


def _waits(position: Position, evidence: Evidence) -> Answer | None:
    state = evidence.state
    if position.phase in FINAL:
        return "bake", "ended", f"the rollout is {position.phase}", None, None
    if position.phase == "paused":
        return "bake", "paused", "paused by a person; harm is tested on", None, None
    if state.incident.active:
        requests, failed = state.incident.recent(state.clock, state.rules)
        return (
            "hold",
            "incident",
            f"the provider fails: {failed} of stable's last {requests} requests; the bake clock stands",
            "incident",
            None,
        )
    if state.severe.holds(state.rules):
        told = f"{state.severe.confirmed[1]} canary sessions had a severe flag that was confirmed"
        why = f"{told} ({state.severe.shown()}): look at them, and clear what is none"
        return "hold", "severe", why, "safety", None
    for name, ratio in (
        ("assigned", state.assigned),
        ("completed", state.completed),
        ("scored", state.scored),
    ):
        if ratio.get() >= HOLD_AT:
            return (
                "hold",
                f"srm:{name}",
                f"the arms do not get the shares that they should ({name} sessions): no comparison is safe",
                "srm",
                None,
            )
    return None


def _doubted(policy: Policy, position: Position) -> Answer | None:
    why = forbids_more(policy, position.doubt)
    return ("hold", "judge_drift", why, "judge", None) if why else None


def _watch(policy: Policy, position: Position, evidence: Evidence, now: float) -> Answer:
    lasted, needs = bake(position, evidence, now), policy.holdback.watch
    if lasted >= needs:
        return "advance", "watch", f"watched for {_hours(lasted)} without harm", None, None
    return "bake", "watch", f"watching: {_hours(lasted)} of {_hours(needs)}", None, None


def _shadow(policy: Policy, position: Position, evidence: Evidence, now: float) -> Answer | None:
    shadow, limit = evidence.state.shadow, policy.shadow
    if shadow is None or limit is None:
        return None
    lacks = shadow.lacks(policy, evidence.state.rules)
    if lacks is None:
        return (
            "advance",
            "shadow",
            f"{shadow.pairs} pairs speak of no harm, and its gates have passed",
            None,
            None,
        )
    rule, reason, hold = lacks
    if hold is not None:
        return "hold", rule, reason, hold, None
    if now - position.stage_since - position.idle < limit.max_bake:
        return "bake", rule, reason, None, None
    return "hold", rule, f"{reason}; the time for it has passed", "evidence", None


def _stage(policy: Policy, position: Position, evidence: Evidence, now: float) -> Answer:
    """A stage before the watch."""
    last = position.stage >= len(policy.stages) - 1
    missing = _missing(policy, position, evidence, now, last=last)
    if missing is None:
        if last and (why := forbids_promotion(policy, position.doubt)):
            return "hold", "judge_uncalibrated", why, "judge", None
        if last:
            return "promote", "gates", "every gate has passed and nothing speaks of harm", None, None
        return (
            "advance",
            "stage",
            "the stage's time and sessions are in and nothing speaks of harm",
            None,
            None,
        )
    rule, reason, hold = missing
    if hold is not None:
        return "hold", rule, reason, hold, None
    if rule in ("units", "gates", "harm_e", "completeness"):
        return _short_of_time(policy, position, evidence, now, (rule, reason))
    return "bake", rule, reason, None, None


def _missing(
    policy: Policy, position: Position, evidence: Evidence, now: float, *, last: bool
) -> tuple[str, str, HoldReason | None] | None:
    """The first condition that is not met, in words; with a hold where waiting alone does not help."""
    state = evidence.state
    lasted, needs = bake(position, evidence, now), policy.min_bake[position.stage]
    if lasted < needs:
        return "bake", f"baking: {_hours(lasted)} of {_hours(needs)}", None
    canaries = state.canaries[position.stage]
    if not last and canaries < policy.min_units:
        return "units", f"{canaries} canary sessions of {policy.min_units}", None
    judged = "judge" in policy.gates
    if judged and (short := state.completeness.missing(policy.tolerance["judge"], state.rules)):
        if short.sure:
            return "completeness", short.words, "completeness"
        return "completeness", f"{short.words}; these are too few to tell", None
    if judged and last and not sum(state.completeness.scored):
        return "judge", "no score has come, and the policy's gates include the judge", "judge"
    high = [(name, e) for name, e in evidence.harms() if e >= policy.max_harm_e]
    if high:
        name, e = max(high, key=lambda pair: pair[1])
        return (
            "harm_e",
            f"{name} shows some harm: E = {e:.1f}, to go on it must be below {policy.max_harm_e:g}",
            None,
        )
    waiting = [gate for gate in policy.gates if not evidence.passed(gate)]
    waiting += outcomes.waiting(state.outcomes)
    if last and waiting:
        return "gates", f"not shown yet: no worse than tolerated in {', '.join(waiting)}", None
    return None


def _short_of_time(
    policy: Policy, position: Position, evidence: Evidence, now: float, missing: tuple[str, str]
) -> Answer:
    """What follows from missing evidence, as the maximum bake comes near and passes."""
    rule, reason = missing
    rules = evidence.state.rules
    elapsed = now - position.started_at
    if (
        rule in ("units", "gates")
        and elapsed >= rules.raise_after * policy.max_bake
        and position.raises < rules.max_raises
    ):
        weight = needed_weight(policy, position, evidence, now)
        if weight is not None:
            return "raise_weight", rule, f"{reason}; at weight {weight:.3g} it comes in time", None, weight
    if elapsed < policy.max_bake:
        return "bake", rule, reason, None, None
    if elapsed < policy.max_bake * (1.0 + rules.extension):
        return (
            "bake",
            rule,
            f"{reason}; the maximum bake has passed, extended by {rules.extension:.0%}",
            None,
            None,
        )
    return "hold", rule, f"{reason}; the time for it has passed", "evidence", None


def _hours(seconds: float) -> str:
    return f"{seconds / 3600.0:.1f} h" if seconds >= 3600.0 else f"{seconds / 60.0:.0f} min"
