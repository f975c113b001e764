"""Tables and a plot of what was simulated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

from benchmarks.decisions.rules import Rule
from benchmarks.decisions.run import Run
from benchmarks.decisions.scenario import Scenario
from gateway.stats.intervals import wilson

Row = dict[str, Any]


def ours(scenario: Scenario, runs: Sequence[Run]) -> Row:
    """One row: what became of the rollouts, with Wilson intervals (95 %)."""
    outcomes = Counter(run.outcome for run in runs)
    back = [run for run in runs if run.outcome == "rolled_back"]
    return {
        "scenario": scenario.name,
        "truth": scenario.truth,
        "rule": "this gateway",
        "runs": len(runs),
        "rolled_back": _rate(outcomes["rolled_back"], len(runs)),
        "promoted": _rate(outcomes["promoted"], len(runs)),
        "because": dict(Counter(run.rule for run in back).most_common()),
        "held": dict(Counter(hold for run in runs for hold in run.holds).most_common()),
        "canary_sessions": _spread([run.canary_sessions for run in back]),
        "canary_requests": _spread([run.canary_requests for run in back]),
        "hours": _spread([run.seconds / 3600.0 for run in runs], 0.8),
        "judge_calls": _spread([run.judge_calls for run in runs]),
    }


def theirs(scenario: Scenario, watched: Sequence[Sequence[Rule]]) -> list[Row]:
    """A row for each other rule; every element of `watched` is one run."""
    rows = []
    for rules in zip(*watched, strict=True):
        tripped = [rule for rule in rules if rule.at is not None]
        rows.append(
            {
                "scenario": scenario.name,
                "truth": scenario.truth,
                "rule": rules[0].name,
                "runs": len(rules),
                "rolled_back": _rate(len(tripped), len(rules)),
                "canary_sessions": _spread([rule.canary_sessions for rule in tripped]),
                "hours": _spread([(rule.at or 0.0) / 3600.0 for rule in tripped], 0.8),
            }
        )
    return rows


def _rate(hits: int, runs: int) -> dict[str, float]:
    interval = wilson(hits, runs)
    return {
        "rate": round(interval.estimate, 4),
        "low": round(interval.low, 4),
        "high": round(interval.high, 4),
    }


def _spread(values: Sequence[float], upper: float = 0.9) -> list[float] | None:
    """Median and the upper quantile."""
    if not values:
        return None
    ordered = sorted(values)
    return [round(ordered[int(part * (len(ordered) - 1))], 2) for part in (0.5, upper)]


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
        "before a rollback, median / 90 %. Hours: until promotion or rollback, median / 80 %. Held: runs.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
    ]
    for row in rows:
        cells = [
            row["scenario"],
            row["truth"],
            row["rule"],
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


def _pair(values: list[float] | None) -> str:
    return "" if values is None else f"{values[0]:g} / {values[1]:g}"


WIDTH, LEFT, ROW = 980, 470, 18
COLOURS = {"same": "#c0392b", "tolerated": "#d68910", "harmful": "#1e8449", "better": "#c0392b"}


def page(rows: Sequence[Row]) -> str:
    """Rollback rates as bars with their intervals: red where a rollback is false, green where it is right."""
    scale = WIDTH - LEFT - 60
    marks = []
    for index, row in enumerate(rows):
        y = 30 + index * ROW
        rate = row["rolled_back"]
        colour = COLOURS[row["truth"]]
        x = LEFT + rate["rate"] * scale
        low, high = LEFT + rate["low"] * scale, LEFT + rate["high"] * scale
        label = escape(f"{row['scenario']} · {row['rule']}")
        marks.append(
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{label}</text>'
            f'<rect x="{LEFT}" y="{y + 2}" width="{max(x - LEFT, 1):.1f}" height="12" fill="{colour}"/>'
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + 8}" y2="{y + 8}" stroke="#222"/>'
            f'<text x="{high + 6:.1f}" y="{y + 12}">{rate["rate"]:.1%}</text>'
        )
    height = 50 + len(rows) * ROW
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Decision quality</title>'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="11">'
        '<text x="8" y="16">Share of runs rolled back, with 95 % Wilson intervals. '
        "Red: the candidate was no worse. Green: it was worse. Amber: worse within its tolerance.</text>"
        + "".join(marks)
        + "</svg></html>\n"
    )
