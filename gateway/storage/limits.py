"""Every call of a store has a limit and a breaker: a slow store is worse than a dead one.

After `failures` failed calls in a row (time-outs count) the breaker is open: calls fail at once for
`cool_down` seconds, then one of them is let through as a probe and decides whether it closes again. Only
faults of the store count; a lost compare-and-set is an answer.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from gateway.errors import ConfigError, StoreUnavailable

Clock = Callable[[], float]  # seconds; only differences count


@dataclass(frozen=True, slots=True)
class Limits:
    call: float = 2.0  # seconds, for every call but look-ups
    lookup: float = 0.05  # seconds, for `get_key`: somebody's request waits for it
    failures: int = 5  # in a row, until the breaker opens
    cool_down: float = 1.0  # seconds until a probe

    def __post_init__(self) -> None:
        for name in ("call", "lookup", "failures", "cool_down"):
            value = getattr(self, name)
            if value <= 0:
                raise ConfigError(f"store limit {name} must be above 0, not {value}", param=name)


DEFAULT_LIMITS = Limits()


class Breaker:
    """Closed, open, or half open while a probe is under way."""

    def __init__(self, *, failures: int = 5, cool_down: float = 1.0, clock: Clock = time.monotonic) -> None:
        self._threshold = failures
        self._cool_down = cool_down
        self._clock = clock
        self._failures = 0
        self._retry_at = 0.0
        self._probing = False

    def admit(self) -> None:
        """Raise `StoreUnavailable` if nothing may be tried now."""
        if self._failures < self._threshold:
            return
        wait = self._retry_at - self._clock()
        if self._probing or wait > 0:
            raise StoreUnavailable(
                f"the store failed {self._failures} times in a row and is given time to recover",
                retry_after=max(wait, 0.0),
            )
        self._probing = True

    def succeeded(self) -> None:
        self._failures = 0
        self._probing = False

    def failed(self) -> None:
        self._failures += 1
        self._probing = False
        self._retry_at = self._clock() + self._cool_down

    def abandoned(self) -> None:
        """The caller left before the store answered: that says nothing about the store."""
        self._probing = False


class Guard:
    """`async with guard(): …` around one call. `faults` are the driver's errors, which callers never see."""

    def __init__(self, limit: float, breaker: Breaker, faults: tuple[type[Exception], ...]) -> None:
        self.limit = limit
        self.breaker = breaker
        self.faults = faults

    def __call__(self) -> "Guarded":
        return Guarded(self)


class Guarded:
    """One call. A class, because a look-up is on a request's way and a generator costs twice as much."""

    __slots__ = ("_guard", "_timeout")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._timeout = asyncio.timeout(guard.limit)

    async def __aenter__(self) -> None:
        self._guard.breaker.admit()
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        guard = self._guard
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            error = late
        if isinstance(error, TimeoutError):  # before the faults: it is an OSError, as a refused connection is
            guard.breaker.failed()
            raise StoreUnavailable(f"the store did not answer within {guard.limit:g} s") from error
        if isinstance(error, guard.faults):
            guard.breaker.failed()
            raise StoreUnavailable(f"the store failed: {str(error) or type(error).__name__}") from error
        if isinstance(error, asyncio.CancelledError):
            guard.breaker.abandoned()
        else:
            guard.breaker.succeeded()


class Watermark:
    """The highest revision this process has seen, and whether the store fell behind it.

    A store that notices that it may have lost commits leaps over the revisions it may have given out
    (`leap` = the last before, the first after): whoever saw one in between saw a commit that is gone.
    """

    def __init__(self) -> None:
        self.regressed = False
        self._highest = 0

    def observe(self, revision: int, leap: tuple[int, int] = (0, 0)) -> None:
        before, after = leap
        if revision < self._highest or before < self._highest < after:
            self.regressed = True
        self._highest = max(self._highest, revision)
