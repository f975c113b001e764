"""What was measured and is in the repository: the limits that are promised, the documents that quote it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from benchmarks.decisions.documents import OURS, RESULTS, ROOT, beside, measured, timings
from benchmarks.decisions.hours import markdown as hours_table
from gateway.simulation.scenario import BY_NAME

ROWS: list[dict[str, Any]] = json.loads((RESULTS / "decisions.json").read_text())
MINE = {row["scenario"]: row for row in ROWS if row["rule"] == OURS}
HOURS: list[dict[str, Any]] = json.loads((RESULTS / "hours.json").read_text())
SAME = [row for row in MINE.values() if row["truth"] == "same"]


def test_an_equal_candidate_is_rolled_back_in_at_most_5_percent() -> None:
    row = MINE["A/A"]
    assert row["runs"] >= 2000
    assert row["rolled_back"]["rate"] <= 0.05
    assert row["rolled_back"]["high"] <= 0.06


@pytest.mark.parametrize("name", [row["scenario"] for row in SAME])
def test_nor_is_any_other_kind_of_equal_candidate(name: str) -> None:
    """Heavy sessions, a drifting base, outages, late scores, and arms that differ in time alone."""
    assert MINE[name]["rolled_back"]["rate"] <= 0.05
    assert MINE[name]["rolled_back"]["high"] <= 0.06


def test_every_rate_of_sessions_is_among_them() -> None:
    rates = Counter(row["scenario"].rsplit(", ", 1)[1] for row in SAME if row["scenario"].endswith("/s"))
    assert rates == {"2/s": 5, "20/s": 5, "100/s": 5, "500/s": 5}


@pytest.mark.parametrize("name", ["judge -.10", "judge -.10, low traffic", "judge -.10, five-level scale"])
def test_a_judge_worse_by_ten_points_is_rolled_back_before_promotion(name: str) -> None:
    assert MINE[name]["rolled_back"]["rate"] >= 0.95
    assert MINE[name]["rolled_back"]["low"] >= 0.9


@pytest.mark.parametrize(
    "name",
    [name for name in BY_NAME if "tolerance" in name] + ["judge -.05", "judge -.20", "errors .5 to 5 %"],
)
def test_what_is_worse_than_tolerated_is_promoted_in_at_most_5_percent(name: str) -> None:
    assert MINE[name]["promoted"]["rate"] <= 0.05


@pytest.mark.parametrize("row", HOURS, ids=lambda row: f"{row['policy']}, {row['sessions_per_hour']:g}/h")
def test_an_equal_candidate_is_promoted_in_the_hours_that_were_planned(row: dict[str, Any]) -> None:
    """The median within a fifth. The 80 % quantile of few runs moves by more than that."""
    assert row["median"] is not None
    assert row["median"] <= 1.2 * row["reference_median"]


def test_the_documents_say_what_was_measured() -> None:
    page = (ROOT / "docs" / "decisions.md").read_text()
    assert measured(ROWS) in page
    assert timings(ROWS) in page
    assert hours_table(HOURS) in page
    assert beside(ROWS) in (ROOT / "README.md").read_text()


def test_the_fold_keeps_up_with_20_000_observations_a_second() -> None:
    rows = json.loads((RESULTS / "fold.json").read_text())
    assert {row["compiled"] for row in rows} == {False, True}
    assert min(row["observations_per_second"] for row in rows) >= 20_000
