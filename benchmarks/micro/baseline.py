"""What was measured, as ratios to the yardstick, beside a stored baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

YARDSTICK = "yardstick"
BASELINE = Path(__file__).resolve().parent / "baseline.json"
SLOWER = 1.3  # times the baseline, from where on it is a finding; neighbours cost up to a fifth


class Compared(NamedTuple):
    """`us`: the least of its rounds; `ratio` to the yardstick; `before` the baseline's, None if it is new."""

    name: str
    us: float
    ratio: float
    before: float | None

    @property
    def change(self) -> float | None:
        return None if self.before is None else self.ratio / self.before

    @property
    def slower(self) -> bool:
        return self.change is not None and self.change > SLOWER


def read(report: Mapping[str, Any]) -> dict[str, float]:
    """Least times of pytest-benchmark's JSON, s, by name without `test_`. The least is what it costs; what
    others add on top is their noise."""
    return {each["name"].removeprefix("test_"): each["stats"]["min"] for each in report["benchmarks"]}


def compare(least: Mapping[str, float], before: Mapping[str, float]) -> list[Compared]:
    yardstick = least[YARDSTICK]
    return [
        Compared(name, seconds * 1e6, seconds / yardstick, before.get(name))
        for name, seconds in least.items()
        if name != YARDSTICK
    ]


def stored(kind: str, path: Path = BASELINE) -> dict[str, float]:
    """`kind` is compiled or interpreted."""
    found: dict[str, float] = json.loads(path.read_text()).get(kind, {}) if path.exists() else {}
    return found


def store(compared: list[Compared], kind: str, path: Path = BASELINE) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    content[kind] = {each.name: round(each.ratio, 4) for each in compared}
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def markdown(compared: list[Compared]) -> str:
    lines = ["| function | µs | × yardstick | baseline | change |", "|---|---|---|---|---|"]
    for each in compared:
        before = "–" if each.before is None else f"{each.before:.3f}"
        change = (
            "new" if each.change is None else f"× {each.change:.2f}{' **slower**' if each.slower else ''}"
        )
        lines.append(f"| {each.name} | {each.us:.2f} | {each.ratio:.3f} | {before} | {change} |")
    return "\n".join(lines)
