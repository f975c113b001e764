"""Units of one comparison between two looks, in plain numbers.

A test's log E is looked at once for each batch, not once for each unit. Between two looks a bettor's capital
is kept as a product, and its logarithm is taken when somebody looks, or before the product leaves what a
double holds: the same sum of ln(1 + λ_k D), at a fraction of the time. Written out, and compiled (setup.py):
the fold spends most of its time here.

Formulas, bounds and sources are those of `eprocess`, `intervals` and `prediction`; the tests compare with
them.
"""

from __future__ import annotations

from math import log
from typing import Final

from gateway.stats.eprocess import ODDS, RISK, check_unit
from gateway.stats.prediction import CAP, FLOOR, STEP

SPILL: Final = 64  # units: every factor lies between .1 and 50, so a product between 1e-64 and 1e109


class Bets:
    """What the eight bettors of one test have won since the last `take`. `b0` to `b7`: their stakes at
    `share`; `p0` to `p7`: products of the newest `units` factors; `sums`: ln of those before, where there
    were so many (`spilled`)."""

    def __init__(self) -> None:
        self.share = -1.0
        self.b0 = self.b1 = self.b2 = self.b3 = self.b4 = self.b5 = self.b6 = self.b7 = 0.0
        self.p0 = self.p1 = self.p2 = self.p3 = self.p4 = self.p5 = self.p6 = self.p7 = 1.0
        self.units = 0
        self.spilled = False
        self.sums: list[float] = [0.0] * len(ODDS)

    def bet(self, outcome: float, share: float, limit: float) -> None:
        """Each capital times 1 + min(λ_k, limit) D."""
        if share != self.share:
            self._stake(share)
        self.p0 *= 1.0 + (self.b0 if self.b0 < limit else limit) * outcome
        self.p1 *= 1.0 + (self.b1 if self.b1 < limit else limit) * outcome
        self.p2 *= 1.0 + (self.b2 if self.b2 < limit else limit) * outcome
        self.p3 *= 1.0 + (self.b3 if self.b3 < limit else limit) * outcome
        self.p4 *= 1.0 + (self.b4 if self.b4 < limit else limit) * outcome
        self.p5 *= 1.0 + (self.b5 if self.b5 < limit else limit) * outcome
        self.p6 *= 1.0 + (self.b6 if self.b6 < limit else limit) * outcome
        self.p7 *= 1.0 + (self.b7 if self.b7 < limit else limit) * outcome
        self.units += 1
        if self.units == SPILL:
            self._spill()
            self.spilled = True

    def take(self, before: list[float]) -> list[float]:
        """`before`, plus ln of what each has won since the last time; that is forgotten here."""
        if self.spilled:
            self._spill()
            before = [total + won for total, won in zip(before, self.sums, strict=True)]
            self.sums = [0.0] * len(ODDS)
            self.spilled = False
            return before
        if not self.units:
            return before
        sums = [
            before[0] + log(self.p0),
            before[1] + log(self.p1),
            before[2] + log(self.p2),
            before[3] + log(self.p3),
            before[4] + log(self.p4),
            before[5] + log(self.p5),
            before[6] + log(self.p6),
            before[7] + log(self.p7),
        ]
        self._clear()
        return sums

    def _stake(self, share: float) -> None:
        self.share = share
        stakes = [(odds - 1.0) / (1.0 + share * (odds - 1.0)) for odds in ODDS]
        self.b0, self.b1, self.b2, self.b3 = stakes[0], stakes[1], stakes[2], stakes[3]
        self.b4, self.b5, self.b6, self.b7 = stakes[4], stakes[5], stakes[6], stakes[7]

    def _spill(self) -> None:
        won = [self.p0, self.p1, self.p2, self.p3, self.p4, self.p5, self.p6, self.p7]
        self.sums = [total + log(product) for total, product in zip(self.sums, won, strict=True)]
        self._clear()

    def _clear(self) -> None:
        self.p0 = self.p1 = self.p2 = self.p3 = self.p4 = self.p5 = self.p6 = self.p7 = 1.0
        self.units = 0


class Pending:
    """One comparison's units since the last look: harm, gate, prediction and effect.

    >>> pending = Pending(margin=0.0, tolerance=0.0, mean=0.2)
    >>> for _ in range(20):
    ...     pending.fold(True, 0.9, 0.5)
    ...     pending.fold(False, 0.2, 0.5)
    >>> [round(won, 2) for won in pending.harm.take([0.0] * 8)]
    [0.66, 1.51, 3.04, 4.76, 6.74, 8.36, 9.89, 10.67]

    `margin` ε; `tolerance` δ, 0 where there is no gate; `mean`: the prediction before it is clipped.
    Of stable (0) and canary (1): `seen` units and their `badness`. The rest as in `intervals.Effect`."""

    def __init__(self, margin: float, tolerance: float, mean: float) -> None:
        self.margin = margin
        self.tolerance = tolerance
        self.mean = mean
        self.harm = Bets()
        self.gate = Bets()
        self.clear()

    def clear(self) -> None:
        """Forget what has been taken over; the prediction stays."""
        self.seen0 = self.seen1 = 0
        self.badness0 = self.badness1 = 0.0
        self.difference = self.squares = self.information = 0.0

    @property
    def units(self) -> int:
        return self.seen0 + self.seen1

    def fold(self, canary: bool, badness: float, share: float) -> None:
        """One unit enters every test, with the prediction from the units before it. Raises `InvalidValue`,
        and changes nothing, if it breaks a bound."""
        mean = self.mean
        if not (0.0 <= badness <= 1.0 and 0.0 < share < 1.0):
            check_unit(canary, badness, share, mean)
        m = FLOOR if mean < FLOOR else CAP if mean > CAP else mean
        rest = 1.0 - share
        deviation = badness - m
        harm = rest * (deviation - self.margin) if canary else -share * deviation
        if harm != 0.0:
            worst, other = rest * (self.margin + m), share * (1.0 - m)
            self.harm.bet(harm, share, RISK / (worst if worst > other else other))
        tolerance = self.tolerance
        if tolerance > 0.0:
            shown = rest * (tolerance - deviation) if canary else share * deviation
            if shown != 0.0:
                worst, other = rest * (1.0 - tolerance - m), share * m
                self.gate.bet(shown, share, RISK / (worst if worst > other else other))
        d = rest * deviation if canary else -share * deviation
        self.difference += d
        self.squares += d * d
        self.information += share * rest
        if canary:
            self.seen1 += 1
            self.badness1 += badness
        else:
            self.seen0 += 1
            self.badness0 += badness
        self.mean = mean + STEP * (badness - mean)


def may_reach(sums: list[float], marks: list[list[float]], bar: float) -> bool:
    """False if no start's best bettor has won `bar`: then no mean over bettors and starts has."""
    for now in sums:
        if now >= bar:
            return True
    for mark in marks:
        for index in range(len(ODDS)):
            if sums[index] - mark[index] >= bar:
                return True
    return False
