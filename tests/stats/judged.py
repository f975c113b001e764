"""Simulated judge scores: badness 1 − score, scores Beta with a given mean and sd .25, arms by a share."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from random import Random

from gateway.simulation.sessions import centred
from gateway.stats.prediction import RunningMean

Unit = tuple[bool, float, float, float]  # canary, badness, share, predicted
Run = list[int | None]


@lru_cache(maxsize=32)
def pool(mean: float, sd: float = 0.25, size: int = 50_000) -> tuple[float, ...]:
    """Draws of badness with this mean: drawing from them again is ten times faster than drawing them. They
    are centred, for a mean that is off by .002 moves a median by some units."""
    rng = Random(f"pool {mean} {sd}")
    total = mean * (1.0 - mean) / sd**2 - 1.0
    return tuple(centred([rng.betavariate(mean * total, (1.0 - mean) * total) for _ in range(size)], mean))


def units(rng: Random, stable: float, canary: float, share: float, canaries: int) -> Iterator[Unit]:
    """Units in order of pin until `canaries` of the canary were seen, each with its prediction."""
    pools = pool(stable), pool(canary)
    size = len(pools[0])
    mean = RunningMean(stable)
    while canaries:
        arm = rng.random() < share
        badness = pools[arm][int(rng.random() * size)]
        yield arm, badness, share, mean.get()
        mean.update(badness)
        canaries -= arm


def first_crossings(
    stream: Iterator[Unit],
    update: Callable[[bool, float, float, float], None],
    sums: Callable[[], list[float]],
    get: Callable[[], float],
    bars: list[float],
) -> Run:
    """For each ascending bar of log E the number of canary units at which it was reached, or None."""
    crossed: Run = []
    seen = 0
    for arm, badness, share, predicted in stream:
        update(arm, badness, share, predicted)
        seen += arm
        bar = bars[len(crossed)]
        while max(sums()) >= bar and get() >= bar:  # the mean of bettors is at most the best of them
            crossed.append(seen)
            if len(crossed) == len(bars):
                return crossed
            bar = bars[len(crossed)]
    return crossed + [None] * (len(bars) - len(crossed))
