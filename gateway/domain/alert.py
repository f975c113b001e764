"""What people are told of: alerts, made of entries of the audit log and of nothing else.

Every change of what is served writes its entry in the same commit, so the log is the outbox: an alert cannot
be of something that did not happen, and nothing that happened can miss its alert. Its id is its entry's.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

from gateway.domain.audit import AuditEntry

AlertEvent = Literal["rollback", "promotion", "hold", "incident", "judge", "emergency", "release", "test"]
EVENTS: tuple[AlertEvent, ...] = get_args(AlertEvent)
HOLDS: tuple[AlertEvent, ...] = ("hold", "incident", "judge")  # what a release ends
TARGET = "alert:"  # + name: the subject of a test

_BY_ACTION: dict[str, AlertEvent] = {
    "roll_back": "rollback",
    "watch": "promotion",
    "promote": "promotion",
    "finish": "promotion",
    "hold": "hold",
    "release": "release",
    "emergency_deploy": "emergency",
    "revert": "emergency",
    "worse": "emergency",
    "test_alert": "test",
}
_BY_HOLD: dict[str, AlertEvent] = {"incident": "incident", "judge": "judge", "completeness": "judge"}
_SAYS = {
    "roll_back": "version {candidate} was rolled back; version {live} serves everyone",
    "watch": "version {candidate} is live and watched",
    "promote": "version {candidate} is live for everyone",
    "finish": "version {candidate} is live for everyone",
    "hold": "the rollout of version {candidate} waits ({hold})",
    "release": "the rollout of version {candidate} goes on",
    "advance": "the rollout of version {candidate} goes on: its next stage has begun",
    "record_gate": "version {live}, which is live, has failed its suite",
    "emergency_deploy": "version {live} is live by an emergency deploy",
    "revert": "the emergency deploy has expired: version {live} is live again",
    "worse": "version {live}, live by an emergency deploy, fails more often than the version before",
    "test_alert": "a test: nothing has happened",
}


class Alert(msgspec.Struct, frozen=True):
    """`id` is stable: whoever gets an alert twice knows it by that. `at` is store time, s; `entry` the audit
    entry's number. `rollout`, `candidate`, `hold` are null where it is about none."""

    id: str
    event: AlertEvent
    prompt: str
    summary: str
    at: float
    actor: str
    reason: str
    live: int | None
    rollout: str | None
    candidate: int | None
    hold: str | None
    entry: int


def alerts_of(entry: AuditEntry) -> tuple[Alert, ...]:
    """The alert that an entry is, and the release of a hold that ends with it."""
    return tuple(each for each in (alert_of(entry), _end_of_hold(entry)) if each is not None)


def _end_of_hold(entry: AuditEntry) -> Alert | None:
    """A rollout that was held and now is not, for another reason than that it goes on."""
    rollout = _object(_object(entry.before).get("rollout"))
    after = _object(entry.after)
    if not rollout.get("hold") or _object(after.get("rollout")).get("hold"):
        return None
    if _event(entry, after, None) == "release":
        return None
    candidate = rollout.get("candidate")
    return Alert(
        id=f"{entry.sequence}.{entry.hash[:12]}.hold",
        event="release",
        prompt=entry.subject,
        summary=f"{entry.subject}: the rollout of version {candidate} waits no longer: {entry.action}",
        at=entry.at,
        actor=entry.actor,
        reason=entry.reason,
        live=after.get("live"),
        rollout=rollout.get("id"),
        candidate=candidate,
        hold=None,
        entry=entry.sequence,
    )


def alert_of(entry: AuditEntry) -> Alert | None:
    """The alert that an entry of the audit log is, if it is one."""
    after = _object(entry.after)
    rollout = _object(after.get("rollout") or after.get("ended"))
    hold = rollout.get("hold")
    event = _event(entry, after, hold)
    if event is None:
        return None
    known = {"candidate": rollout.get("candidate"), "live": after.get("live"), "hold": hold}
    prompt = "" if event == "test" else entry.subject
    summary = _SAYS[entry.action].format(**known)
    return Alert(
        id=f"{entry.sequence}.{entry.hash[:12]}",
        event=event,
        prompt=prompt,
        summary=f"{prompt}: {summary}" if prompt else summary,
        at=entry.at,
        actor=entry.actor,
        reason=entry.reason,
        live=after.get("live"),
        rollout=rollout.get("id"),
        candidate=rollout.get("candidate"),
        hold=hold,
        entry=entry.sequence,
    )


def _event(entry: AuditEntry, after: dict[str, Any], hold: str | None) -> AlertEvent | None:
    match entry.action:
        case "hold":
            return _BY_HOLD.get(hold or "", "hold")
        case "advance":  # which ends a hold, too
            return "release" if _object(_object(entry.before).get("rollout")).get("hold") else None
        case "record_gate":  # of what an emergency deploy made live before it was known
            failed = _object(after.get("gate")).get("state") == "failed"
            return "emergency" if failed and after.get("version") == after.get("live") else None
    return _BY_ACTION.get(entry.action)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def target_of(entry: AuditEntry) -> str:
    """The one target that a test is for; "" if every one that wants the event gets it."""
    return entry.subject.removeprefix(TARGET) if entry.subject.startswith(TARGET) else ""
