"""Results in files: JSON, Markdown, a page with the plot, and the parts of README and operations guide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.overhead import document, machine, sizing, targets
from benchmarks.overhead.plot import page
from benchmarks.overhead.sections import SECTIONS

ROOT = Path(__file__).resolve().parent.parent.parent


def read(path: Path) -> dict[str, Any]:
    """Earlier results, empty where there are none."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found if "sections" in found else {"machine": {}, "left_out": {}, "sections": {}}


def markdown(results: dict[str, Any]) -> str:
    parts = [f"# Overhead\n\n{machine.sentence(results['machine'])}", "## Targets", _targets(results)]
    for name, module in SECTIONS.items():
        if name in results["sections"]:
            parts += [f"## {module.TITLE}", module.markdown(results["sections"][name])]
    if results["left_out"]:
        parts += ["## Left out", *(f"- {name}: {_short(why)}" for name, why in results["left_out"].items())]
    return "\n\n".join(parts)


def _targets(results: dict[str, Any]) -> str:
    return targets.markdown(targets.judge(results["sections"]))


def _short(why: str) -> str:
    lines = [line for line in why.strip().splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:200]


def write(results: dict[str, Any], folder: Path) -> str:
    """Returns the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(results)
    (folder / "overhead.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    (folder / "overhead.md").write_text(text + "\n")
    (folder / "overhead.html").write_text(page(results["sections"]))
    return text


def publish(results: dict[str, Any], root: Path = ROOT) -> None:
    """README: the targets, and what a request costs; operations guide: sizes. A part whose section is missing
    stays as it is."""
    sections = results["sections"]
    if "cost" in sections:
        parts = [
            machine.sentence(results["machine"]),
            _targets(results),
            "",
            SECTIONS["cost"].markdown(sections["cost"]),
        ]
        document.fill(root / "README.md", "overhead", "\n\n".join(parts))
    if "cost" in sections and "memory" in sections:
        document.fill(root / "docs" / "operations.md", "sizing", sizing.markdown(sections))
