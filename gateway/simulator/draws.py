"""Every chance of one request, drawn once from a keyed hash: nothing else in the simulator is random."""

from collections.abc import Callable
from hashlib import blake2b
from statistics import NormalDist
from struct import Struct
from typing import NamedTuple

SPAN = 1 << 32
_GRID = 4096
_NORMAL = tuple(NormalDist().inv_cdf((i + 0.5) / _GRID) for i in range(_GRID))
_unpack: Callable[[bytes], tuple[int, ...]] = Struct("<12I").unpack


class Draws(NamedTuple):
    """Independent uniform integers in [0, 2**32), one for each thing that is left to chance."""

    fault: int
    error: int
    refusal: int
    flag: int
    quality: int
    length: int
    speed: int
    text: int
    tool: int
    broken: int
    noise: int
    identity: int


def draw(seed: int, identity: bytes) -> Draws:
    """Return the draws of the request that `identity` names, under a scenario's seed (0 to 2**63)."""
    digest = blake2b(identity, digest_size=48, key=seed.to_bytes(8, "little")).digest()
    return Draws._make(_unpack(digest))


def chance(rate: float, number: int) -> bool:
    """True with probability `rate`."""
    return number < rate * SPAN


def normal(number: int) -> float:
    """Standard normal deviate on a grid of 4096 quantiles (range about ±3.7)."""
    return _NORMAL[number * _GRID >> 32]
