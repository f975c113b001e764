"""What was simulated, as rows and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from benchmarks.decisions.observe import Watched
from benchmarks.decisions.rules import RULES
from gateway.simulation.rollout import Run
from gateway.simulation.scenario import Scenario
from gateway.simulation.summary import share, spread, summarize

Row = dict[str, Any]
REVISION = 2  # of the code that rows were measured with; 1, without one: before docs/adr/0013 and 0014


def ours(scenario: Scenario, runs: Sequence[Run]) -> Row:
    """One row: what became of the rollouts, with Wilson intervals (95 %)."""
    return {**msgspec.to_builtins(summarize(scenario, runs)), "rule": "this gateway", "revision": REVISION}


def theirs(scenario: Scenario, watched: Sequence[Watched]) -> list[Row]:
    """A row for each other rule that was looked at."""
    rows = []
    for name in [rule.name for rule in RULES]:
        runs = [each for each in watched if each.rule == name]
        tripped = [each for each in runs if each.tripped]
        if runs:
            rows.append(
                {
                    "scenario": scenario.name,
                    "truth": scenario.truth,
                    "rule": name,
                    "revision": REVISION,
                    "runs": len(runs),
                    "rolled_back": msgspec.to_builtins(share(len(tripped), len(runs))),
                    "canary_sessions": spread([each.canary_sessions for each in tripped]),
                    "hours": spread([each.seconds / 3600.0 for each in tripped], 0.8),
                    "judge_calls": spread([each.judge_calls for each in runs]),
                }
            )
    return rows


COLUMNS = (
    "scenario",
    "truth",
    "rule",
    "runs",
    "rolled back",
    "promoted",
    "canary sessions",
    "hours",
    "judge calls",
    "held",
)


def markdown(rows: Sequence[Row]) -> str:
    lines = [
        "Rolled back and promoted: share of runs with its 95 % Wilson interval. Canary sessions: served "
        "before a rollback, median / 90 %. Hours: until promotion or rollback (of the other rules: until "
        "they roll back), median / 80 %. Judge calls: until then, median / 90 %. Held: runs, by reason. "
        f"¹ Measured with the code of an earlier revision than {REVISION}.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
    ]
    for row in rows:
        cells = [
            row["scenario"],
            row["truth"],
            row["rule"] if row.get("revision") == REVISION else f"{row['rule']} ¹",
            str(row["runs"]),
            _percent(row["rolled_back"]),
            _percent(row.get("promoted")),
            _pair(row.get("canary_sessions")),
            _pair(row.get("hours")),
            _pair(row.get("judge_calls")),
            ", ".join(f"{name} {count}" for name, count in row.get("held", {}).items()),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _percent(rate: dict[str, float] | None) -> str:
    if rate is None:
        return ""
    return f"{rate['rate']:.1%} ({rate['low']:.1%}-{rate['high']:.1%})"


def _pair(values: Sequence[float] | None) -> str:
    return "" if values is None else f"{values[0]:g} / {values[1]:g}"
