"""Planning: how many units a decision takes, and what the traffic can decide.

The unit of account is *information*: a canary unit measured at share π brings (1 − π), because the more
stable units stand beside it the more it says. A bettor who knows the truth gains about δ²(1 − π) / (2σ²) of
log E on each canary unit when the arms are equal, so ln(1/α) is reached after

    n0 = 2 ln(1/α) σ² / ((1 − π) δ²)

canary units. The grid of bettors, chance and several gates at once cost a factor, found by simulation.

Source: the growth rate as in Waudby-Smith & Ramdas 2024, doi:10.1093/jrsssb/qkad009, arXiv:2010.09686.
"""

from collections.abc import Sequence
from math import inf, sqrt
from statistics import NormalDist

import msgspec

from gateway.errors import InvalidValue
from gateway.stats.wealth import check_fraction, evidence_for

POWER_80 = 2.1  # × n0: one metric without a true difference passes in 80 % of runs
POWER_90 = 2.7
ALL_GATES = 3.2  # × n0 of the slowest gate: all gates of a policy pass in 80 % of runs


class Step(msgspec.Struct, frozen=True):
    """A planned stage: the canary's `weight`; it lasts at least `bake` hours and `units` canary units.
    `stable_rate`: the part of stable sessions that is measured."""

    weight: float
    bake: float = 0.0
    units: float = 0.0
    stable_rate: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.weight < 1.0:
            raise InvalidValue(f"weight {self.weight} compares nothing: use a number between 0 and 1")
        if not (0.0 <= self.bake < inf and 0.0 <= self.units < inf):
            raise InvalidValue(f"a bake of {self.bake} h and {self.units} units: both are at least 0")


def binary_variance(rate: float, tolerance: float) -> float:
    """σ² of a metric that is 0 or 1, half way to the tolerance: (p + δ/2)(1 − p − δ/2).

    >>> round(binary_variance(0.01, 0.02), 4)
    0.0196
    """
    middle = check_fraction(rate + tolerance / 2.0, "rate + tolerance / 2")
    return middle * (1.0 - middle)


def information_needed(variance: float, tolerance: float, alpha: float = 0.05) -> float:
    """n0 (1 − π) = 2 ln(1/α) σ²/δ²: canary units if stable units were free.

    >>> round(information_needed(0.0625, 0.05), 1)
    149.8
    """
    if not (variance >= 0.0 and tolerance > 0.0):
        raise InvalidValue(f"variance {variance} must be at least 0 and tolerance {tolerance} above it")
    return 2.0 * evidence_for(alpha) * variance / tolerance**2


def canary_units(variance: float, tolerance: float, share: float, alpha: float = 0.05) -> float:
    """n0, to be multiplied by `POWER_80`, `POWER_90` or `ALL_GATES`.

    >>> round(canary_units(0.0625, 0.05, 0.5) * POWER_80)
    629
    """
    return information_needed(variance, tolerance, alpha) / _stable_part(share)


def decidable_tolerance(
    variance: float, units: float, share: float, *, alpha: float = 0.05, factor: float = POWER_80
) -> float:
    """The smallest tolerance that `units` canary units can decide: `canary_units` solved for δ.

    >>> round(decidable_tolerance(0.0625, 629, 0.5), 4)
    0.05
    """
    return sqrt(variance * _scale(units, share, alpha, factor))


def decidable_binary_tolerance(
    rate: float, units: float, share: float, *, alpha: float = 0.05, factor: float = POWER_80
) -> float:
    """The same where the variance is `binary_variance` of rate and tolerance: δ² = c (p + δ/2)(1 − p − δ/2).

    >>> tolerance = decidable_binary_tolerance(0.01, 629, 0.5)
    >>> round(tolerance, 4)
    0.0318
    >>> round(canary_units(binary_variance(0.01, tolerance), tolerance, 0.5) * POWER_80)
    629
    """
    check_fraction(rate, "rate")
    c = _scale(units, share, alpha, factor)
    linear = c * (1.0 - 2.0 * rate) / 2.0
    square = 1.0 + c / 4.0
    return (linear + sqrt(linear**2 + 4.0 * square * c * rate * (1.0 - rate))) / (2.0 * square)


def raised_weight(planned: float, seen: float, rate: float, hours_left: float) -> float:
    """The weight at which `planned` canary units are reached in time: (n_plan − n) / (R q T_left).

    `rate` (R q) is sessions per hour that could be canary ones and are measured. Not clipped: above 1
    means that no weight reaches the plan.

    >>> raised_weight(planned=638, seen=138, rate=250, hours_left=4)
    0.5
    """
    missing = max(0.0, planned - seen)
    available = rate * hours_left
    if missing == 0.0:
        return 0.0
    return missing / available if available > 0.0 else inf


def expected_hours(information: float, steps: Sequence[Step], rate: float) -> float:
    """Hours until `information` (× a factor) is there and every step but the last has lasted its minimum.

    `rate`: sessions per hour; every canary session is measured. In the last step the bake must pass too;
    infinity where nothing arrives.

    >>> steps = (Step(0.5, bake=0.25, units=50), Step(0.5, bake=0.5, units=50))
    >>> round(expected_hours(information_needed(0.0625, 0.05) * ALL_GATES, steps, rate=100), 1)
    19.2
    """
    if not steps:
        raise InvalidValue("a plan needs at least one step")
    if rate <= 0.0:
        return inf
    hours = gained = 0.0
    for index, step in enumerate(steps):
        canaries = rate * step.weight
        stable = rate * (1.0 - step.weight) * step.stable_rate
        per_hour = canaries * stable / (canaries + stable)
        lasts = max(step.bake, step.units / canaries)
        if index == len(steps) - 1 and gained < information:
            lasts = max(lasts, (information - gained) / per_hour if per_hour > 0.0 else inf)
        hours += lasts
        gained += lasts * per_hour
    return hours


def classic_units(
    control: tuple[float, float], treatment: tuple[float, float], effect: float, *, alpha: float, power: float
) -> float:
    """Total units of a fixed-sample z-test, looked at once: for comparison, never for deciding.

    n = (z_{1−α} + z_{1−β})² (σ_c²/w_c + σ_t²/w_t) / d², with each arm as (variance, part of all units), d the
    absolute effect or non-inferiority margin, and `alpha` one-sided, after any division by metrics and arms.

    Source: the sample size calculator of spotify/confidence, whose published numbers the tests reproduce.

    >>> round(classic_units((0.0625, 0.5), (0.0625, 0.5), 0.05, alpha=0.05, power=0.8))
    618
    """
    if not (0.0 < alpha < 1.0 and 0.0 < power < 1.0 and effect > 0.0):
        raise InvalidValue(f"alpha {alpha} and power {power} lie between 0 and 1, effect {effect} above 0")
    normal = NormalDist()
    z = normal.inv_cdf(1.0 - alpha) + normal.inv_cdf(power)
    return z**2 * sum([variance / part for variance, part in (control, treatment)]) / effect**2


def _scale(units: float, share: float, alpha: float, factor: float) -> float:
    """δ²/σ² that `units` canary units decide."""
    if not (units > 0.0 and factor > 0.0):
        raise InvalidValue(f"{units} units with factor {factor} decide nothing: both are above 0")
    return 2.0 * evidence_for(alpha) * factor / (units * _stable_part(share))


def _stable_part(share: float) -> float:
    if not 0.0 <= share < 1.0:
        raise InvalidValue(
            f"share {share} leaves no stable unit to compare with: use 0 to below 1", param="share"
        )
    return 1.0 - share
