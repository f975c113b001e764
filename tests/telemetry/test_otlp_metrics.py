"""Samples as OTLP are what opentelemetry-proto's own classes read."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from gateway.telemetry.histograms import LONG
from gateway.telemetry.metrics import METRICS, Sample
from gateway.telemetry.otlp_metrics import request
from gateway.telemetry.semantic import GEN_AI, Conventions, named
from tests.support.collector import attributes

SINCE, NOW = 1_700_000_000_000_000_000, 1_700_000_060_000_000_000


def read(samples: list[Sample], conventions: Conventions = "v1.41") -> dict[str, Any]:
    body = request(samples, {"service.name": "g"}, "scope", since=SINCE, now=NOW, conventions=conventions)
    (resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    assert attributes(resource.resource) == {"service.name": "g"}
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "scope"
    found = {metric.name: metric for metric in scope.metrics}
    assert len(found) == len(scope.metrics)
    return found


def test_counters_are_cumulative_sums_since_the_start() -> None:
    labels = ["greeter", "2", "canary"]
    found = read([("requests_total", [*labels, "ok"], [7]), ("requests_total", [*labels, "prompt"], [1])])
    metric = found["promptcanary.requests"]
    assert metric.sum.is_monotonic
    assert metric.sum.aggregation_temporality == 2
    points = metric.sum.data_points
    outcomes = [(point.as_double, attributes(point)["promptcanary.outcome"]) for point in points]
    assert outcomes == [(7, "ok"), (1, "prompt")]
    point = points[0]
    assert (point.start_time_unix_nano, point.time_unix_nano) == (SINCE, NOW)
    assert attributes(point)["gen_ai.prompt.name"] == "greeter"
    assert attributes(point)["gen_ai.prompt.version"] == "2"
    assert attributes(point)["promptcanary.arm"] == "canary"


def test_gauges_are_gauges() -> None:
    found = read([("upstream_workers", ["openai", "open"], [2]), ("snapshot_age_seconds", [], [0.25])])
    (age,) = found["promptcanary.snapshot_age"].gauge.data_points
    assert (age.as_double, found["promptcanary.snapshot_age"].unit) == (0.25, "s")
    (workers,) = found["promptcanary.upstream_workers"].gauge.data_points
    assert attributes(workers) == {"promptcanary.upstream": "openai", "promptcanary.state": "open"}


def test_times_are_histograms_of_the_conventions() -> None:
    counts = [0] * (len(LONG) + 1)
    counts[2], counts[-1] = 5, 1
    found = read([("total_seconds", ["greeter", "2", "openai", "gpt-4o"], [*counts, 900.5])])
    metric = found["gen_ai.client.operation.duration"]
    (point,) = metric.histogram.data_points
    assert (metric.unit, metric.histogram.aggregation_temporality) == ("s", 2)
    assert (point.count, point.sum) == (6, 900.5)
    assert list(point.bucket_counts) == counts
    assert list(point.explicit_bounds) == list(LONG)
    assert attributes(point) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.prompt.name": "greeter",
        "gen_ai.prompt.version": "2",
    }


def test_tokens_have_their_type_or_a_metric_of_their_own() -> None:
    samples: list[Sample] = [
        ("answer_tokens", ["greeter", "2", "openai", "gpt-4o", kind], [*range(15), 100.0])
        for kind in ("input", "output")
    ]
    points = read(samples)["gen_ai.client.token.usage"].histogram.data_points
    assert [attributes(point)["gen_ai.token.type"] for point in points] == ["input", "output"]
    latest = read(samples, "latest")
    assert set(latest) == {
        "gen_ai.client.inference.operation.input_tokens",
        "gen_ai.client.inference.operation.output_tokens",
    }
    (point,) = latest["gen_ai.client.inference.operation.input_tokens"].histogram.data_points
    assert "gen_ai.token.type" not in attributes(point)


@pytest.mark.parametrize("conventions", ["v1.41", "latest"])
def test_every_metric_has_a_name_of_its_own(conventions: Conventions) -> None:
    samples: list[Sample] = [
        (
            metric.name,
            ["input"] * len(metric.labels),
            [*([0] * (len(metric.bounds) + 1)), 0.0] if metric.kind == "histogram" else [1],
        )
        for metric in METRICS
    ]
    found = read(samples, conventions)
    assert len(found) == len(METRICS)
    assert {name for name in found if not name.startswith("promptcanary.")} == {
        named(metric, ["input"] * len(metric.labels), conventions).name
        for metric in METRICS
        if metric.name in GEN_AI[conventions]
    }
