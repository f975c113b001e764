"""`python -m benchmarks.decisions.documents`: the tables of README.md and docs/decisions.md, from
benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.decisions.hours import markdown as hours_table
from benchmarks.decisions.report import REVISION, Row
from benchmarks.decisions.rules import RULES
from benchmarks.overhead.document import fill
from gateway.simulation.scenario import SCENARIOS
from gateway.simulation.summary import share

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
OURS = "this gateway"
AA, SMALL, LARGE, ERRORS = "A/A", "judge -.05", "judge -.10", "errors .5 to 5 %"


def document(rows: Sequence[Row], root: Path = ROOT) -> None:
    fill(root / "docs" / "decisions.md", "measured", measured(rows))
    fill(root / "docs" / "decisions.md", "timings", timings(rows))
    fill(root / "README.md", "decisions", beside(rows))
    hours = RESULTS / "hours.json"
    if hours.exists():  # it has a benchmark of its own
        fill(root / "docs" / "decisions.md", "hours", hours_table(json.loads(hours.read_text())))


def measured(rows: Sequence[Row]) -> str:
    """This gateway in every scenario but those that differ in time alone."""
    lines = [
        "| candidate | runs | rolled back | promoted | canary sessions before rollback | hours to decision |",
        "|---|---|---|---|---|---|",
    ]
    for row in _ours(rows):
        if not _timing(row):
            cells = (_rate(row["rolled_back"]), _rate(row["promoted"]), _pair(row["canary_sessions"]))
            lines.append(f"| {_name(row)} | {row['runs']:,} | {' | '.join(cells)} | {row['hours'][0]:.1f} |")
    return "\n".join(lines)


def timings(rows: Sequence[Row]) -> str:
    """A/A whose arms differ in time alone: false rollbacks by kind and measured sessions per second."""
    found = {_cell(row): row for row in _ours(rows) if _timing(row)}
    kinds = list(dict.fromkeys(kind for kind, _ in found))
    rates = list(dict.fromkeys(rate for _, rate in found))
    lines = ["| arms differ in | " + " | ".join(rates) + " |", "|---" * (len(rates) + 1) + "|"]
    for kind in kinds:
        cells = [_share(found[kind, rate]) if (kind, rate) in found else "–" for rate in rates]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    cells = [_all([row for cell, row in found.items() if cell[1] == rate]) for rate in rates]
    lines.append(f"| together | {' | '.join(cells)} |")
    return "\n".join(lines)


def beside(rows: Sequence[Row]) -> str:
    """A line for each rule: what it does to an equal candidate and to three that are worse."""
    lines = [
        "| rule | equal candidate rolled back | judge −.05 found | judge −.10 found | errors .5 → 5 % found "
        "| canary sessions until judge −.10 is found |",
        "|---|---|---|---|---|---|",
    ]
    table = {(row["rule"], row["scenario"]): row for row in rows}
    for rule in (OURS, *[rule.name for rule in RULES]):
        if (rule, AA) in table:
            same = table[rule, AA]
            found = [f"{table[rule, name]['rolled_back']['rate']:.0%}" for name in (SMALL, LARGE, ERRORS)]
            exposed = _pair(table[rule, LARGE]["canary_sessions"])
            cells = (f"{_rate(same['rolled_back'])} of {same['runs']:,}", *found, exposed)
            lines.append(f"| {rule} | {' | '.join(cells)} |".replace("%", " %").replace("  %", " %"))
    return "\n".join(lines)


def _ours(rows: Sequence[Row]) -> Iterator[Row]:
    order = {scenario.name: index for index, scenario in enumerate(SCENARIOS)}
    yield from sorted(
        [row for row in rows if row["rule"] == OURS and row["scenario"] in order],
        key=lambda row: order[row["scenario"]],
    )


def _cell(row: Row) -> tuple[str, str]:
    """Kind and rate."""
    kind, rate = row["scenario"].removeprefix("A/A ").rsplit(", ", 1)
    return kind, rate


def _timing(row: Row) -> bool:
    return bool(row["scenario"].endswith("/s"))


def _name(row: Row) -> str:
    return row["scenario"] if row.get("revision") == REVISION else f"{row['scenario']} ¹"


def _rate(rate: dict[str, float]) -> str:
    return f"{rate['rate'] * 100:.1f} % ({rate['low'] * 100:.1f}-{rate['high'] * 100:.1f})"


def _share(row: Row) -> str:
    back = row["rolled_back"]
    mark = "" if row.get("revision") == REVISION else " ¹"
    return f"{back['hits']} of {back['runs']} (≤ {back['high'] * 100:.1f} %){mark}"


def _all(rows: Sequence[Row]) -> str:
    found = share(sum([row["rolled_back"]["hits"] for row in rows]), sum([row["runs"] for row in rows]))
    return f"{found.hits} of {found.runs} (≤ {found.high * 100:.1f} %)"


def _pair(values: Sequence[float] | None) -> str:
    return "–" if values is None else f"{values[0]:,.0f} / {values[1]:,.0f}"


if __name__ == "__main__":
    document(json.loads((RESULTS / "decisions.json").read_text()))
