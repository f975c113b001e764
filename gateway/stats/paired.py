"""Two versions on the same request: betting e-processes for the mean of a bounded difference.

For each pair: d = badness of the candidate − badness of stable, in [−1, 1]. No arm is drawn, so there is no
share and nothing to predict; what makes a request hard is in both and goes away. Three bettors:

    harm, margin ε:               D = d − ε,   λ_k = κ_k .9 / (1 + ε)
    non-inferiority, tolerance δ: D = δ − d,   λ_k = κ_k .9 / (1 − δ)      κ = 1, .5, .2
    log E = logsumexp_k(Σ_i log1p(λ_k D_i)) − log 3

.9 over the worst D keeps every factor at .1 or above. The best stake is about μ/(μ² + σ²), which lies above
the limit for most of what is looked for (.10 at sd .2: 2), so few bettors are enough and a larger grid only
divides the capital: with five the same decisions take a tenth more pairs.

Assumption: E[d | past] ≤ ε (or ≥ δ) for each pair, in an order that does not depend on d. Nothing else.

Source: Waudby-Smith & Ramdas 2024, doi:10.1093/jrsssb/qkad009, arXiv:2010.09686. The interval is for display,
as in `intervals`: Waudby-Smith et al. 2024, doi:10.1214/24-AOS2408.
"""

from math import log, sqrt

import msgspec

from gateway.errors import InvalidValue
from gateway.stats.intervals import Interval, tuned_rho
from gateway.stats.wealth import Wealth, evidence_for

KAPPA = (1.0, 0.5, 0.2)
RISK = 0.9  # of its capital is the most that a bettor may lose on one pair
PAIRED_SD = 0.2  # of differences of judge scores, where nothing is known


class Paired(msgspec.Struct):
    """Harm and non-inferiority of the same pairs.

    Attributes: `margin` ε and `tolerance` δ in badness; `harm` and `gate`, the wealth of their bettors;
    `pairs`, `total` Σd and `squares` Σd²; `rho`, where the displayed interval is narrowest.

    >>> test = Paired.of(margin=0.0, tolerance=0.05)
    >>> for i in range(100):
    ...     test.update(0.3 if i % 2 else -0.1)
    >>> round(test.harm.get(), 3), round(test.gate.get(), 3)
    (6.18, -1.974)
    >>> [round(value, 3) for value in test.get()]
    [0.1, 0.039, 0.161]
    """

    margin: float
    tolerance: float
    harm: Wealth
    gate: Wealth
    rho: float
    pairs: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, margin: float, tolerance: float, *, sd: float = PAIRED_SD) -> "Paired":
        """`sd`: of the differences, as far as it is known; for the display alone."""
        if not (0.0 <= margin < 1.0 and 0.0 < tolerance < 1.0):
            raise InvalidValue(f"margin {margin} lies in [0, 1), tolerance {tolerance} between 0 and 1")
        rho = tuned_rho(sd**2, tolerance)
        return cls(margin, tolerance, Wealth.of(len(KAPPA)), Wealth.of(len(KAPPA)), rho)

    def update(self, difference: float) -> None:
        """Fold one pair. Raises `InvalidValue`, and changes nothing, for what is no difference."""
        if not -1.0 <= difference <= 1.0:
            raise InvalidValue(f"difference {difference} is not a number from -1 to 1", param="difference")
        self.harm.bet(difference - self.margin, stakes(1.0 + self.margin))
        self.gate.bet(self.tolerance - difference, stakes(1.0 - self.tolerance))
        self.pairs += 1
        self.total += difference
        self.squares += difference * difference

    def get(self, alpha: float = 0.05) -> Interval | None:
        """The mean difference with an interval that may be watched; None before the second pair.

        d̄ ± √((V + ρ)(ln(1 + V/ρ) + 2 ln(1/α))) / n,  V = Σ(d − d̄)²
        """
        if self.pairs < 2:
            return None
        mean = self.total / self.pairs
        spread = max(self.squares - self.pairs * mean * mean, 0.0) + self.rho
        radius = sqrt(spread * (log(spread / self.rho) + 2.0 * evidence_for(alpha))) / self.pairs
        return Interval(mean, max(mean - radius, -1.0), min(mean + radius, 1.0))

    def merge(self, other: "Paired") -> None:
        """Add the same test on other pairs."""
        if (self.margin, self.tolerance) != (other.margin, other.tolerance):
            raise InvalidValue("only tests with the same margin and tolerance can be merged")
        self.harm.merge(other.harm)
        self.gate.merge(other.gate)
        self.pairs += other.pairs
        self.total += other.total
        self.squares += other.squares


def stakes(worst: float) -> tuple[float, ...]:
    """λ_k for differences D that are never below −`worst`."""
    return tuple([kappa * RISK / worst for kappa in KAPPA])
