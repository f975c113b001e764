"""Alerts: from the audit log to people.

shapes     an alert as a webhook, a Slack message, a PagerDuty event; the signature (pure)
outbox     entry of the audit log → one delivery for each target that wants it, in the store's queue
delivery   deliveries, tried until they arrive or are given up
log        what became of them; asking again for what was given up; tests

    audit log ──► outbox ──► delivery/… (document, durable) + queue ──► delivery ──► HTTP

At least once: a delivery is done when its document says so, which is written after the answer came. Whoever
gets one twice knows it by its id.
"""
