"""One open session, and the memory of those that are closed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import inf

import msgspec
from mmh3 import mmh3_x64_128_utupledigest

from gateway.analysis.bloom import all_set, set_all
from gateway.domain.observation import Drawn
from gateway.errors import InvalidValue
from gateway.stats.eprocess import measured_share

SAFETY, ERROR = 1, 2  # bits of `events`
SMALLEST, LARGEST = 4096, 2**20  # bytes of a filter: for 2,700 and 700,000 sessions
BITS_EACH = 12


class Unit(msgspec.Struct, array_like=True, gc=False):
    """A measured session until nothing can be added to it. `share`, `judged_share`: π among measured and
    among judged sessions. `requests`: counted so far. `ended`: its first request has; `answered`: there is
    an answer to be judged. `first_reached`, `reached`: the first request, any that counts, was not failed by
    the provider before the model saw it. `events`: bits seen. `folded`: its watermark has passed; `missed`:
    before its first request had ended. `early`: an event of it enters harm before it is final."""

    session: bytes
    canary: bool
    share: float
    judged_share: float
    pinned_at: float
    judged: bool
    requests: int = 0
    ended: bool = False
    answered: bool = False
    events: int = 0
    folded: bool = False
    missed: bool = False
    early: bool = False
    total: float | None = None
    first_token: float | None = None
    tokens: float | None = None
    cost: float | None = None
    score: float | None = None
    first_reached: bool = False
    reached: bool = False


def open_unit(drawn: Drawn) -> Unit | None:
    """None for a pin that cannot have been drawn: no probability belongs to it."""
    try:
        share = _share(drawn.weight, drawn.q1, drawn.q0)
        judged_share = _share(drawn.weight, drawn.q1 * drawn.j1, drawn.q0 * drawn.j0) if drawn.judged else 0.0
    except InvalidValue:
        return None
    canary = drawn.canary
    if not (_possible(canary, share) and (not drawn.judged or _possible(canary, judged_share))):
        return None
    return Unit(drawn.session, canary, share, judged_share, drawn.pinned_at, drawn.judged)


def chosen(units: Sequence[Unit], number: int) -> list[Unit]:
    """By session: a keyed hash, which says nothing about the arm."""
    return sorted(units, key=_session)[:number]


def order(unit: Unit) -> tuple[float, bytes]:
    """In order of pin, whole."""
    return unit.pinned_at, unit.session


def amount(value: float | None) -> float | None:
    """None for what is no amount."""
    return float(value) if value is not None and 0.0 <= value < inf else None


def _session(unit: Unit) -> bytes:
    return unit.session


def _possible(canary: bool, share: float) -> bool:
    return 0.0 < share < 1.0 or share == canary


@lru_cache(maxsize=1024)  # a rollout knows a handful of weights
def _share(weight: float, canary_rate: float, stable_rate: float) -> float:
    return measured_share(weight, canary_rate, stable_rate)


class Seen(msgspec.Struct):
    """Sessions that were units already, in bounded memory: a session is one unit, also when its pin expired.

    Bloom filters (doi:10.1145/362686.362692), each twice as large as the one before, up to `LARGEST`, and
    then the oldest is forgotten. A false positive (below 2 %) leaves a session out; it depends on nothing
    but the session's hash, so it does so in both arms alike.
    """

    filters: list[bytearray] = msgspec.field(default_factory=lambda: [bytearray(SMALLEST)])
    held: int = 0  # in the newest

    def add(self, session: bytes) -> bool:
        """True if it was not there."""
        low, high = mmh3_x64_128_utupledigest(session, 0x5EE4)
        for bits in self.filters:
            if all_set(bits, low % (len(bits) * 8), high % (len(bits) * 8)):
                return False
        newest = self.filters[-1]
        if self.held * BITS_EACH >= len(newest) * 8:
            newest = self._grown(len(newest))
        set_all(newest, low % (len(newest) * 8), high % (len(newest) * 8))
        self.held += 1
        return True

    def _grown(self, size: int) -> bytearray:
        newest = bytearray(min(2 * size, LARGEST))
        if size >= LARGEST:
            del self.filters[0]
        self.filters.append(newest)
        self.held = 0
        return newest
