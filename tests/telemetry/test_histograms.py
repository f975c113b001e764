"""Histograms: right within a per cent, and bounded."""

from __future__ import annotations

import pytest

from gateway.telemetry.histograms import LONGEST, Histograms, Version, percentile


def test_percentiles_are_right_within_a_per_cent() -> None:
    histograms = Histograms()
    for number in range(1, 1001):
        histograms.record("greeter", 1, number / 100, number / 1000, gaps=(number / 10_000,) * 2)
    ((version, times),) = histograms
    assert version == Version("greeter", 1)
    counts = [histogram.total_count for histogram in (times.total, times.first_token, times.gap)]
    assert counts == [1000, 1000, 2000]
    for share in (0.5, 0.9, 0.99):
        assert percentile(times.total, share) == pytest.approx(10 * share, rel=0.01)
        assert percentile(times.first_token, share) == pytest.approx(share, rel=0.01)
        assert percentile(times.gap, share) == pytest.approx(0.1 * share, rel=0.01)


def test_what_has_no_first_token_and_what_lasts_too_long() -> None:
    histograms = Histograms()
    histograms.record("greeter", 1, 2 * LONGEST, None)
    histograms.record("greeter", 1, 0.0, None)
    ((_, times),) = histograms
    assert times.first_token.total_count == 0
    assert percentile(times.first_token, 0.5) == 0.0
    assert percentile(times.total, 1.0) == pytest.approx(LONGEST, rel=0.01)


def test_the_version_used_least_recently_goes_first() -> None:
    histograms = Histograms(size=2)
    for number in (1, 2, 1, 3):
        histograms.record("greeter", number, 1.0, None)
    assert [version.number for version, _ in histograms] == [1, 3]
