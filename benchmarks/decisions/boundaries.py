"""Sequential tests of other people, for comparison: one-sided, on a running sum of paired differences.

Each answers the height that the sum must exceed after n pairs, where one difference has standard deviation
`sd`. Formulas as in Kurennoy et al. 2025 (YEAST), arXiv:2406.16523; the two mixtures are two-sided intervals,
so one-sided at α is two-sided at 2α.
"""

from collections.abc import Callable, Sequence
from math import e, log, sqrt
from statistics import NormalDist

Boundary = Callable[[int], float]
Z = NormalDist().inv_cdf


def yeast(pairs: int, sd: float, alpha: float) -> Boundary:
    """Lévy's inequality: P(max S_n ≥ b) ≤ 2 P(S_N ≥ b), one height for all looks up to N = `pairs`."""
    height = Z(1.0 - alpha / 2.0) * sqrt(pairs) * sd
    return lambda n: height


def gavi(planned: int, sd: float, alpha: float) -> Boundary:
    """Normal mixture tuned to be tightest at `planned` pairs (Howard et al. 2021, as Eppo uses it)."""
    squared = (2.0 * alpha) ** 2
    rho = planned / (log(log(e / squared)) - log(squared))
    return lambda n: sd * sqrt((n + rho) * log((n + rho) / (rho * squared)))


def msprt(phi: float, sd: float, alpha: float) -> Boundary:
    """Normal mixture with `phi` in squared signal to noise (Lindon, Sanden & Shirikian 2022, Netflix): n/2 is
    the residual variance over that of the estimate after n pairs."""
    squared = (2.0 * alpha) ** 2
    return lambda n: sd * sqrt(2.0 * (phi + n / 2.0) * log((phi + n / 2.0) / (phi * squared)))


def bonferroni(looks: int, sd: float, alpha: float) -> Boundary:
    """An ordinary z-test at each look, at level α/looks."""
    z = Z(1.0 - alpha / looks)
    return lambda n: z * sqrt(n) * sd


def heights(boundary: Boundary, pairs: int) -> list[float]:
    return [boundary(n) for n in range(1, pairs + 1)]


def crosses(sums: Sequence[float], boundary: Sequence[float]) -> bool:
    return any(total > height for total, height in zip(sums, boundary, strict=True))
