"""Harm and non-inferiority: betting e-processes for the difference of two arms.

For each unit: arm A (1 canary, 0 stable), badness B in [0, 1], share π = P(A = 1) and prediction m, both
fixed before A and B were seen. Eight bettors, each with its own odds ratio r_k in mind:

    λ_k = min((r_k − 1) / (1 + π (r_k − 1)), .9 Λ)      log E = logsumexp_k(Σ_i log1p(λ_k D_i)) − log 8
    harm, margin ε:               D =  (A − π)(B − ε A − m)   Λ = 1 / max((1 − π)(ε + m), π (1 − m))
    non-inferiority, tolerance δ: D = −(A − π)(B − δ A − m)   Λ = 1 / max((1 − π) max(1 − δ − m, 0), π m)

E[D | past] = ±π(1 − π)(μ_canary − μ_stable − margin): the arms are compared within the same moment, so
there is nothing to correct for, neither an unequal split nor an outage that hits both. For a rare binary
event (m = 0, ε = 0) the factor of bettor k is exactly the likelihood ratio of odds ratio r_k; .9 Λ keeps
every factor at .1 or above, so that no unit can ruin a bettor.

Assumptions: the arm of a unit is drawn with probability π whatever its badness would be; units arrive in an
order that does not depend on the arm. Nothing else: no distribution, no variance, no sample size.

Source: Waudby-Smith & Ramdas 2024, doi:10.1093/jrsssb/qkad009, arXiv:2010.09686; the inverse propensity form
as in Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro 2024, arXiv:2210.10768.
"""

from bisect import bisect_right
from functools import lru_cache
from typing import Final

import msgspec

from gateway.errors import InvalidValue
from gateway.stats.wealth import Wealth

ODDS = (1.1, 1.25, 1.6, 2.2, 3.5, 6.0, 15.0, 50.0)
RISK: Final = 0.9  # of its capital is the most that a bettor may lose on one unit


def measured_share(weight: float, canary_rate: float, stable_rate: float) -> float:
    """π of a unit: P(canary | measured), from the canary's weight and each arm's sample rate at its pin.

    >>> round(measured_share(0.05, 1.0, 0.5), 4)
    0.0952
    """
    canary, stable = weight * canary_rate, (1.0 - weight) * stable_rate
    if not (canary >= 0.0 and stable >= 0.0 and canary + stable > 0.0):
        raise InvalidValue(
            f"weight {weight} with sample rates {canary_rate} and {stable_rate} measures no unit: "
            "all are from 0 to 1, and one arm must be served and sampled"
        )
    return canary / (canary + stable)


class Harm(msgspec.Struct):
    """log E against "the canary's mean badness exceeds stable's by no more than `margin`".

    Attributes: `margin` (ε, in units of badness; 0 where any harm counts), `wealth` (see there).

    >>> harm = Harm.of(margin=0.0)
    >>> for _ in range(20):
    ...     harm.update(True, 0.9, 0.5, 0.2)
    ...     harm.update(False, 0.2, 0.5, 0.2)
    >>> round(harm.get(), 4)
    8.6921
    """

    margin: float
    wealth: Wealth

    def __post_init__(self) -> None:
        if not 0.0 <= self.margin < 1.0:
            raise InvalidValue(f"margin {self.margin} is not in [0, 1)", param="margin")

    @classmethod
    def of(cls, margin: float, *, later: int = 0) -> "Harm":
        """`later`: how many more starts are planned, one for each later stage."""
        return cls(margin, Wealth.of(len(ODDS), later=later))

    def update(self, canary: bool, badness: float, share: float, predicted: float) -> None:
        """Fold one unit. Raises `InvalidValue`, and changes nothing, if it breaks a bound."""
        if not (0.0 <= badness <= 1.0 and 0.0 <= predicted <= 1.0 and 0.0 < share < 1.0):
            check_unit(canary, badness, share, predicted)
        margin = self.margin
        rest = 1.0 - share
        outcome = rest * (badness - margin - predicted) if canary else share * (predicted - badness)
        if outcome:
            worst, other = rest * (margin + predicted), share * (1.0 - predicted)
            self.wealth.bet(outcome, stakes(share, RISK / (worst if worst > other else other)))

    def start(self) -> None:
        """Open the next planned start."""
        self.wealth.start()

    def get(self) -> float:
        """log E: harm at level α once it is at least ln(1/α)."""
        return self.wealth.get()

    def merge(self, other: "Harm") -> None:
        """Add the same test on other units."""
        if self.margin != other.margin:
            raise InvalidValue(f"margins {self.margin} and {other.margin} differ: not the same test")
        self.wealth.merge(other.wealth)


class NonInferiority(msgspec.Struct):
    """log E against "the canary's mean badness exceeds stable's by `tolerance` or more".

    Attributes: `tolerance` (δ, in units of badness), `wealth`.

    >>> gate = NonInferiority.of(tolerance=0.1)
    >>> for _ in range(100):
    ...     gate.update(True, 0.2, 0.5, 0.2)
    ...     gate.update(False, 0.2, 0.5, 0.2)
    >>> round(gate.get(), 4)
    7.5565
    """

    tolerance: float
    wealth: Wealth

    def __post_init__(self) -> None:
        if not 0.0 < self.tolerance < 1.0:
            raise InvalidValue(f"tolerance {self.tolerance} is not between 0 and 1", param="tolerance")

    @classmethod
    def of(cls, tolerance: float) -> "NonInferiority":
        return cls(tolerance, Wealth.of(len(ODDS)))

    def update(self, canary: bool, badness: float, share: float, predicted: float) -> None:
        """Fold one unit. Raises `InvalidValue`, and changes nothing, if it breaks a bound."""
        if not (0.0 <= badness <= 1.0 and 0.0 <= predicted <= 1.0 and 0.0 < share < 1.0):
            check_unit(canary, badness, share, predicted)
        tolerance = self.tolerance
        rest = 1.0 - share
        outcome = rest * (tolerance + predicted - badness) if canary else share * (badness - predicted)
        if outcome:
            worst, other = rest * (1.0 - tolerance - predicted), share * predicted  # never both zero
            self.wealth.bet(outcome, stakes(share, RISK / (worst if worst > other else other)))

    def get(self) -> float:
        """log E: no worse than the tolerance, at level α, once it is at least ln(1/α)."""
        return self.wealth.get()

    def merge(self, other: "NonInferiority") -> None:
        """Add the same test on other units."""
        if self.tolerance != other.tolerance:
            raise InvalidValue(f"tolerances {self.tolerance} and {other.tolerance} differ: not the same test")
        self.wealth.merge(other.wealth)


def stakes(share: float, limit: float) -> tuple[float, ...]:
    """λ_k of the eight bettors, ascending, none above `limit`."""
    full = _stakes_by_odds(share)
    if full[-1] <= limit:
        return full
    kept = bisect_right(full, limit)
    return full[:kept] + (limit,) * (len(ODDS) - kept)


@lru_cache(maxsize=1024)  # a rollout knows a handful of shares
def _stakes_by_odds(share: float) -> tuple[float, ...]:
    return tuple((odds - 1.0) / (1.0 + share * (odds - 1.0)) for odds in ODDS)


def check_unit(canary: bool, badness: float, share: float, predicted: float) -> None:
    """Raises `InvalidValue`: a bound broken once, or one NaN, would falsify log E for ever."""
    if not 0.0 <= badness <= 1.0:
        raise InvalidValue(f"badness {badness} is not a number from 0 to 1", param="badness")
    if not 0.0 <= predicted <= 1.0:
        raise InvalidValue(f"prediction {predicted} is not a number from 0 to 1", param="predicted")
    if not 0.0 < share < 1.0 and share != canary:
        raise InvalidValue(
            f"a {'canary' if canary else 'stable'} unit cannot have share {share}", param="share"
        )
