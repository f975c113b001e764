"""What /metrics says, as numbers: the plain text format, read strictly."""

from __future__ import annotations

import re
import urllib.request

from gateway.telemetry.metrics import PREFIX, Sample
from tests.support.gateway import Gateway

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)\Z')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')

Key = tuple[str, ...]  # the name without its prefix, then the labels' values in order


def scraped(gateway: Gateway, accept: str = "text/plain") -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{gateway.admin}/metrics", headers={"accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def read(text: str) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = LINE.match(line)
        assert match is not None, line
        name, labels, value = match.groups()
        key = (name.removeprefix(PREFIX), *(value for _, value in LABEL.findall(labels or "")))
        assert key not in found, line
        found[key] = float(value)
    return found


def total(found: dict[Key, float], name: str) -> float:
    return sum(value for key, value in found.items() if key[0] == name)


def by_key(samples: list[Sample]) -> dict[Key, float]:
    """Samples of counters and gauges."""
    return {(name, *labels): values[0] for name, labels, values in samples if len(values) == 1}
