"""What a worker tells its supervisor about once a second: what it counted since, and how it stands now.

The counts that its parts keep for themselves are plain totals; here they become differences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gateway.telemetry.metrics import Sample

if TYPE_CHECKING:
    from gateway.proxy.worker import Worker


def counted(worker: Worker) -> list[Sample]:
    """Everything that was counted since the last time; it is forgotten here."""
    return worker.counts.take() + worker.counts.risen(_totals(worker))


def _totals(worker: Worker) -> Iterator[tuple[str, Iterable[str], int]]:
    pins = worker.pins.counts
    yield "pin_lookups_total", (), pins.lookups
    yield "pin_lookups_failed_total", (), pins.failed_lookups
    yield "pin_writes_total", (), pins.writes
    yield "pin_writes_failed_total", (), pins.failed_writes
    yield "pin_writes_lost_total", (), pins.lost
    yield "pins_evicted_total", (), worker.pins.sessions.evicted
    yield "evidence_dropped_total", (), worker.recorder.dropped
    yield "fallbacks_total", (), worker.upstream.fallbacks
    if worker.outbox is not None:
        yield "judge_items_lost_total", (), worker.outbox.given_up
    if worker.shadowing is not None:
        for cause, count in worker.shadowing.left_out.items():
            yield "shadow_left_out_total", (cause,), count
    if worker.tracing is not None and worker.exporter is not None:
        yield "spans_sent_total", (), worker.exporter.sent
        yield "spans_dropped_total", (), worker.tracing.queue.dropped
    for cause, count in worker.sessionless.items():
        yield "sessionless_requests_total", (cause,), count
    for member in worker.upstream.members:
        pool, labels = member.pool.counts, (member.name,)
        yield "upstream_opened_total", labels, member.breaker.opened
        yield "upstream_failures_total", labels, pool.failures
        yield "upstream_retries_total", labels, pool.retried
        yield "upstream_reused_total", labels, pool.reused


def standing(worker: Worker) -> list[Sample]:
    """How it stands now."""
    now = worker.clock()
    age = min(worker.snapshots.staleness(now), now - worker.started)
    found: list[Sample] = [
        ("pins_cached", (), (len(worker.pins.sessions),)),
        ("evidence_waiting", (), (worker.recorder.waiting,)),
        ("connections", (), (len(worker.edge.connections),)),
        ("open_requests", (), (worker.edge.exchanges,)),
        ("body_bytes", (), (worker.budget.held,)),
        ("bodies_waiting", (), (worker.budget.waiting,)),
        ("snapshot_age_seconds", (), (round(max(age, 0.0), 3),)),
    ]
    for prompt, version in worker.snapshots.overrides.items():
        found.append(("overrides", (prompt, str(version)), (1,)))
    if worker.tracing is not None:
        found.append(("spans_waiting", (), (len(worker.tracing.queue),)))
    for member in worker.upstream.members:
        pool, labels = member.pool.counts, (member.name,)
        found += [
            ("upstream_workers", (member.name, member.breaker.state), (1,)),
            ("upstream_connections", labels, (pool.open,)),
            ("upstream_idle_connections", labels, (pool.idle,)),
            ("upstream_queued", labels, (pool.queued,)),
        ]
    return found
