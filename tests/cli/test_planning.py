"""`plan`, as it prints."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli

GOLDEN = """\
standard at 1000 sessions/h: weights 0.1 → 0.5, decided in 2.3 h; the maximum bake is 24 h
gate         tolerance  canary sessions  hours  could decide
judge        0.05       959              2.3    0.0142
safety       0.02       708              1.7    0.00489
errors       0.02       708              1.7    0.00489
latency_p50  0.1        949              2.2    0.0283
latency_p90  0.07       914              2.1    0.0194
cost         0.0255     426              1.2    0.00484
"""


def test_a_plan_is_a_table(local: Cli) -> None:
    result = local("plan", "--sessions-per-hour", "1000")
    assert (result.code, [line.rstrip() for line in result.out.splitlines()]) == (0, GOLDEN.splitlines())


def test_a_plan_that_cannot_be_reached_says_what_could_be(local: Cli) -> None:
    result = local("plan", "--sessions-per-hour", "20")
    assert "judge: a difference of 0.05 takes longer than 24 h; " in result.out
    assert result.out.splitlines()[-1].startswith("below about 200 sessions/h a shadow stage")
    found = local("plan", "--sessions-per-hour", "20", "--json").json
    assert found["reachable"] is False
    assert found["hours"] > found["max_hours"] == 24.0


def test_a_policy_may_be_a_file(local: Cli) -> None:
    (local.folder / "mine.yaml").write_text("extends: fast\ntolerance: {judge: .2}\n")
    gates = local("plan", "--sessions-per-hour", "300", "--policy", "mine.yaml", "--json").json["gates"]
    assert gates[0]["tolerance"] == 0.2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--sessions-per-hour", "-1"), 2),
        (("--sessions-per-hour", "1", "--policy", "reckless"), 1),
        (("--sessions-per-hour", "1", "--policy", "none.yaml"), 2),
        (("--sessions-per-hour", "1", "--policy", "list.yaml"), 2),
    ],
)
def test_what_cannot_be_planned_is_refused(local: Cli, arguments: tuple[str, ...], code: int) -> None:
    (local.folder / "list.yaml").write_text("- 1\n")
    result = local("plan", *arguments)
    assert (result.code, result.out) == (code, "")
    assert result.err


SHADOWED = """\
mine.yaml at 4 sessions/h: weights 0.5, decided in 73.8 h; the maximum bake is 168 h
shadow stage: judge ±0.05 185 pairs, errors ±0.03 275 pairs; over in 68.8 h, its maximum is 168 h
"""


def test_a_plan_with_a_shadow_stage(local: Cli) -> None:
    lines = (
        "extends: fast",
        "stages: [shadow, 50%, 1]",
        "min_bake: [1h]",
        "max_bake: 7d",
        "min_units: 10",
        "tolerance: {judge: 5%}",
        "gates: [judge, errors]",
    )
    (local.folder / "mine.yaml").write_text("\n".join(lines))
    result = local("plan", "--sessions-per-hour", "4", "--policy", "mine.yaml")
    assert (result.code, [line.rstrip() for line in result.out.splitlines()]) == (0, SHADOWED.splitlines())
    found = local("plan", "--sessions-per-hour", "4", "--policy", "mine.yaml", "--json").json
    assert found["reachable"] is True
    assert [gate["pairs"] for gate in found["shadow"]["gates"]] == [185, 275]
    assert found["shadow"]["hours"] == pytest.approx(68.8, abs=0.1)
