"""Samples as OTLP metrics: the few messages of opentelemetry/proto/metrics/v1 that are needed, written as
`telemetry.otlp` writes spans. Counters and histograms are cumulative since the supervisor's start.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

from gateway.telemetry.metrics import BY_NAME, Metric, Sample
from gateway.telemetry.otlp import BYTES, FIXED64, VARINT, attributes, field, tag, text, varint
from gateway.telemetry.semantic import Conventions, Named, named
from gateway.telemetry.spans import Value

CUMULATIVE = 2  # AggregationTemporality
_NANOSECONDS = struct.Struct("<Q").pack
_DOUBLE = struct.Struct("<d").pack
_DATA = {"gauge": 5, "counter": 7, "histogram": 9}  # fields of Metric
_TEMPORALITY = tag(2, VARINT) + varint(CUMULATIVE)
_MONOTONIC = tag(3, VARINT) + varint(1)


def request(
    samples: Iterable[Sample],
    resource: Mapping[str, Value],
    scope: str,
    *,
    since: int,
    now: int,
    conventions: Conventions = "v1.41",
) -> bytes:
    """ExportMetricsServiceRequest. `since`, `now`: ns since the epoch."""
    points: dict[tuple[str, str], list[bytes]] = {}  # by metric and OpenTelemetry's name
    about: dict[tuple[str, str], Named] = {}
    times = tag(2, FIXED64) + _NANOSECONDS(since) + tag(3, FIXED64) + _NANOSECONDS(now)
    for name, labels, values in samples:
        metric = BY_NAME[name]
        found = named(metric, labels, conventions)
        key = (name, found.name)
        about[key] = found
        points.setdefault(key, []).append(field(1, _point(metric, found, labels, values, times)))
    body = b"".join(_metric(BY_NAME[key[0]], about[key], parts) for key, parts in points.items())
    scoped = field(1, text(1, scope)) + body
    return field(1, field(1, attributes(1, resource)) + field(2, scoped))


def _metric(metric: Metric, found: Named, points: Sequence[bytes]) -> bytes:
    data = b"".join(points)
    if metric.kind != "gauge":
        data += _TEMPORALITY
    if metric.kind == "counter":
        data += _MONOTONIC
    parts = text(1, found.name) + text(2, metric.help) + text(3, found.unit)
    return field(2, parts + field(_DATA[metric.kind], data))


def _point(
    metric: Metric, found: Named, labels: Sequence[str], values: Sequence[float], times: bytes
) -> bytes:
    pairs: dict[str, Value] = {
        name: value for name, value in zip(found.attributes, labels, strict=True) if name
    }
    pairs |= found.more
    if metric.kind != "histogram":
        return times + tag(4, FIXED64) + _DOUBLE(values[0]) + attributes(7, pairs)
    *counts, total = values
    buckets = b"".join(_NANOSECONDS(int(count)) for count in counts)
    bounds = b"".join(map(_DOUBLE, metric.bounds))
    return b"".join(
        (
            times,
            tag(4, FIXED64),
            _NANOSECONDS(int(sum(counts))),
            tag(5, FIXED64),
            _DOUBLE(total),
            tag(6, BYTES) + varint(len(buckets)) + buckets,
            tag(7, BYTES) + varint(len(bounds)) + bounds,
            attributes(9, pairs),
        )
    )
