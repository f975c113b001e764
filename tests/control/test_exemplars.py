"""Requests that a verdict links to: what counts against the canary comes first, newest first."""

from __future__ import annotations

from gateway.control.exemplars import MOST, Exemplars
from gateway.domain.observation import Batch, Drawn, Evidence, Observed, Outcome


def observed(
    trace: bytes, outcome: Outcome = "ok", *, canary: bool = True, flags: tuple[str, ...] = ()
) -> Evidence:
    return Observed(Drawn(b"s", canary, 0.5, 1, 1, 0), True, False, 0, outcome, 1, flags=flags, trace=trace)


def test_the_newest_that_count_against_the_canary_come_first() -> None:
    exemplars = Exemplars()
    records = (
        observed(b"ok"),
        observed(b"failed", "prompt"),
        observed(b"stable", "prompt", canary=False),
        observed(b"flagged", flags=("secret",)),
        observed(b"", "prompt"),
    )
    exemplars.add(Batch("w", 1, 0, records))
    assert exemplars.newest() == [b"flagged", b"failed", b"stable", b"ok"]
    exemplars.add(Batch("w", 2, 0, tuple(observed(b"%d" % number, "prompt") for number in range(20))))
    assert exemplars.newest() == [b"%d" % number for number in range(19, 19 - MOST, -1)]
