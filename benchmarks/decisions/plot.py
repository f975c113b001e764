"""The rows as one page: a line for each rule in each scenario, a panel for each question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import groupby
from math import log10
from typing import NamedTuple

from benchmarks.decisions.report import Row

WIDTH, LEFT, GAP, ROW, HEAD = 1560, 400, 70, 16, 66
WRONG, TOLERATED, OURS, THEIRS = "#c0392b", "#d68910", "#1f4e79", "#9aa5b1"
Bar = tuple[float, float, float, str, str]  # length, and from where to where its whisker goes: 0 to 1


class Panel(NamedTuple):
    title: str
    note: str
    bar: Callable[[Row], Bar | None]


def _back(row: Row) -> Bar | None:
    if row["truth"] == "harmful":
        return None
    colour = TOLERATED if row["truth"] == "tolerated" else WRONG
    return _rate(row["rolled_back"], colour)


def _missed(row: Row) -> Bar | None:
    if row["truth"] != "harmful":
        return None
    found = row["rolled_back"]
    return _rate({"rate": 1 - found["rate"], "low": 1 - found["high"], "high": 1 - found["low"]}, WRONG)


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
    for scenario, group in groupby(rows, key=lambda row: row["scenario"]):
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
    marks = [
        '<text x="8" y="16" font-size="13">Decision quality: this gateway beside other rules. '
        "Simulated sessions. Red: wrong decisions. Amber: rollbacks of what is tolerated.</text>"
    ]
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
