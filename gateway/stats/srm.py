"""Sample ratio mismatch: do the arms receive the shares that they should?

If assignment, logging or judging treats the arms differently, every comparison of them is in doubt. The test
bets on the arm of each unit alone, in both directions:

    factors 1 ± κ Λ± (A − π),   Λ+ = 1/π,   Λ− = 1/(1 − π),   κ = .02 .05 .1 .2 .4

ten bettors, E their mean: an e-process if P(A = 1) = π for each unit. It says nothing about which side is
at fault. Hold at E ≥ 1000 (α = .001: a false alarm stops a rollout that nothing is wrong with).

Source: Lindon & Malek 2022, Anytime-valid inference for multinomial count data, arXiv:2011.03567 (theirs
mixes over a Dirichlet prior; the grid is the same bet where π changes from unit to unit).
"""

from functools import lru_cache
from math import log, log1p

import msgspec

from gateway.stats.wealth import Wealth, check_fraction

KAPPA = (0.02, 0.05, 0.1, 0.2, 0.4)
HOLD_AT = log(1000.0)  # log E


class SampleRatio(msgspec.Struct):
    """log E against "each unit is a canary one with probability π".

    Attributes: `wealth` of the ten bettors; `units` counted (those with π 0 or 1 leave nothing to bet on).

    >>> ratio = SampleRatio.of()
    >>> for i in range(1000):
    ...     ratio.update(i % 7 == 0, 0.1)
    >>> round(ratio.get(), 4)
    6.931
    >>> ratio.get() >= HOLD_AT
    True
    """

    wealth: Wealth
    units: int = 0

    @classmethod
    def of(cls) -> "SampleRatio":
        return cls(Wealth.of(2 * len(KAPPA)))

    def update(self, canary: bool, share: float) -> None:
        """Fold the arm of one unit."""
        if not 0.0 < share < 1.0:
            check_fraction(share, "share")
            return
        self.units += 1
        gains = _gains(share)[1 if canary else 0]
        wealth = self.wealth
        wealth.sums = [total + gain for total, gain in zip(wealth.sums, gains, strict=True)]

    def add(self, canary: bool, share: float, count: int) -> None:
        """The same for `count` units of one arm and share: order does not matter here."""
        if not 0.0 < share < 1.0:
            check_fraction(share, "share")
            return
        self.units += count
        self.wealth.add([count * gain for gain in _gains(share)[1 if canary else 0]])

    def get(self) -> float:
        """log E, a finite number."""
        return self.wealth.get()

    def merge(self, other: "SampleRatio") -> None:
        """Add other units of the same stream."""
        self.wealth.merge(other.wealth)
        self.units += other.units


@lru_cache(maxsize=1024)  # a rollout knows a handful of shares
def _gains(share: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """ln of the ten factors for a stable and for a canary unit."""

    def gains(deviation: float) -> tuple[float, ...]:
        more = [log1p(kappa / share * deviation) for kappa in KAPPA]
        less = [log1p(-kappa / (1.0 - share) * deviation) for kappa in KAPPA]
        return (*more, *less)

    return gains(-share), gains(1.0 - share)
