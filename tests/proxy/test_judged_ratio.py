"""Which sessions are judged, at the scale at which a ratio can be seen: the recorder's own drawing, without
requests."""

from __future__ import annotations

from hashlib import blake2b

import pytest

from gateway.analysis.sampling import rates
from gateway.control import plan
from gateway.control.acting import Seen, rates_at
from gateway.control.plan import By, Under
from gateway.domain.assignment import bucket
from gateway.domain.judging import Item
from gateway.domain.observation import Drawn
from gateway.domain.pins import Pin
from gateway.domain.policy import Policy, read_policy
from gateway.domain.prompt import Gate
from gateway.domain.rollout import Deployment, Rollout
from gateway.proxy.choice import Choice
from gateway.proxy.judging import Said
from gateway.proxy.recorder import Recorder
from gateway.proxy.recorder import Seen as SeenRequest
from tests.proxy.test_recorder import Log

SESSIONS = 200_000


def started(policy: Policy, salt: str) -> Rollout:
    empty = Deployment("support", live=1, gates={1: Gate("passed"), 2: Gate("passed")})
    by = By("ann", "because")
    done = plan.start(empty, 2, Under("p", policy), id="r1", salt=salt, now=0.0, by=by).deployment
    assert done.rollout is not None
    return done.rollout


@pytest.mark.parametrize("salt", ["one", "another"])
@pytest.mark.parametrize(("weight", "ratio"), [(0.05, 3.0), (0.05, 1.0), (0.5, 1.0)])
def test_judged_sessions_keep_the_policy_s_ratio(weight: float, ratio: float, salt: str) -> None:
    policy = read_policy(
        {"extends": "standard", "stages": [weight, 0.9], "min_bake": [1, 1], "judged_first": ratio}
    )
    rollout = started(policy, salt)
    at = rollout.weights[0]
    assert (at.j1, at.j0) == rates(policy, weight, 1.0, 500.0, first_stage=True)[2:]
    assert rates_at(rollout, weight, Seen(1.0, None, 500.0))[2:] == (at.j1, at.j0)
    recorder = Recorder(Log(), writer="w", running=lambda: {"r1": rollout}, now=lambda: 60.0)
    judged = [0, 0]
    for number in range(SESSIONS):
        session = blake2b(number.to_bytes(8, "big"), digest_size=16).digest()
        canary = bucket(salt, session) < at.value
        pin = Pin("canary" if canary else "stable", 2 if canary else 1, at.value, 1.0, 1.0, True, True, 5.0)
        unit = recorder._unit("r1", session, pin)
        assert unit is not None
        judged[unit.canary] += unit.judged
    assert judged[0] / judged[1] == pytest.approx(ratio, rel=0.05)
    assert judged[1] == pytest.approx(weight * SESSIONS, rel=0.05)


def test_no_later_turn_is_handed_to_the_judge() -> None:
    """Five turns of each session, of which the first makes the pin."""
    policy = read_policy({"extends": "standard", "stages": [0.5, 0.9], "min_bake": [1, 1]})
    rollout = started(policy, "one")
    recorder = Recorder(
        Log(), writer="w", running=lambda: {"r1": rollout}, now=lambda: 60.0, buffer=1_000_000
    )
    handed: list[str] = []

    def judge(rollout: Rollout, unit: Drawn, said: Said) -> str:
        handed.append(Item("support", rollout.id, unit, 0.0, *said).id)
        return ""

    recorder.judge = judge
    for number in range(1000):
        session = number.to_bytes(8, "big")
        pin = Pin("stable", 1, 0.5, 1.0, 1.0, True, True, 5.0)
        said = Said(f"user: {number}", "Hello.", b"")
        seen = SeenRequest(5.0, "ok", 1.0, None, 9, False, None, said)
        unit = recorder._unit("r1", session, pin)
        assert unit is not None
        recorder._observe("r1", unit, seen, first=True)
        for _ in range(4):
            recorder.ended(Choice(1, "stable", "pin", "r1", session, pin=pin), seen)
    assert len(handed) == len(set(handed)) > 900
