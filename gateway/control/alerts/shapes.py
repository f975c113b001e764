"""An alert in the shape of each kind of target: body and headers, ready to send.

A webhook is signed over its time and body, so that it can neither be forged nor replayed much later:

    x-prompt-canary-signature: t=1700000000,s=HEX[,s=HEX]     HEX = HMAC-SHA-256(secret, "1700000000." + body)

Slack: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.
PagerDuty: https://developer.pagerduty.com/docs/send-alert-event (Events API v2).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, NamedTuple

import msgspec

from gateway.domain.alert import HOLDS, Alert, AlertEvent
from gateway.settings.alerts import AlertTarget

SIGNATURE, ID = "x-prompt-canary-signature", "x-prompt-canary-id"
SUMMARY_MOST = 1024  # characters; PagerDuty's limit
SEVERITY: dict[AlertEvent, str] = {
    "rollback": "error",
    "incident": "critical",
    "judge": "warning",
    "emergency": "critical",
    "hold": "warning",
    "promotion": "info",
    "release": "info",
    "test": "info",
}
SIGN: dict[AlertEvent, str] = {
    "rollback": ":rewind:",
    "incident": ":fire:",
    "judge": ":scales:",
    "emergency": ":rotating_light:",
    "hold": ":hourglass:",
    "promotion": ":white_check_mark:",
    "release": ":arrow_forward:",
    "test": ":speech_balloon:",
}


class Message(NamedTuple):
    body: bytes
    headers: dict[str, str]


def message(target: AlertTarget, alert: Alert, now: float) -> Message:
    """What is sent to `target`; `now` is the time that a signature carries, s since the epoch."""
    shape: Any = {"webhook": webhook, "slack": slack, "pagerduty": pagerduty}[target.kind](target, alert)
    body = msgspec.json.encode(shape)
    headers = {"content-type": "application/json", ID: alert.id, "user-agent": "prompt-canary"}
    if target.kind == "webhook":
        headers[SIGNATURE] = signature(target.secrets, body, now)
    return Message(body, headers)


def signature(secrets: tuple[str, ...], body: bytes, now: float) -> str:
    """
    >>> signature(("0123456789abcdef",), b"{}", 1700000000.9)[:24]
    't=1700000000,s=e4f8e2eca'
    """
    stamp = str(int(now))
    signed = [hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256) for secret in secrets]
    return ",".join([f"t={stamp}", *(f"s={each.hexdigest()}" for each in signed)])


def webhook(target: AlertTarget, alert: Alert) -> Alert:
    return alert


def slack(target: AlertTarget, alert: Alert) -> dict[str, Any]:
    lines = [f"{SIGN[alert.event]} *{_escaped(alert.summary)}*"]
    if alert.reason:
        lines.append(_escaped(alert.reason))
    lines.append(f"_{alert.event} by {_escaped(alert.actor)}, audit entry {alert.entry}_")
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)[:3000]}}
    return {"text": _escaped(alert.summary), "blocks": [block]}


def pagerduty(target: AlertTarget, alert: Alert) -> dict[str, Any]:
    """What a rollout's holds open, its release or end closes: they share a key."""
    closes = alert.event == "release"
    event: dict[str, Any] = {
        "routing_key": target.routing_key,
        "event_action": "resolve" if closes else "trigger",
        "dedup_key": _key(alert),
    }
    if not closes:
        event["payload"] = {
            "summary": f"{alert.summary}: {alert.reason}"[:SUMMARY_MOST] if alert.reason else alert.summary,
            "source": alert.prompt or "prompt-canary",
            "severity": SEVERITY[alert.event],
            "component": alert.prompt or "prompt-canary",
            "class": alert.event,
            "custom_details": msgspec.to_builtins(alert),
        }
    return event


def _key(alert: Alert) -> str:
    """Holds of one rollout are one matter; everything else is its own."""
    if alert.event in (*HOLDS, "release"):
        return f"prompt-canary/{alert.prompt}/{alert.rollout}/hold"
    return f"prompt-canary/{alert.id}"


def _escaped(text: str) -> str:
    """Slack's three control characters (mrkdwn)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
