"""What the next unit's badness is expected to be, from the units before it."""

from typing import Final

import msgspec

from gateway.stats.wealth import check_fraction

HALF_LIFE = 100  # units after which a unit's influence has halved
FLOOR: Final = 0.002  # near 0 or 1 a stake against the prediction could risk everything
CAP: Final = 0.98
STEP: Final = 1.0 - 2.0 ** (-1.0 / HALF_LIFE)


class RunningMean(msgspec.Struct):
    """Exponentially weighted mean of badness over both arms: m in the e-processes.

    m_{t+1} = m_t + (1 − 2^(−1/100)) (B_t − m_t), read between .002 and .98. Any m fixed before B is seen
    keeps the error rates; a good one makes the test fast, because it takes away what moves both arms
    together. Read it for a unit *before* the unit updates it. There is no `merge`: the weights are an order.

    Attributes: `value`, the mean, started from stable's mean before the rollout.

    >>> mean = RunningMean(0.2)
    >>> for _ in range(100):
    ...     mean.update(1.0)
    >>> round(mean.get(), 6)
    0.6
    """

    value: float

    def __post_init__(self) -> None:
        check_fraction(self.value, "start")

    def update(self, badness: float) -> None:
        if not 0.0 <= badness <= 1.0:
            check_fraction(badness, "badness")
        self.value += STEP * (badness - self.value)

    def get(self) -> float:
        """m, clipped to where bets are safe."""
        value = self.value
        return FLOOR if value < FLOOR else CAP if value > CAP else value
