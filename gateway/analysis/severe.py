"""Severe flags: what a second detector or a person confirms counts by itself, not as a rate.

    seen         by one detector: nothing follows but a look by others
    confirmed    the same flag by two detectors, or by a person: real
    cleared      a person says that it is none, and nothing makes it one again

The first `severe_hold` canary sessions with a confirmed flag hold the rollout, `severe_rollback` of them roll
it back if no stable session has had one (docs/adr/0026-severe-flags.md).
"""

from __future__ import annotations

import msgspec

from gateway.analysis.rules import Rules
from gateway.domain.observation import Drawn, Flagged
from gateway.domain.safety import LOCAL, PERSON, is_severe

MOST = 2000  # sessions that are remembered; beyond it the oldest that is not confirmed goes


class Suspicion(msgspec.Struct, array_like=True):
    """One session: by flag, which detectors saw it."""

    canary: bool
    seen: dict[str, list[str]] = {}
    confirmed: bool = False
    cleared: bool = False


class Severe(msgspec.Struct):
    """`found_at`: when the canary had enough of them to be rolled back."""

    sessions: dict[str, Suspicion] = {}
    confirmed: list[int] = msgspec.field(default_factory=lambda: [0, 0])  # stable, canary
    found_at: float | None = None

    def observed(self, drawn: Drawn, flags: tuple[str, ...], clock: float, rules: Rules) -> None:
        """Flags that the worker saw in an answer."""
        for flag in flags:
            if is_severe(flag):
                self._see(drawn, flag, LOCAL, clock, rules)

    def told(self, record: Flagged, clock: float, rules: Rules) -> None:
        """Another detector, or a person, has looked."""
        drawn = record.unit
        if record.cleared:
            self._settle(self._of(drawn), confirmed=False)
            self._of(drawn).cleared = True
        else:
            self._see(drawn, record.flag, record.by, clock, rules)

    def _see(self, drawn: Drawn, flag: str, by: str, clock: float, rules: Rules) -> None:
        suspicion = self._of(drawn)
        detectors = suspicion.seen.setdefault(flag, [])
        if by not in detectors:
            detectors.append(by)
        real = len(detectors) > 1 or by.startswith(PERSON)
        if not real or suspicion.cleared:
            return
        self._settle(suspicion, confirmed=True)
        if self.found_at is None and self.confirmed[1] >= rules.severe_rollback and not self.confirmed[0]:
            self.found_at = clock

    def _of(self, drawn: Drawn) -> Suspicion:
        session = drawn.session.hex()
        known = self.sessions.get(session)
        if known is None:
            if len(self.sessions) >= MOST:
                kept = (name for name, each in self.sessions.items() if not each.confirmed)
                self.sessions.pop(next(kept, next(iter(self.sessions))))
            known = self.sessions[session] = Suspicion(drawn.canary)
        return known

    def _settle(self, suspicion: Suspicion, *, confirmed: bool) -> None:
        if suspicion.confirmed != confirmed:
            suspicion.confirmed = confirmed
            self.confirmed[suspicion.canary] += 1 if confirmed else -1

    def holds(self, rules: Rules) -> bool:
        return self.confirmed[1] >= rules.severe_hold

    def shown(self) -> str:
        """Which flags, most frequent first."""
        counts: dict[str, int] = {}
        for suspicion in self.sessions.values():
            if suspicion.canary and suspicion.confirmed:
                for flag in suspicion.seen:
                    counts[flag] = counts.get(flag, 0) + 1
        return ", ".join(sorted(counts, key=lambda flag: (-counts[flag], flag)))


def thinned(drawn: Drawn) -> bool:
    """Whether an event that is looked for in judged sessions only may count.

    Judged are unlike shares of the arms, `j1` and `j0`. Of the arm that is judged more only so many count as
    of the other, drawn by the session's hash: then an event is as likely to be of either arm as their
    measured sessions are, if the arms are alike."""
    judged = drawn.j1 if drawn.canary else drawn.j0
    least = min(drawn.j1, drawn.j0)
    return judged > 0.0 and int.from_bytes(drawn.session[-4:], "big") < least / judged * 2**32
