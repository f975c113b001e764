"""Which entries of the audit log are alerts, and what they say."""

from typing import Any

import pytest

from gateway.domain import audit
from gateway.domain.alert import alert_of, alerts_of, target_of

ROLLOUT = {"id": "0a", "candidate": 2, "baseline": 1, "hold": None}


def entry(action: str, after: Any, subject: str = "support-agent") -> audit.AuditEntry:
    return audit.append(None, at=5.0, actor="ann", action=action, subject=subject, reason="why", after=after)


@pytest.mark.parametrize(
    ("action", "after", "event", "summary"),
    [
        (
            *("roll_back", {"live": 1, "rollout": None, "ended": ROLLOUT}, "rollback"),
            "support-agent: version 2 was rolled back; version 1 serves everyone",
        ),
        (
            "watch",
            {"live": 2, "rollout": ROLLOUT},
            "promotion",
            "support-agent: version 2 is live and watched",
        ),
        (
            *("promote", {"live": 2, "rollout": None, "ended": ROLLOUT}, "promotion"),
            "support-agent: version 2 is live for everyone",
        ),
        (
            *("hold", {"live": 1, "rollout": ROLLOUT | {"hold": "srm"}}, "hold"),
            "support-agent: the rollout of version 2 waits (srm)",
        ),
        (
            *("hold", {"live": 1, "rollout": ROLLOUT | {"hold": "incident"}}, "incident"),
            "support-agent: the rollout of version 2 waits (incident)",
        ),
        *[
            (
                *("hold", {"live": 1, "rollout": ROLLOUT | {"hold": hold}}, "judge"),
                f"support-agent: the rollout of version 2 waits ({hold})",
            )
            for hold in ("judge", "completeness")
        ],
        (
            *("hold", {"live": 1, "rollout": ROLLOUT | {"hold": "approval"}}, "hold"),
            "support-agent: the rollout of version 2 waits (approval)",
        ),
        (
            *("record_gate", {"live": 3, "version": 3, "gate": {"state": "failed"}}, "emergency"),
            "support-agent: version 3, which is live, has failed its suite",
        ),
        (
            *("release", {"live": 1, "rollout": ROLLOUT}, "release"),
            "support-agent: the rollout of version 2 goes on",
        ),
        (
            *("emergency_deploy", {"live": 3, "rollout": None}, "emergency"),
            "support-agent: version 3 is live by an emergency deploy",
        ),
        (
            *("revert", {"live": 1, "rollout": None}, "emergency"),
            "support-agent: the emergency deploy has expired: version 1 is live again",
        ),
    ],
)
def test_what_people_are_told_of(action: str, after: Any, event: str, summary: str) -> None:
    written = entry(action, after)
    alert = alert_of(written)
    assert alert is not None
    assert (alert.event, alert.summary, alert.prompt) == (event, summary, "support-agent")
    assert alert.id == f"1.{written.hash[:12]}"
    assert (alert.at, alert.actor, alert.reason, alert.entry) == (5.0, "ann", "why", 1)


@pytest.mark.parametrize(
    "action", ["push", "deploy", "start", "pause", "abort", "size", "refused", "create_token"]
)
def test_what_is_no_alert(action: str) -> None:
    assert alert_of(entry(action, {"live": 1, "rollout": ROLLOUT})) is None


@pytest.mark.parametrize(("version", "state"), [(3, "passed"), (2, "failed"), (3, "pending")])
def test_gates_of_what_is_not_live_or_has_not_failed_are_none(version: int, state: str) -> None:
    after = {"live": 3, "version": version, "gate": {"state": state}}
    assert alert_of(entry("record_gate", after)) is None


@pytest.mark.parametrize(("hold", "event"), [("srm", "release"), (None, None)])
def test_a_stage_that_begins_ends_a_hold(hold: str | None, event: str | None) -> None:
    before = {"live": 1, "rollout": ROLLOUT | {"hold": hold}}
    after = {"live": 1, "rollout": ROLLOUT}
    written = audit.append(
        None, at=5.0, actor="a", action="advance", subject="p", reason="", before=before, after=after
    )
    alert = alert_of(written)
    assert (None if alert is None else alert.event) == event


def test_a_test_is_of_one_target_and_no_prompt() -> None:
    written = entry("test_alert", None, "alert:pager")
    alert = alert_of(written)
    assert alert is not None
    assert (alert.event, alert.prompt, target_of(written)) == ("test", "", "pager")
    assert target_of(entry("roll_back", None)) == ""


@pytest.mark.parametrize(
    ("action", "after", "events"),
    [
        (
            "roll_back",
            {"live": 1, "rollout": None, "ended": ROLLOUT | {"hold": "srm"}},
            ["rollback", "release"],
        ),
        ("abort", {"live": 1, "rollout": None, "ended": ROLLOUT}, ["release"]),
        ("emergency_deploy", {"live": 3, "rollout": None}, ["emergency", "release"]),
        ("watch", {"live": 2, "rollout": ROLLOUT}, ["promotion", "release"]),
        ("release", {"live": 1, "rollout": ROLLOUT}, ["release"]),
        ("advance", {"live": 1, "rollout": ROLLOUT}, ["release"]),
        ("pause", {"live": 1, "rollout": ROLLOUT | {"hold": "srm"}}, []),
    ],
)
def test_a_hold_is_released_once_whatever_ends_it(action: str, after: Any, events: list[str]) -> None:
    before = {"live": 1, "rollout": ROLLOUT | {"hold": "srm"}}
    written = audit.append(
        None,
        at=5.0,
        actor="ann",
        action=action,
        subject="support-agent",
        reason="why",
        before=before,
        after=after,
    )
    found = alerts_of(written)
    assert [each.event for each in found] == events
    assert len({each.id for each in found}) == len(found)
    assert all((each.rollout, each.candidate) == ("0a", 2) for each in found if each.event == "release")
