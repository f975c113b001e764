"""What each kind of target gets."""

import hashlib
import hmac
import json
from typing import Any

import msgspec
import pytest

from gateway.control.alerts.shapes import SIGNATURE, message, signature
from gateway.domain.alert import EVENTS, Alert
from gateway.settings.alerts import AlertTarget

SECRETS = ("0123456789abcdef", "fedcba9876543210")
HOOK = AlertTarget(name="hook", url="http://127.0.0.1:1/x", secrets=SECRETS)
SLACK = AlertTarget(name="chat", kind="slack", url="http://127.0.0.1:1/x")
PAGER = AlertTarget(name="pager", kind="pagerduty", routing_key="k")
ALERT = Alert(
    id="7.0123456789ab",
    event="rollback",
    prompt="support-agent",
    summary="support-agent: version 2 was rolled back",
    at=5.0,
    actor="ann",
    reason="errors <2 & more>",
    live=1,
    rollout="0a",
    candidate=2,
    hold=None,
    entry=7,
)


def sent(target: AlertTarget, **changes: Any) -> Any:
    return json.loads(message(target, msgspec.structs.replace(ALERT, **changes), 1700000000.9).body)


def test_a_webhook_is_the_alert_and_signed_with_every_secret() -> None:
    body, headers = message(HOOK, ALERT, 1700000000.9)
    assert msgspec.json.decode(body, type=Alert) == ALERT
    time, *signatures = headers[SIGNATURE].split(",")
    assert time == "t=1700000000"
    expected = [
        hmac.new(each.encode(), b"1700000000." + body, hashlib.sha256).hexdigest() for each in SECRETS
    ]
    assert signatures == [f"s={each}" for each in expected]
    assert headers["x-prompt-canary-id"] == ALERT.id
    assert signature(SECRETS[:1], body + b" ", 1700000000.9) != ",".join([time, signatures[0]])


def test_slack_gets_text_that_cannot_be_markup() -> None:
    body = sent(SLACK)
    assert body["text"] == ALERT.summary
    (block,) = body["blocks"]
    assert block["text"]["text"].splitlines() == [
        ":rewind: *support-agent: version 2 was rolled back*",
        "errors &lt;2 &amp; more&gt;",
        "_rollback by ann, audit entry 7_",
    ]
    assert SIGNATURE not in message(SLACK, ALERT, 1.0).headers


def test_pagerduty_gets_an_event() -> None:
    body = sent(PAGER)
    assert (body["routing_key"], body["event_action"], body["dedup_key"]) == (
        *("k", "trigger", "prompt-canary/7.0123456789ab"),
    )
    payload = body["payload"]
    assert (payload["severity"], payload["source"], payload["class"]) == (
        "error",
        "support-agent",
        "rollback",
    )
    assert payload["summary"] == f"{ALERT.summary}: {ALERT.reason}"
    assert payload["custom_details"]["entry"] == 7
    assert len(sent(PAGER, reason="x" * 2000)["payload"]["summary"]) == 1024


def test_what_a_hold_opens_its_end_closes() -> None:
    opened, over = sent(PAGER, event="hold", hold="srm"), sent(PAGER, event="release")
    assert (opened["event_action"], over["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == over["dedup_key"]
    assert "payload" not in over


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("target", [HOOK, SLACK, PAGER], ids=lambda target: target.kind)
def test_every_event_has_every_shape(target: AlertTarget, event: Any) -> None:
    assert sent(target, event=event)
