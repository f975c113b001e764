"""The sizing guide's numbers, from the measurements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.overhead.targets import ALL, MANAGED, PASS, ROLLOUT, Results, row

SPARE = 0.6  # of a processor that is planned with; the rest is for peaks and for what else runs there
RATES = (100, 1000, 5000)
PER_HOUR = 3600
JUDGED_SHARES = (0.01, 0.1)
EVENT_RATE = 50  # events/s of one stream, as fast models write


def markdown(results: Results) -> str:
    """Raises KeyError where a section is missing."""
    per_request = {
        name: row(results, "cost", peer, upstream="https")
        for name, peer in (
            ("pass-through", PASS),
            ("prompt injected", MANAGED),
            ("under a rollout", ROLLOUT),
            ("under a rollout, traced", ALL),
        )
    }
    return "\n".join([*_rates(per_request), "", *_memory(results, per_request)])


def _rates(per_request: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rates = [f"processors for {rate:,} requests/s" for rate in RATES]
    lines = [
        f"Planned with {SPARE:.0%} of a processor, TLS to the provider, whole process tree:",
        "",
        "| requests | µs/request | requests/s of one processor | " + " | ".join(rates) + " |",
        "|" + "---|" * (3 + len(RATES)),
    ]
    for name, each in per_request.items():
        most = SPARE / each["request_us"] * 1e6
        needed = [f"{rate / most:.2f}" for rate in RATES]
        lines.append(f"| {name} | {each['request_us']} | {most:,.0f} | " + " | ".join(needed) + " |")
    return lines


def _memory(results: Results, per_request: Mapping[str, Mapping[str, Any]]) -> list[str]:
    plain = row(results, "memory", ROLLOUT, upstream="http")
    tls = row(results, "memory", ROLLOUT, upstream="https")
    event = per_request["under a rollout"]["event_us"]
    streams = SPARE / (event * EVENT_RATE) * 1e6
    return [
        "| what | how much |",
        "|---|---|",
        f"| one worker at rest, after load | {plain['rest_mb']} MB, {plain['saturated_mb']} MB |",
        f"| an open stream, plain | {plain['kb_per_stream']} KiB |",
        f"| an open stream, TLS upstream | {tls['kb_per_stream']} KiB |",
        f"| an event of a stream | {event} µs |",
        f"| streams that one processor keeps up with, {EVENT_RATE} events/s each | {streams:,.0f} |",
    ]
