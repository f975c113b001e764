"""Writes what was measured into the documents, between two markers: `<!-- name -->` … `<!-- /name -->`."""

from __future__ import annotations

import re
from pathlib import Path


def fill(path: Path, name: str, text: str) -> None:
    """Raises ValueError where the markers are missing: a document that is not updated would lie."""
    content = path.read_text()
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if len(pattern.findall(content)) != 1:
        raise ValueError(f"{path.name} needs one <!-- {name} --> with its <!-- /{name} -->")
    path.write_text(pattern.sub(lambda found: f"{found[1]}{text}\n{found[2]}", content))
