"""What a person is shown beside a verdict. Display only: decisions come from the e-processes.

`Effect` is the difference of the arms with an asymptotic confidence sequence: it may be watched all the time,
which an ordinary confidence interval may not. `watched` is the same for a rate, and exact. `wilson` is for
rates that are looked at once.

Source: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024, Time-uniform central limit theory and asymptotic
confidence sequences, doi:10.1214/24-AOS2408, arXiv:2103.06476; ρ: Howard, Ramdas, McAuliffe & Sekhon 2021,
Time-uniform, nonparametric, nonasymptotic confidence sequences, doi:10.1214/20-AOS1991, arXiv:1810.08240.
"""

from math import lgamma, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

import msgspec

from gateway.errors import InvalidValue
from gateway.stats.wealth import evidence_for


class Interval(NamedTuple):
    """An estimate between its limits, in the unit of what was measured."""

    estimate: float
    low: float
    high: float


class Effect(msgspec.Struct):
    """τ̂ = μ_canary − μ_stable in badness (positive: the canary is worse), over everything so far.

    D = (A − π)(B − m);  τ̂ = ΣD / Σπ(1 − π);  V = ΣD²
    (ΣD ± √((V + ρ)(ln(1 + V/ρ) + 2 ln(1/α)))) / Σπ(1 − π)

    Two-sided at level α for ever, in the limit of many units: below some fifty in an arm it is a sketch.
    ρ decides where the interval is narrowest and must be fixed before the data: `tuned_rho`.

    Attributes: `rho`, in squared badness; `difference` ΣD, `squares` ΣD², `information` Σπ(1 − π); `units`
    and `badness` (sum), each stable first, for the plain means of the arms.

    >>> effect = Effect.of(variance=0.0625, tolerance=0.05)
    >>> for i in range(400):
    ...     effect.update(i % 2 == 0, 0.3 if i % 2 == 0 else 0.2, 0.5, 0.2)
    >>> [round(value, 4) for value in effect.get(0.05)]
    [0.1, 0.0674, 0.1326]
    """

    rho: float
    difference: float = 0.0
    squares: float = 0.0
    information: float = 0.0
    units: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    badness: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0])

    @classmethod
    def of(cls, variance: float, tolerance: float, alpha: float = 0.05) -> "Effect":
        """Narrowest about when a tolerance can be decided for badness of this variance."""
        return cls(tuned_rho(variance, tolerance, alpha))

    def update(self, canary: bool, badness: float, share: float, predicted: float) -> None:
        """Fold one unit (arguments as in `eprocess.Harm.update`, which checks them)."""
        d = ((1.0 if canary else 0.0) - share) * (badness - predicted)
        self.difference += d
        self.squares += d * d
        self.information += share * (1.0 - share)
        self.units[canary] += 1
        self.badness[canary] += badness

    def get(self, alpha: float = 0.05) -> Interval | None:
        """The effect and its interval; None before there is anything to compare."""
        if self.information <= 0.0:
            return None
        spread = self.squares + self.rho
        radius = sqrt(spread * (log(spread / self.rho) + 2.0 * evidence_for(alpha)))
        low, high = self.difference - radius, self.difference + radius
        return Interval(*[value / self.information for value in (self.difference, low, high)])

    def merge(self, other: "Effect") -> None:
        """Add other units of the same comparison."""
        if self.rho != other.rho:
            raise InvalidValue(f"rho {self.rho} and {other.rho} differ: not the same interval")
        self.difference += other.difference
        self.squares += other.squares
        self.information += other.information
        self.units = [mine + theirs for mine, theirs in zip(self.units, other.units, strict=True)]
        self.badness = [mine + theirs for mine, theirs in zip(self.badness, other.badness, strict=True)]


def tuned_rho(variance: float, tolerance: float, alpha: float = 0.05) -> float:
    """ρ that makes the interval narrowest when the planned units are in.

    The plan is `power.canary_units`: n0 = 2 ln(1/α) σ² / ((1 − π) δ²) of the canary, when V is about
    n0 (1 − π) σ² = 2 ln(1/α) σ⁴/δ², whatever the split. The width at V is least for about
    ρ = V / (2 ln(1/α) + ln(1 + 2 ln(1/α))) (Howard et al. 2021).

    >>> round(tuned_rho(0.0625, 0.05), 4)
    1.1796
    """
    if not (variance > 0.0 and tolerance > 0.0):
        raise InvalidValue(f"variance {variance} and tolerance {tolerance} must be above zero")
    doubled = 2.0 * evidence_for(alpha)
    planned = doubled * (variance / tolerance) ** 2
    return planned / (doubled + log(1.0 + doubled))


def watched(hits: int, trials: int, alpha: float = 0.05) -> Interval:
    """Two-sided interval of a rate that may be watched: it holds the rate for ever with probability 1 − α.

    E(p) = ∫ q^h (1 − q)^(n − h) dq / (p^h (1 − p)^(n − h)) is a likelihood ratio for every p, so it reaches
    1/α with probability at most α where p is right (Ville); the interval is where it has not, by bisection.

    Assumes that each trial hits with the same probability, whatever came before. Source: Robbins 1970,
    Statistical methods related to the law of the iterated logarithm, doi:10.1214/aoms/1177696786.

    >>> [round(value, 3) for value in watched(36, 50, 0.05)]
    [0.72, 0.504, 0.883]
    """
    if not 0 <= hits <= trials or not trials:
        raise InvalidValue(f"{hits} hits in {trials} trials: trials are at least 1, hits from 0 to trials")
    rest = trials - hits
    mixed = lgamma(hits + 1) + lgamma(rest + 1) - lgamma(trials + 2)
    bar = evidence_for(alpha)

    def inside(p: float) -> bool:
        return mixed - hits * log(p) - rest * log(1.0 - p) < bar

    def edge(far: float) -> float:
        near = hits / trials
        for _ in range(40):
            middle = (near + far) / 2.0
            near, far = (middle, far) if inside(middle) else (near, middle)
        return far

    return Interval(hits / trials, edge(0.0) if hits else 0.0, edge(1.0) if rest else 1.0)


def wilson(hits: int, trials: int, alpha: float = 0.05) -> Interval:
    """Two-sided score interval of a rate (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Assumes `trials` independent draws, counted once: not to be watched.

    >>> [round(value, 4) for value in wilson(19, 2000)]
    [0.0095, 0.0061, 0.0148]
    """
    if not 0 <= hits <= trials or not trials:
        raise InvalidValue(f"{hits} hits in {trials} trials: trials are at least 1, hits from 0 to trials")
    if not 0.0 < alpha < 1.0:
        raise InvalidValue(f"alpha {alpha} is no error rate: use a number between 0 and 1", param="alpha")
    z2 = NormalDist().inv_cdf(1.0 - alpha / 2.0) ** 2
    rate = hits / trials
    middle = (rate + z2 / (2 * trials)) / (1.0 + z2 / trials)
    half = sqrt(z2 * (rate * (1.0 - rate) / trials + z2 / (4 * trials * trials))) / (1.0 + z2 / trials)
    return Interval(rate, max(0.0, middle - half), min(1.0, middle + half))
