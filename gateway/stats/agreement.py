"""How well a judge agrees with people on yes and no.

Sources: Cohen 1960, A coefficient of agreement for nominal scales, doi:10.1177/001316446002000104; its error:
Fleiss, Cohen & Everitt 1969, Large sample standard errors of kappa and weighted kappa, doi:10.1037/h0028106.
"""

from math import sqrt
from statistics import NormalDist

import msgspec

from gateway.errors import InvalidValue
from gateway.stats.intervals import Interval, wilson


class Agreement(msgspec.Struct, frozen=True):
    """Counts of what both said: `both` yes, `missed` (only the person said yes), `false` (only the judge
    did), `neither`."""

    both: int = 0
    missed: int = 0
    false: int = 0
    neither: int = 0

    def plus(self, person: bool, judge: bool) -> "Agreement":
        """With one more pair of answers."""
        return Agreement(
            self.both + (person and judge),
            self.missed + (person and not judge),
            self.false + (judge and not person),
            self.neither + (not person and not judge),
        )

    @property
    def pairs(self) -> int:
        return self.both + self.missed + self.false + self.neither

    @property
    def yes(self) -> int:
        """Pairs that the person said yes to."""
        return self.both + self.missed

    def true_positives(self, alpha: float = 0.05) -> Interval | None:
        """P(judge yes | person yes), with Wilson's interval; None without a yes."""
        return wilson(self.both, self.yes, alpha) if self.yes else None

    def false_positives(self, alpha: float = 0.05) -> Interval | None:
        """P(judge yes | person no); None without a no."""
        noes = self.pairs - self.yes
        return wilson(self.false, noes, alpha) if noes else None

    def kappa(self, alpha: float = 0.05) -> Interval | None:
        """Agreement beyond chance, κ = (p_o − p_e)/(1 − p_e), in [−1, 1], with an interval for large samples.
        None where chance alone agrees wholly: one of the two gives one answer only, or there are no pairs.

        >>> [round(value, 3) for value in Agreement(45, 15, 25, 15).kappa()]
        [0.13, -0.063, 0.324]
        """
        if not 0.0 < alpha < 1.0:
            raise InvalidValue(f"alpha {alpha} is no error rate: use a number between 0 and 1", param="alpha")
        total = self.pairs
        cells = [[self.both, self.missed], [self.false, self.neither]]
        if not total:
            return None
        shares = [[count / total for count in row] for row in cells]
        person = [sum(row) for row in shares]
        judge = [shares[0][at] + shares[1][at] for at in (0, 1)]
        observed = shares[0][0] + shares[1][1]
        chance = sum(one * other for one, other in zip(person, judge, strict=True))
        if chance >= 1.0 - 1e-12 or 0.0 in (*person, *judge):
            return None
        kappa = (observed - chance) / (1.0 - chance)
        agreed = sum(
            shares[i][i] * ((1.0 - chance) - (judge[i] + person[i]) * (1.0 - observed)) ** 2 for i in (0, 1)
        )
        apart = (1.0 - observed) ** 2 * sum(
            shares[i][j] * (judge[i] + person[j]) ** 2 for i, j in ((0, 1), (1, 0))
        )
        off = (observed * chance - 2.0 * chance + observed) ** 2
        variance = max(agreed + apart - off, 0.0) / (total * (1.0 - chance) ** 4)
        half = NormalDist().inv_cdf(1.0 - alpha / 2.0) * sqrt(variance)
        return Interval(kappa, max(kappa - half, -1.0), min(kappa + half, 1.0))
