"""What people are shown beside a rollout: a plan that its traffic cannot reach."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gateway.analysis.verdict import Verdict
from gateway.control import plan
from gateway.control.baseline import Beginning
from gateway.control.case import Summary
from gateway.control.plan import By, Under
from gateway.control.views import rollout_view, warnings
from gateway.domain.policy import POLICIES
from gateway.domain.prompt import Gate
from gateway.domain.rollout import Deployment, Rollout

ANN = By("ann", "because")


def started(policy: str = "standard") -> Rollout:
    empty = Deployment("support", live=1, gates={1: Gate("passed"), 2: Gate("passed")})
    under = Under(policy, POLICIES[policy])
    rollout = plan.start(empty, 2, under, id="r1", salt="s", now=0.0, by=ANN).deployment.rollout
    assert rollout is not None
    return rollout


def test_too_little_traffic_is_warned_of_with_what_it_could_decide() -> None:
    first, *rest = warnings(started(), 50.0)
    assert first == "at 50 sessions/h a decision takes 38.3 h; the maximum bake of standard is 24 h"
    assert "judge: a difference of 0.05 takes longer than 24 h; 0.0632 could be decided" in rest


def test_no_traffic_decides_nothing() -> None:
    assert warnings(started("fast"), 0.0) == (
        "no sessions are seen: nothing can be decided; the maximum bake of fast is 8 h",
    )


@pytest.mark.parametrize("per_hour", [None, 1000.0])
def test_enough_or_unknown_traffic_is_not_warned_of(per_hour: float | None) -> None:
    assert warnings(started(), per_hour) == ()


def test_what_needs_no_more_evidence_is_not_warned_of() -> None:
    rollout = started()
    for other in (
        replace(rollout, policy=None),
        replace(rollout, watch_since=9.0),
        replace(rollout, phase="rolled_back"),
    ):
        assert warnings(other, 5.0) == ()


def test_until_the_controller_has_seen_the_traffic_it_is_that_of_the_rollout_before() -> None:
    assert rollout_view(started(), 5.0).warnings == ()
    assert rollout_view(started(), 5.0, known=Beginning(sessions_per_hour=5.0)).warnings != ()


def test_gates_without_data_are_warned_of_until_they_have_passed() -> None:
    verdict = Verdict("bake", "gates", "waiting", 1, 9.0, without_data=("cost: none has a price",))
    seen = Summary("r1", 9.0, 3, 1000.0, verdict)
    assert rollout_view(started(), 9.0, seen).warnings == ("cost: none has a price",)
    assert rollout_view(replace(started(), watch_since=9.0), 9.0, seen).warnings == ()
    assert rollout_view(replace(started(), phase="aborted"), 9.0, seen).warnings == ()
