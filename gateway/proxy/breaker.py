"""When an upstream is left alone: a circuit breaker (Nygard, Release It!, 2007), pure; time is an argument.

    state       event             next        what it means
    closed      tripped           open        too many failures in the window, or too many in a row
    closed      told to wait      open        the provider said retry-after
    open        answers again     half_open   the pause is over, and its port takes connections
    open        does not          open        the pause doubles
    half_open   proved            closed      enough calls in a row succeeded; one a second is let through
    half_open   failed            open        the pause doubles
    half_open   told to wait      open

An open breaker is not tried out on a client: whether the port answers is looked up beside the requests, so a
host that swallows connections costs nobody the time limit of connecting. Successes and failures of calls that
began before it opened change nothing.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from gateway.settings import Breaker as Rules

State = Literal["closed", "open", "half_open"]
Event = Literal["tripped", "wait", "reachable", "unreachable", "proved", "failed"]

TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    ("closed", "tripped"): "open",
    ("closed", "wait"): "open",
    ("open", "reachable"): "half_open",
    ("open", "unreachable"): "open",
    ("open", "wait"): "open",
    ("half_open", "proved"): "closed",
    ("half_open", "failed"): "open",
    ("half_open", "wait"): "open",
}

SLICES: Final = 10  # of the window
PROBE_EVERY: Final = 1.0  # s
NEVER: Final = float("-inf")


class BreakerStatus(NamedTuple):
    """`calls` and `failures` of the window; `opened` since the start; `looks_in`: s until an open one looks
    again."""

    state: State
    calls: int
    failures: int
    opened: int
    looks_in: float


class Breaker:
    """Times are monotonic seconds."""

    __slots__ = (
        "_in_a_row",
        "_pause",
        "_probed",
        "_proofs",
        "_rules",
        "_until",
        "_window",
        "opened",
        "state",
    )

    def __init__(self, rules: Rules) -> None:
        self.state: State = "closed"
        self.opened = 0
        self._rules = rules
        self._window = Window(rules.window)
        self._in_a_row = 0  # failures
        self._until = 0.0  # open: when it looks again
        self._pause = rules.pause
        self._probed = NEVER  # half-open: when the last call was let through
        self._proofs = 0

    # --- asked before a call

    def admits(self, now: float) -> bool:
        """Whether a call may be sent now; `admitted` says that it was."""
        if self.state == "closed":
            return True
        return self.state == "half_open" and now - self._probed >= PROBE_EVERY

    def admitted(self, now: float) -> None:
        self._probed = now

    def wants_look(self, now: float) -> bool:
        """Whether it is time to find out if the port answers."""
        return self.state == "open" and now >= self._until

    # --- told after it

    def succeeded(self, now: float) -> None:
        if self.state == "closed":
            self._in_a_row = 0
            self._window.add(now, failed=False)
        elif self.state == "half_open":
            self._proofs += 1
            if self._proofs >= self._rules.probes:
                self._go("proved", now)

    def failed(self, now: float) -> None:
        if self.state == "closed":
            self._in_a_row += 1
            self._window.add(now, failed=True)
            if self._in_a_row >= self._rules.consecutive or self._too_many(now):
                self._go("tripped", now)
        elif self.state == "half_open":
            self._go("failed", now)

    def told_to_wait(self, seconds: float, now: float) -> None:
        """The provider said retry-after."""
        self._go("wait", now)
        self._until = max(self._until, now + min(seconds, self._rules.retry_after_most))

    def looked(self, answers: bool, now: float) -> None:
        if self.state == "open":
            self._go("reachable" if answers else "unreachable", now)

    def status(self, now: float) -> BreakerStatus:
        calls, failures = self._window.counts(now)
        waits = max(self._until - now, 0.0) if self.state == "open" else 0.0
        return BreakerStatus(self.state, calls, failures, self.opened, waits)

    # --- the one place where the state changes

    def _go(self, event: Event, now: float) -> None:
        before, self.state = self.state, TRANSITIONS[self.state, event]
        if self.state == "closed":
            self._window.clear()
            self._in_a_row = 0
            self._pause = self._rules.pause
        elif self.state == "half_open":
            self._proofs = 0
            self._probed = NEVER
        elif event == "wait":
            self.opened += before != "open"
            self._until = max(self._until, now)
        else:
            self.opened += before != "open"
            self._until = now + self._pause
            self._pause = min(2 * self._pause, self._rules.pause_most)

    def _too_many(self, now: float) -> bool:
        calls, failures = self._window.counts(now)
        return calls >= self._rules.calls and failures >= self._rules.failures * calls


class Window:
    """Calls and failures of the last `seconds`, in slices that fall out one by one."""

    __slots__ = ("_calls", "_failures", "_newest", "_width")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / SLICES
        self.clear()

    def clear(self) -> None:
        self._calls = [0] * SLICES
        self._failures = [0] * SLICES
        self._newest = 0  # slices since time 0

    def add(self, now: float, *, failed: bool) -> None:
        at = self._turn(now)
        self._calls[at] += 1
        self._failures[at] += failed

    def counts(self, now: float) -> tuple[int, int]:
        self._turn(now)
        return sum(self._calls), sum(self._failures)

    def _turn(self, now: float) -> int:
        newest = int(now / self._width)
        for stale in range(max(self._newest + 1, newest - SLICES + 1), newest + 1):
            self._calls[stale % SLICES] = self._failures[stale % SLICES] = 0
        self._newest = max(self._newest, newest)
        return self._newest % SLICES
