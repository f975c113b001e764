"""Times in buckets."""

from gateway.telemetry.histograms import LONG, OVERHEAD, SHORT, Histogram


def test_bounds_rise_and_belong_to_their_bucket() -> None:
    for bounds in (LONG, SHORT, OVERHEAD):
        assert list(bounds) == sorted(set(bounds))
        histogram = Histogram(bounds)
        for bound in bounds:
            histogram.record(bound)
        *counts, total = histogram.values()
        assert (counts, total) == ([1] * len(bounds) + [0], sum(bounds))


def test_what_is_longer_than_all_bounds_has_a_bucket_too() -> None:
    histogram = Histogram(LONG)
    assert not histogram
    histogram.record(1e6)
    assert histogram
    assert histogram.values() == [0] * len(LONG) + [1, 1e6]
