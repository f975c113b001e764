"""The capital of a grid of bettors.

Every bettor k starts with 1 and stakes a fraction of what it has on each unit: its capital is multiplied by
1 + λ_k D. Where E[D | past] ≤ 0 no stake wins on average, so the capital is a non-negative supermartingale;
so is the mean over bettors, E; and by Ville's inequality P(E ever reaches 1/α) ≤ α, whenever one looks.

Source: Waudby-Smith & Ramdas 2024, Estimating means of bounded random variables by betting,
doi:10.1093/jrsssb/qkad009, arXiv:2010.09686. Later starts: Shin, Ramdas & Rinaldo, E-detectors,
arXiv:2203.03532.
"""

from collections.abc import Sequence
from math import exp, log, log1p

import msgspec

from gateway.errors import InvalidValue

EIGHT = 8  # bettors of a harm test: the case that is worth being written out


def evidence_for(alpha: float) -> float:
    """The log E at which a test of level `alpha` rejects: ln(1/α) (Ville 1939)."""
    if not 0.0 < alpha < 1.0:
        raise InvalidValue(f"alpha {alpha} is no error rate: use a number between 0 and 1", param="alpha")
    return -log(alpha)


def log_mean(logs: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """ln of the (weighted) mean of exp(logs), without overflow.

    A family of tests is their mean: whatever depends on whatever, the mean of e-processes is one, so the
    family keeps α as a whole. (α for each of its tests does not.)

    >>> round(log_mean([2.0, 0.0, -50.0]), 4)
    1.0283
    >>> round(log_mean([900.0, 900.0]), 4)
    900.0
    """
    if not logs:
        raise InvalidValue("a mean over no tests has no value: give at least one log E")
    top = max(logs)
    if weights is None:
        return top + log(sum([exp(value - top) for value in logs]) / len(logs))
    return top + log(sum([weight * exp(value - top) for weight, value in zip(weights, logs, strict=True)]))


class Wealth(msgspec.Struct):
    """log E of a grid of bettors that starts once, or once more at each of `later` planned moments.

    E = ½ E_first + ½ mean(E_later); a start that has not come yet counts 1, so the weights never move and E
    is an e-process however the moments are chosen, if they are chosen without looking ahead. An effect
    that begins late is not held back by what the first bettors lost before it.

    A later start is kept as the sums at its moment: what it has won since is the difference, so that any
    number of starts costs no more for each unit than one.

    Attributes: `sums`, ln capital of each bettor; `later`, how many more starts are planned; `marks`, the
    sums at each later start so far.

    >>> wealth = Wealth.of(2, later=1)
    >>> for _ in range(10):
    ...     wealth.bet(-0.1, (0.5, 2.0))
    >>> round(wealth.get(), 4)
    -0.3908
    >>> wealth.start()
    >>> for _ in range(10):
    ...     wealth.bet(0.2, (0.5, 2.0))
    >>> round(wealth.get(), 4)
    2.2022
    """

    sums: list[float]
    later: int = 0
    marks: list[list[float]] = []

    @classmethod
    def of(cls, bettors: int, *, later: int = 0) -> "Wealth":
        if bettors < 1 or later < 0:
            raise InvalidValue(f"{bettors} bettors with {later} later starts: need at least 1 and 0")
        return cls([0.0] * bettors, later)

    def bet(self, outcome: float, stakes: Sequence[float]) -> None:
        """Multiply bettor k's capital by 1 + λ_k D; every factor must be above zero."""
        self.sums = grow(self.sums, outcome, stakes)

    def add(self, gains: Sequence[float]) -> None:
        """ln of what each bettor has won on further units."""
        self.sums = _added(self.sums, gains)

    def start(self) -> None:
        """Open the next planned start at this moment."""
        if len(self.marks) >= self.later:
            raise InvalidValue(f"all {self.later} planned later starts have been opened")
        self.marks.append(list(self.sums))

    def get(self) -> float:
        """log E, a finite number."""
        first = log_mean(self.sums)
        if not self.later:
            return first
        unopened = self.later - len(self.marks)
        weight = 0.5 / self.later
        values, weights = [first], [0.5]
        for mark in self.marks:
            values.append(log_mean([now - then for now, then in zip(self.sums, mark, strict=True)]))
            weights.append(weight)
        if unopened:
            values.append(0.0)
            weights.append(weight * unopened)
        return log_mean(values, weights)

    def first(self) -> float:
        """log E of the first start alone, with all of the weight."""
        return log_mean(self.sums)

    def merge(self, other: "Wealth") -> None:
        """Add what the same bettors won on other units, with the same starts: the capitals multiply.

        Valid where neither side's stakes looked at the other side's units.
        """
        if (len(self.sums), self.later, len(self.marks)) != (len(other.sums), other.later, len(other.marks)):
            raise InvalidValue("only the same grid with the same starts can be merged")
        self.sums = _added(self.sums, other.sums)
        self.marks = [_added(mine, theirs) for mine, theirs in zip(self.marks, other.marks, strict=True)]


def grow(sums: Sequence[float], outcome: float, stakes: Sequence[float]) -> list[float]:
    """Each sum plus ln(1 + λ_k D). Written out for eight bettors, which takes half the time of the loop."""
    if len(stakes) != EIGHT:
        return [total + log1p(stake * outcome) for total, stake in zip(sums, stakes, strict=True)]
    s0, s1, s2, s3, s4, s5, s6, s7 = sums
    b0, b1, b2, b3, b4, b5, b6, b7 = stakes
    return [
        s0 + log1p(b0 * outcome),
        s1 + log1p(b1 * outcome),
        s2 + log1p(b2 * outcome),
        s3 + log1p(b3 * outcome),
        s4 + log1p(b4 * outcome),
        s5 + log1p(b5 * outcome),
        s6 + log1p(b6 * outcome),
        s7 + log1p(b7 * outcome),
    ]


def _added(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [one + another for one, another in zip(mine, theirs, strict=True)]


def check_fraction(value: float, what: str) -> float:
    """Return `value` if it lies in [0, 1]; NaN does not."""
    if not 0.0 <= value <= 1.0:
        raise InvalidValue(f"{what} {value} is not a number from 0 to 1", param=what)
    return value
