"""The results as one page: a bar for each peer, a panel for each question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from typing import Any, NamedTuple

WIDTH, LEFT, ROW, HEAD = 900, 240, 18, 44
OURS, THEIRS = "#1f4e79", "#9aa5b1"


class Panel(NamedTuple):
    """`key` of the rows of `section` that hold `where`; logarithmic from `lowest` to the largest value."""

    title: str
    section: str
    key: str
    lowest: float
    where: Mapping[str, object]
    label: str = "peer"


PANELS = (
    Panel("processor time per request, µs", "cost", "request_us", 1.0, {"upstream": "http"}),
    Panel("the same with TLS to the upstream, µs", "cost", "request_us", 1.0, {"upstream": "https"}),
    Panel("processor time per event of a stream, µs", "cost", "event_us", 1.0, {"upstream": "http"}),
    Panel("requests/s of one processor", "cost", "requests_per_s", 10.0, {"upstream": "http"}),
    Panel("added latency at half of saturation, p50, µs", "latency", "added_p50_us", 1.0, {}),
    Panel("added latency at half of saturation, p99, µs", "latency", "added_p99_us", 1.0, {}),
    Panel("added time to first token, p50, µs", "streaming", "added ttft p50", 1.0, {}),
    Panel("memory per open stream, KiB", "memory", "kb_per_stream", 1.0, {"upstream": "http"}),
    Panel("memory per open stream with TLS, KiB", "memory", "kb_per_stream", 1.0, {"upstream": "https"}),
    Panel("gap that a body of 32 MiB adds, ms", "body", "added_ms", 0.1, {"upstream": "http", "turns": 1}),
    Panel("cost with many against few", "growth", "ratio", 0.1, {}, "what"),
)


def page(sections: Mapping[str, Any]) -> str:
    """A whole HTML document; the plot is one inline SVG."""
    marks: list[str] = []
    y = HEAD
    for panel in PANELS:
        rows = _rows(panel, sections)
        if rows:
            marks.append(f'<text x="8" y="{y}" font-weight="bold">{escape(panel.title)}</text>')
            marks += _bars(panel, rows, y + 8)
            y += 8 + ROW * len(rows) + 24
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Overhead</title>'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" '
        'font-size="11"><text x="8" y="18" font-size="13">Overhead: this gateway beside others in one run. '
        f"Scales are logarithmic.</text>{''.join(marks)}</svg></html>\n"
    )


def _rows(panel: Panel, sections: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = sections.get(panel.section, {}).get("rows", [])
    held = [row for row in rows if all(row.get(key) == value for key, value in panel.where.items())]
    return [row for row in held if row.get(panel.key) is not None and row[panel.label] != "direct"]


def _bars(panel: Panel, rows: Sequence[Mapping[str, Any]], y: int) -> list[str]:
    largest = max(max(row[panel.key] for row in rows), panel.lowest * 10)
    marks = []
    for index, row in enumerate(rows):
        value, name = row[panel.key], str(row[panel.label])
        share = log10(max(value, panel.lowest) / panel.lowest) / log10(largest / panel.lowest)
        width = max(share * (WIDTH - LEFT - 80), 1.0)
        top = y + ROW * index
        colour = OURS if name.startswith("gateway") else THEIRS
        marks.append(
            f'<text x="{LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{LEFT}" y="{top + 2}" width="{width:.1f}" height="{ROW - 5}" fill="{colour}"/>'
            f'<text x="{LEFT + width + 5:.1f}" y="{top + 13}">{value:g}</text>'
        )
    return marks
