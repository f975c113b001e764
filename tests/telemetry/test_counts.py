"""What a worker counts between two times that it tells of it."""

from gateway.telemetry.counts import Counts
from gateway.telemetry.metrics import BY_NAME, OTHER, Sample


def by_key(samples: list[Sample]) -> dict[tuple[str, ...], list[float]]:
    found = {(name, *labels): list(values) for name, labels, values in samples}
    assert len(found) == len(samples)
    return found


def test_a_version_tells_what_it_counted_and_forgets_it() -> None:
    counts = Counts(size=8)
    version = counts.version("greeter", 2)
    version.ended("canary", "ok")
    version.ended("canary", "ok")
    version.ended("stable", "client")
    version.used((10, 20, 0, 0, 5, 0, 0), 0.25, estimated=False)
    version.used((1, 0, 0, 0, 0, 0, 0), None, estimated=True)
    served = version.of("openai", "gpt-4o")
    served.took(1.5, 0.5, [0.01, 0.02])
    served.used(31, 5)
    counts.refused("invalid_json")
    counts.unmanaged += 3
    counts.overhead.record(0.003)
    told = by_key(counts.take())
    assert told[("requests_total", "greeter", "2", "canary", "ok")] == [2]
    assert told[("requests_total", "greeter", "2", "stable", "client")] == [1]
    assert told[("tokens_total", "greeter", "2", "input")] == [11]
    assert told[("tokens_total", "greeter", "2", "cache_read")] == [20]
    assert ("tokens_total", "greeter", "2", "reasoning") not in told
    assert told[("cost_usd_total", "greeter", "2")] == [0.25]
    assert told[("unpriced_answers_total", "greeter", "2")] == [1]
    assert told[("estimated_answers_total", "greeter", "2")] == [1]
    labels = ("greeter", "2", "openai", "gpt-4o")
    assert told[("total_seconds", *labels)][-1] == 1.5
    assert sum(told[("gap_seconds", *labels)][:-1]) == 2
    assert told[("answer_tokens", *labels, "input")][2:5] == [0, 1, 0]  # 16 < 31 <= 64
    assert told[("answer_tokens", *labels, "output")][-1] == 5
    assert told[("refused_requests_total", "invalid_json")] == [1]
    assert told[("unmanaged_requests_total",)] == [3]
    assert sum(told[("overhead_seconds",)][:-1]) == 1
    assert counts.take() == []


def test_every_sample_fits_the_table() -> None:
    counts = Counts(size=8)
    version = counts.version("greeter", 2)
    version.ended("canary", "ok")
    version.used((1,) * 7, 1.0, estimated=True)
    version.of("openai", "gpt-4o").took(1.0, 1.0, [1.0])
    version.of("openai", "gpt-4o").used(1, 1)
    for name, labels, values in counts.take():
        metric = BY_NAME[name]
        assert len(labels) == len(metric.labels)
        assert len(values) == (len(metric.bounds) + 2 if metric.kind == "histogram" else 1)


def test_versions_beyond_the_limit_are_counted_together() -> None:
    counts = Counts(size=2)
    for number in range(1, 6):
        counts.version("greeter", number).ended("stable", "ok")
    told = by_key(counts.take())
    assert told[("requests_total", OTHER, "0", "stable", "ok")] == [3]
    assert told[("requests_total", OTHER, "0", "stable", "provider")] == [0]
    assert {key[1] for key in told} == {"greeter", OTHER}


def test_models_beyond_the_limit_are_counted_together() -> None:
    counts = Counts(size=2, models=3)
    for number in range(6):
        counts.version("greeter", 1).of("openai", f"made-up-{number}").took(1.0, None, ())
    told = by_key(counts.take())
    assert sum(told[("total_seconds", "greeter", "1", OTHER, OTHER)][:-1]) == 3
    assert len([key for key in told if key[0] == "total_seconds"]) == 4


def test_totals_that_others_keep_are_told_as_differences() -> None:
    counts = Counts(size=2)
    assert counts.risen([("pin_writes_total", (), 5), ("fallbacks_total", (), 0)]) == [
        ("pin_writes_total", [], [5])
    ]
    assert counts.risen([("pin_writes_total", (), 5)]) == []
    assert counts.risen([("pin_writes_total", (), 7)]) == [("pin_writes_total", [], [2])]
