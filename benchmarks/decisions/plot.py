"""The rows as one page: a line for each rule in each scenario, a panel for each question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import groupby
from math import log10
from statistics import median
from typing import NamedTuple

from benchmarks.decisions.report import Row

WIDTH, LEFT, GAP, ROW, HEAD = 1560, 400, 70, 16, 66
WRONG, TOLERATED, OURS, THEIRS = "#c0392b", "#d68910", "#1f4e79", "#9aa5b1"
OVERVIEW = "all"  # instead of a scenario's truth
Bar = tuple[float, float, float, str, str]  # length, and from where to where its whisker goes: 0 to 1


class Panel(NamedTuple):
    title: str
    note: str
    bar: Callable[[Row], Bar | None]


def _back(row: Row) -> Bar | None:
    if row["truth"] == "harmful":
        return None
    return _rate(row["rolled_back"], TOLERATED if row["truth"] == "tolerated" else WRONG)


def _missed(row: Row) -> Bar | None:
    if row["truth"] == OVERVIEW:
        return _rate(row["missed"], WRONG)
    if row["truth"] != "harmful":
        return None
    found = row["rolled_back"]
    return _rate({"rate": 1 - found["rate"], "low": 1 - found["high"], "high": 1 - found["low"]}, WRONG)


def overview(rows: Sequence[Row]) -> list[Row]:
    """One row for each rule: the means over scenarios, each counted once, on which every rule was tried."""
    rules = list(dict.fromkeys(row["rule"] for row in rows))
    tried = {(row["scenario"], row["rule"]): row for row in rows}
    common = [name for name in dict.fromkeys(row["scenario"] for row in rows) if _all(tried, name, rules)]
    made = []
    for rule in rules if len(rules) > 1 else ():
        mine = [tried[name, rule] for name in common]
        same = [row["rolled_back"]["rate"] for row in mine if row["truth"] in ("same", "better")]
        harmful = [1.0 - row["rolled_back"]["rate"] for row in mine if row["truth"] == "harmful"]
        if same and harmful:
            spreads = {key: _middle(mine, key) for key in ("canary_sessions", "hours", "judge_calls")}
            rates = {"rolled_back": _mean(same), "missed": _mean(harmful)}
            runs = sum([row["runs"] for row in mine])
            title = f"mean of {len(common)} scenarios"
            made.append(
                {"scenario": title, "truth": OVERVIEW, "rule": rule, "runs": runs, **rates, **spreads}
            )
    return made


def _all(tried: dict[tuple[str, str], Row], scenario: str, rules: Sequence[str]) -> bool:
    return all((scenario, rule) in tried for rule in rules)


def _mean(rates: Sequence[float]) -> dict[str, float]:
    mean = sum(rates) / len(rates)
    return {"rate": mean, "low": mean, "high": mean}


def _middle(rows: Sequence[Row], key: str) -> list[float] | None:
    """The median of the harmful scenarios' medians, and of their upper quantiles."""
    pairs = [row[key] for row in rows if row["truth"] == "harmful" and row.get(key) is not None]
    return [median([pair[end] for pair in pairs]) for end in (0, 1)] if pairs else None


def _rate(rate: dict[str, float], colour: str) -> Bar:
    return rate["rate"], rate["low"], rate["high"], colour, f"{rate['rate']:.1%}"


def _spread(key: str, lowest: float, highest: float) -> Callable[[Row], Bar | None]:
    """Median and upper quantile on a logarithmic scale between these two values."""

    def place(value: float) -> float:
        return min(max(log10(max(value, lowest) / lowest) / log10(highest / lowest), 0.0), 1.0)

    def bar(row: Row) -> Bar | None:
        values = row.get(key)
        if values is None:
            return None
        middle, upper = place(values[0]), place(values[1])
        colour = OURS if row["rule"] == "this gateway" else THEIRS
        return middle, middle, upper, colour, f"{values[0]:g}"

    return bar


PANELS = (
    Panel("false rollback", "share of runs, 95 % Wilson interval", _back),
    Panel("missed regression", "share of runs not rolled back", _missed),
    Panel(
        "canary sessions before rollback", "median to 90 %, 10 to 10,000", _spread("canary_sessions", 10, 1e4)
    ),
    Panel("hours to the decision", "median to 80 %, .1 to 24", _spread("hours", 0.1, 24)),
    Panel("judge calls until then", "median to 90 %, 10 to 10,000", _spread("judge_calls", 10, 1e4)),
)


def page(rows: Sequence[Row]) -> str:
    """A whole HTML document; the plot is one inline SVG."""
    marks: list[str] = []
    y = HEAD
    for scenario, group in groupby([*overview(rows), *rows], key=lambda row: row["scenario"]):
        marks.append(f'<line x1="4" x2="{WIDTH - 4}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        for row in group:
            marks += _line(row, y)
            y += ROW
        marks.append(f'<text x="8" y="{y - 4}" font-weight="bold">{escape(scenario)}</text>')
        y += 4
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Decision quality</title>'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 10}" font-family="sans-serif" '
        f'font-size="10">{"".join(_heads())}{"".join(marks)}</svg></html>\n'
    )


def _heads() -> list[str]:
    title = (
        "Decision quality: this gateway beside other rules, simulated sessions. Red: wrong decisions. Amber: "
        "rollbacks of what is tolerated. On top the means; exposure, time and judge calls of harmful ones."
    )
    marks = [f'<text x="8" y="16" font-size="12">{title}</text>']
    for index, panel in enumerate(PANELS):
        x = _left(index)
        marks.append(f'<text x="{x:.0f}" y="40" font-weight="bold">{escape(panel.title)}</text>')
        marks.append(f'<text x="{x:.0f}" y="54" fill="#666">{escape(panel.note)}</text>')
    return marks


def _line(row: Row, y: int) -> list[str]:
    weight = ' font-weight="bold"' if row["rule"] == "this gateway" else ""
    label = f"{escape(row['rule'])}, {row['runs']} runs"
    marks = [f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end"{weight}>{label}</text>']
    width = _left(1) - _left(0) - GAP
    for index, panel in enumerate(PANELS):
        found = panel.bar(row)
        if found is None:
            continue
        length, low, high, colour, text = found
        x = _left(index)
        marks.append(
            f'<rect x="{x:.1f}" y="{y + 3}" width="{max(length * width, 1):.1f}" height="10" '
            f'fill="{colour}"/>'
            f'<line x1="{x + low * width:.1f}" x2="{x + high * width:.1f}" y1="{y + 8}" y2="{y + 8}" '
            f'stroke="#222"/><text x="{x + max(high, length) * width + 4:.1f}" y="{y + 12}">{text}</text>'
        )
    return marks


def _left(panel: int) -> float:
    return LEFT + panel * (WIDTH - LEFT) / len(PANELS)
