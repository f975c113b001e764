"""How many bytes of request bodies one worker holds at a time.

Beyond the budget a request waits with its client's reading paused, in order; one that has waited too long
is answered 503. `release` wakes as many as fit.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from gateway.errors import Overloaded

PATIENCE: Final = 5.0  # s that a request waits for room


class Waiter(Protocol):
    def budget_granted(self) -> None: ...

    def budget_refused(self, error: Overloaded) -> None: ...


class BodyBudget:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._waiting: deque[tuple[Waiter, int, float]] = deque()
        self._waking = False

    @property
    def waiting(self) -> int:
        """Requests that wait for room."""
        return len(self._waiting)

    def take(self, size: int, waiter: Waiter, now: float) -> bool:
        """True if `size` bytes are granted at once; else `waiter` is called later."""
        if not self._waiting and self._fits(size):
            self.held += size
            return True
        self._waiting.append((waiter, size, now + PATIENCE))
        return False

    def grow(self, size: int) -> bool:
        """More for one that holds some already; it does not wait, since it could wait for itself."""
        if not self._fits(size):
            return False
        self.held += size
        return True

    def release(self, size: int) -> None:
        self.held -= size
        self._wake()

    def forget(self, waiter: Waiter) -> None:
        """The client left while it waited."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] is not waiter)
        self._wake()

    def sweep(self, now: float) -> None:
        while self._waiting and self._waiting[0][2] <= now:
            waiter, _, _ = self._waiting.popleft()
            waiter.budget_refused(
                Overloaded("request bodies fill this worker's memory budget; try again", retry_after=1.0)
            )

        self._wake()

    def _wake(self) -> None:
        """A loop, not a recursion through `release`: one that is woken may be done at once."""
        if self._waking:
            return
        self._waking = True
        try:
            while self._waiting and self._fits(self._waiting[0][1]):
                waiter, wanted, _ = self._waiting.popleft()
                self.held += wanted
                waiter.budget_granted()
        finally:
            self._waking = False

    def _fits(self, size: int) -> bool:
        return self.held + size <= self.limit or self.held == 0
