"""Every metric of /metrics, once: docs/metrics.md is made from this table, and nothing else names one.

A sample is (metric, values of its labels, values): one value for counters and gauges, for histograms the
count of each bucket and the sum. Labels have few values: names of the configuration, words of the code, and
prompt and version, of which no more than `limits.counted_versions` are kept apart (`OTHER`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from gateway.telemetry.histograms import LONG, OVERHEAD, SHORT, TOKENS

PREFIX = "promptcanary_"
OTHER = "_other"  # prompt of what is counted beyond the limit; no prompt has such a name

Kind = Literal["counter", "gauge", "histogram"]
Across = Literal["sum", "max"]
Sample = tuple[str, Sequence[str], Sequence[float]]


class Metric(NamedTuple):
    """`across`: what one gauge of several processes comes to. `known`: values of a counter's only label that
    are shown as 0 from the start, because a rise from nothing is none to Prometheus; counters without labels
    always are."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    bounds: tuple[float, ...] = ()
    across: Across = "sum"
    known: tuple[str, ...] = ()


VERSION = ("prompt", "version")
SERVED = (*VERSION, "provider", "model")

METRICS: tuple[Metric, ...] = (
    # --- managed requests
    Metric(
        "requests_total",
        "counter",
        (*VERSION, "arm", "outcome"),
        "Managed requests that have ended. outcome: ok, prompt (an error that a prompt can cause), provider, "
        "client (it left)",
    ),
    Metric(
        "refused_requests_total",
        "counter",
        ("code",),
        "Requests that the gateway answered with an error of its own before a version was chosen",
    ),
    Metric("unmanaged_requests_total", "counter", (), "Requests that no prompt applied to, passed unchanged"),
    Metric(
        "tokens_total",
        "counter",
        (*VERSION, "kind"),
        "Tokens, each in one kind: input, cache_read, cache_write, input_audio, output, reasoning, "
        "output_audio",
    ),
    Metric("cost_usd_total", "counter", VERSION, "What these tokens cost by the price list"),
    Metric(
        "unpriced_answers_total", "counter", VERSION, "Answers with usage for whose model no price is known"
    ),
    Metric(
        "estimated_answers_total",
        "counter",
        VERSION,
        "Streams that ended before the provider told their usage: tokens and cost are estimated",
    ),
    Metric("total_seconds", "histogram", SERVED, "From a request's head to its answer's last byte", LONG),
    Metric("first_token_seconds", "histogram", SERVED, "From a request's head to the first token", LONG),
    Metric("gap_seconds", "histogram", SERVED, "Between two reads of an event stream", SHORT),
    Metric(
        "answer_tokens",
        "histogram",
        (*SERVED, "kind"),
        "Tokens of one answer. kind: input, output, each with what is cached or reasoning in it",
        TOKENS,
    ),
    Metric(
        "overhead_seconds",
        "histogram",
        (),
        "The gateway's own part of a managed request: from its last byte until it is handed to the upstream, "
        "look-ups included, and from the upstream's last byte to ours",
        OVERHEAD,
    ),
    # --- sessions
    Metric("pin_lookups_total", "counter", (), "Sessions that were looked up in the store"),
    Metric("pin_lookups_failed_total", "counter", (), "Look-ups without an answer in time"),
    Metric("pin_writes_total", "counter", (), "New pins"),
    Metric("pin_writes_failed_total", "counter", (), "New pins that the store did not take in time"),
    Metric("pin_writes_lost_total", "counter", (), "New pins that lost to another worker's, of another arm"),
    Metric("pins_evicted_total", "counter", (), "Pins that lost their place in a worker's cache"),
    Metric("pins_cached", "gauge", (), "Pins in the workers' caches"),
    Metric(
        "sessionless_requests_total",
        "counter",
        ("cause",),
        "Requests of a rollout that were assigned one by one, and are no evidence",
    ),
    # --- evidence
    Metric("evidence_dropped_total", "counter", (), "Records that did not fit into a worker's buffer"),
    Metric("evidence_waiting", "gauge", (), "Records on their way to the store"),
    Metric("judge_items_lost_total", "counter", (), "Answers for the judge that the store never took"),
    Metric(
        "shadow_left_out_total",
        "counter",
        ("cause",),
        "Requests that a shadow stage does not ask again: tools, stateful, large, redacted and others",
    ),
    # --- the judge
    Metric(
        "judge_answers_total",
        "counter",
        ("cause",),
        "Answers that were judged, by why they have no score; none: they have one",
        known=("none",),
    ),
    Metric("judge_calls_total", "counter", (), "Calls of the judge's model"),
    Metric("judge_cost_usd_total", "counter", (), "What they cost by the price list"),
    Metric(
        "judge_anchor_shift",
        "gauge",
        ("rubric",),
        "Mean score of the anchors, newest minus first",
        across="max",
    ),
    Metric("judge_under_way", "gauge", (), "Judgments under way"),
    Metric("judge_concurrency", "gauge", (), "Judgments that can be under way at once (judge.concurrency)"),
    Metric(
        "judge_limit_usd",
        "gauge",
        ("period",),
        "Limits of spending on judging, of a day and of a rollout; 0: none",
        across="max",
    ),
    # --- upstreams
    Metric("upstream_workers", "gauge", ("upstream", "state"), "Workers by the state of their breaker"),
    Metric("upstream_opened_total", "counter", ("upstream",), "Times that a worker's breaker opened"),
    Metric("upstream_failures_total", "counter", ("upstream",), "Requests that failed at an upstream"),
    Metric("upstream_retries_total", "counter", ("upstream",), "Requests sent again on a fresh connection"),
    Metric("upstream_reused_total", "counter", ("upstream",), "Requests that got a pooled connection"),
    Metric("upstream_connections", "gauge", ("upstream",), "Open connections"),
    Metric("upstream_idle_connections", "gauge", ("upstream",), "Those of them that are idle"),
    Metric("upstream_queued", "gauge", ("upstream",), "Requests that wait for a connection"),
    Metric("fallbacks_total", "counter", (), "Requests that were sent to a second upstream"),
    # --- traces
    Metric("spans_sent_total", "counter", (), "Spans that the collector has taken"),
    Metric("spans_dropped_total", "counter", (), "Spans that did not fit into a worker's queue"),
    Metric("spans_waiting", "gauge", (), "Spans in the workers' queues"),
    # --- the gateway
    Metric("connections", "gauge", (), "Client connections"),
    Metric("open_requests", "gauge", (), "Requests under way"),
    Metric("body_bytes", "gauge", (), "Bytes of managed request bodies held (limits.body_budget_bytes)"),
    Metric("bodies_waiting", "gauge", (), "Requests that wait for room for their body"),
    Metric(
        "snapshot_age_seconds",
        "gauge",
        (),
        "Since the store last confirmed a worker's view; the oldest",
        across="max",
    ),
    Metric(
        "overrides",
        "gauge",
        VERSION,
        "Workers that serve a version whatever the store says (prompt-canary override)",
    ),
    Metric("processes", "gauge", ("role", "ready"), "Processes of this supervisor"),
    Metric(
        "process_restarts_total",
        "counter",
        ("role",),
        "Processes that ended unasked",
        known=("worker", "services", "controller", "judge", "health"),
    ),
    Metric("store_up", "gauge", (), "1 if the store answers the process that answers /metrics"),
    Metric("store_revision", "gauge", (), "Commits so far"),
    Metric("store_answer_seconds", "gauge", (), "How long the store took to answer that process just now"),
    Metric(
        "queue_items",
        "gauge",
        ("queue", "state"),
        "Items in a queue of the store, which all machines share: free, claimed, dead (given up)",
    ),
    # --- rollouts, from the controller that holds the lease
    Metric("controller_leads", "gauge", (), "1 if this supervisor's controller holds the lease"),
    Metric(
        "decisions_total",
        "counter",
        ("event",),
        "Changes that the controller has made",
        known=("advance", "watch", "finish", "hold", "release", "raise_weight", "roll_back"),
    ),
    Metric(
        "rollout_info",
        "gauge",
        ("prompt", "rollout", "baseline", "candidate", "phase"),
        "1 for each running rollout under a policy",
    ),
    Metric("rollout_stage", "gauge", ("prompt",), "Index of the stage, from 0"),
    Metric("rollout_weight", "gauge", ("prompt",), "The canary's share of new sessions"),
    Metric(
        "rollout_verdict",
        "gauge",
        ("prompt", "action", "rule", "hold"),
        "1 for the newest verdict; hold: the reason why the rollout waits",
    ),
    Metric("rollout_harm_e", "gauge", ("prompt", "family"), "Evidence of harm as an e-value"),
    Metric("rollout_harm_needs", "gauge", ("prompt", "family"), "The e-value at which the rollout goes back"),
    Metric("rollout_gate_e", "gauge", ("prompt", "metric"), "Evidence that the canary is no worse"),
    Metric("rollout_gate_needs", "gauge", ("prompt", "metric"), "The e-value at which the gate passes"),
    Metric("rollout_difference", "gauge", ("prompt", "metric"), "Canary minus stable, in badness"),
    Metric("rollout_units", "gauge", ("prompt", "arm", "metric"), "Sessions compared"),
    Metric("rollout_judged_sessions", "gauge", ("prompt", "arm"), "Sessions that the judge should score"),
    Metric("rollout_scored_sessions", "gauge", ("prompt", "arm"), "Those of them that it has scored"),
    Metric("rollout_shadow", "gauge", ("prompt",), "1 in the shadow stage, 0 after it"),
    Metric(
        "rollout_shadow_pairs",
        "gauge",
        ("prompt", "state"),
        "Pairs of the shadow stage: complete, missing, waiting for their time",
    ),
    Metric("rollout_shadow_harm_e", "gauge", ("prompt", "metric"), "Evidence of harm in pairs"),
    Metric("rollout_shadow_harm_needs", "gauge", ("prompt", "metric"), "Where the rollout goes back"),
    Metric("rollout_shadow_gate_e", "gauge", ("prompt", "metric"), "Evidence in pairs of being no worse"),
    Metric("rollout_shadow_gate_needs", "gauge", ("prompt", "metric"), "Where the gate passes"),
    Metric("rollout_shadow_difference", "gauge", ("prompt", "metric"), "Candidate minus stable, in badness"),
    Metric(
        "rollout_judge_share",
        "gauge",
        ("prompt",),
        "Of the sessions that the policy would have judged, the share that the judge can afford",
    ),
    Metric("rollout_srm_e", "gauge", ("prompt", "stream"), "Evidence of a wrong sample ratio"),
    Metric("rollout_decided_at_seconds", "gauge", ("prompt",), "When it was decided last, store time"),
    Metric("rollout_evidence_dropped", "gauge", ("prompt",), "Records lost to full buffers"),
    Metric("rollout_open_sessions", "gauge", ("prompt",), "Measured sessions that are not final"),
)

BY_NAME = {metric.name: metric for metric in METRICS}


def table() -> str:
    """The table of docs/metrics.md."""
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{PREFIX}{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"
