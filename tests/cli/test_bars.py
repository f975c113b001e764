"""What a watched rollout looks like: its numbers are the verdict's."""

import doctest
import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from gateway.cli import bars
from gateway.control.case import Summary
from gateway.control.views import RolloutView, rollout_view
from gateway.domain.rollout import Hold
from tests.analysis.test_decide import HOUR, answered, filled, position
from tests.control.test_views import started


def drawn(view: RolloutView) -> str:
    page = io.StringIO()
    Console(width=300, file=page).print(bars.rollout(view))
    return page.getvalue()


def seen(errors: tuple[float, float] = (0.0, 0.0)) -> RolloutView:
    verdict = answered(filled(errors=errors), position())
    return rollout_view(started(), 5.0, Summary("r1", HOUR, 7, 720.0, verdict))


def test_the_examples_are_true() -> None:
    assert doctest.testmod(bars).failed == 0


@pytest.mark.parametrize(
    ("share", "cells"),
    [(0.0, "░░░░"), (0.001, "█░░░"), (0.5, "██░░"), (0.999, "███░"), (1.0, "████"), (7.0, "████")],
)
def test_a_bar_is_full_only_when_it_is(share: float, cells: str) -> None:
    assert bars.bar(share, 4) == cells


def test_evidence_is_on_its_way_by_its_logarithm() -> None:
    assert [bars.toward(e, 100.0) for e in (0.2, 1.0, 10.0, 100.0)] == pytest.approx([0.0, 0.0, 0.5, 1.0])


def test_every_metric_has_its_interval() -> None:
    view = seen()
    assert view.evidence is not None
    verdict, text = view.evidence.verdict, drawn(view)
    assert f"{verdict.action}: {verdict.reason}" in text
    for metric in verdict.metrics:
        if metric.low is None or metric.high is None:
            continue
        (line,) = [line for line in text.splitlines() if line.startswith(f"{metric.name} ")]
        assert f"({metric.low:+.3f} … {metric.high:+.3f})" in line
        assert "●" in line
    for family in verdict.families:
        assert f"{family.name}: E {family.e:.3g} of {family.needs:.3g}" in text
    assert "stage 1 of 2" in text


def test_harm_fills_its_bar() -> None:
    view = seen(errors=(0.0, 0.3))
    assert view.evidence is not None
    assert view.evidence.verdict.action == "roll_back"
    crossed = next(each for each in view.evidence.verdict.families if each.crossed_at is not None)
    (line,) = [line for line in drawn(view).splitlines() if f" {crossed.name}: E" in line]
    assert "█" * bars.WIDTH in line
    assert "crossed" in line


def test_a_rollout_without_evidence_says_so() -> None:
    view = rollout_view(started(), 5.0)
    assert "no evidence yet" in drawn(view)
    assert bars.sentence(view) == "progressing, stage 1 of 2, weight 0.05"
    by_hand = rollout_view(replace(started(), policy=None, policy_name=""), 5.0)
    assert "by hand: no evidence is gathered" in drawn(by_hand)


def test_a_sentence_says_why_it_holds_and_how_it_ended() -> None:
    holding = rollout_view(replace(started(), hold=Hold("srm", 1.0, "more than [red]drawn")), 5.0)
    assert bars.sentence(holding).endswith("; holds (srm): more than [red]drawn")
    ended = rollout_view(
        replace(started(), phase="rolled_back", ended_at=9.0, ended_by="ann", end_reason="worse"), 9.0
    )
    assert bars.sentence(ended) == "ROLLED_BACK by ann: worse"
    assert "ended 1970-01-01 00:00:09Z by ann: worse" in drawn(ended)
