"""/metrics as text, in both formats (promtool and a Prometheus judge it in tests/e2e)."""

import doctest
import math

import pytest

from gateway.telemetry import exposition, tally
from gateway.telemetry.exposition import OPENMETRICS, PLAIN, content_type, render
from gateway.telemetry.histograms import OVERHEAD
from gateway.telemetry.metrics import Sample

COUNTED: list[Sample] = [
    ("overhead_seconds", (), [1] * (len(OVERHEAD) + 1) + [2.5]),
    ("requests_total", ("greeter", "1", "stable", "ok"), [3]),
    ("rollout_harm_e", ("greeter", 'a "b" \\ c'), [1e300]),
    ("snapshot_age_seconds", (), [math.inf]),
]


def test_doctests() -> None:
    for module in (exposition, tally):
        assert doctest.testmod(module).failed == 0


def test_plain_text() -> None:
    lines = render(COUNTED, openmetrics=False).decode().splitlines()
    assert "# TYPE promptcanary_requests_total counter" in lines
    assert 'promptcanary_requests_total{prompt="greeter",version="1",arm="stable",outcome="ok"} 3' in lines
    assert 'promptcanary_overhead_seconds_bucket{le="5e-05"} 1' in lines
    assert 'promptcanary_overhead_seconds_bucket{le="+Inf"} 15' in lines
    assert "promptcanary_overhead_seconds_sum 2.5" in lines
    assert "promptcanary_overhead_seconds_count 15" in lines
    assert 'promptcanary_rollout_harm_e{prompt="greeter",family="a \\"b\\" \\\\ c"} 1e+300' in lines
    assert "promptcanary_snapshot_age_seconds +Inf" in lines
    assert "# EOF" not in lines


def test_openmetrics_names_families_without_total_and_ends() -> None:
    lines = render(COUNTED, openmetrics=True).decode().splitlines()
    assert "# TYPE promptcanary_requests counter" in lines
    assert any(line.startswith("promptcanary_requests_total{") for line in lines)
    assert lines[-1] == "# EOF"
    assert render([], openmetrics=True) == b"# EOF\n"


PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/html,*/*;q=0.8", PLAIN),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text; q=0, text/plain", PLAIN),
        ("application/openmetrics-text; q=odd", PLAIN),
    ],
)
def test_the_reader_chooses_the_format(accept: str, kind: str) -> None:
    assert content_type(accept) == kind
