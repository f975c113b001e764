"""Counts of several processes added up: nothing is lost, nothing goes back, nothing grows for ever."""

import random

from gateway.telemetry.metrics import OTHER, Sample
from gateway.telemetry.tally import Tally, together


def requests(prompt: str, version: int, count: int) -> Sample:
    return "requests_total", [prompt, str(version), "stable", "ok"], [count]


def test_differences_add_up() -> None:
    tally = Tally(size=4)
    tally.add([requests("greeter", 1, 2), ("total_seconds", ["greeter", "1", "p", "m"], [1, 0, 2.5])])
    tally.add([requests("greeter", 1, 3), ("total_seconds", ["greeter", "1", "p", "m"], [0, 4, 0.5])])
    tally.add([("fallbacks_total", [], [1])])
    assert [sample for sample in sorted(tally) if any(sample[2])] == [
        ("fallbacks_total", (), [1]),
        ("requests_total", ("greeter", "1", "stable", "ok"), [5]),
        ("total_seconds", ("greeter", "1", "p", "m"), [1, 4, 3.0]),
    ]


def test_what_is_known_to_come_begins_at_0() -> None:
    found = {(name, *labels): values for name, labels, values in Tally(size=4)}
    assert found[("decisions_total", "roll_back")] == found[("evidence_dropped_total",)] == [0]


def test_the_least_lately_counted_version_makes_room_and_the_sum_stays() -> None:
    chance = random.Random(3)
    tally, counted = Tally(size=3), 0
    for _ in range(500):
        count = chance.randrange(1, 5)
        tally.add([requests("greeter", chance.randrange(1, 9), count)])
        counted += count
        found = {labels[:2]: values[0] for _, labels, values in tally if values[0]}
        assert sum(found.values()) == counted
        assert len(found) <= 4
    assert (OTHER, "0") in found


def test_models_of_all_workers_together_are_bounded_and_their_sum_stays() -> None:
    tally = Tally(size=2, models=3)
    for number in range(20):
        tally.add([("total_seconds", ["greeter", "1", "p", f"made-up-{number}"], [1, 0.5])])
    found = {labels: values for name, labels, values in tally if name == "total_seconds"}
    assert found.pop(("greeter", "1", OTHER, OTHER)) == [17, 8.5]
    assert len(found) == 3
    for version in ("2", "3", "4"):
        tally.add([("answer_tokens", ["greeter", version, "p", "m", "input"], [1, 7])])
    left = {labels: values for name, labels, values in tally if name != "requests_total" and labels[:1]}
    assert left[(OTHER, "0", OTHER, OTHER)] == [20, 10.0]
    assert left[(OTHER, "0", OTHER, OTHER, "input")] == [1, 7]


def test_a_smaller_size_counts_at_once() -> None:
    tally = Tally(size=3)
    tally.add([requests("greeter", number, 1) for number in (1, 2, 3)])
    tally.size = 1
    tally.add([requests("greeter", 4, 1)])
    found = {labels[:2]: values for _, labels, values in tally if values[0]}
    assert found == {("greeter", "4"): [1], (OTHER, "0"): [3]}


def test_gauges_of_several_processes_are_one() -> None:
    samples: list[Sample] = [
        ("upstream_workers", ["openai", "closed"], [1]),
        ("upstream_workers", ["openai", "open"], [1]),
        ("upstream_workers", ["openai", "closed"], [1]),
        ("snapshot_age_seconds", [], [0.2]),
        ("snapshot_age_seconds", [], [7.0]),
    ]
    assert together(samples) == [
        ("upstream_workers", ("openai", "closed"), [2]),
        ("upstream_workers", ("openai", "open"), [1]),
        ("snapshot_age_seconds", (), [7.0]),
    ]
