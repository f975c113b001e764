"""/metrics as text: Prometheus 0.0.4, or OpenMetrics 1.0.0 where the reader likes it as much.

https://prometheus.io/docs/instrumenting/exposition_formats and
https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import inf

from gateway.telemetry.metrics import METRICS, PREFIX, Metric, Sample

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Values = Sequence[tuple[Sequence[str], Sequence[float]]]


def content_type(accept: str) -> str:
    """The format that an Accept header asks for (RFC 9110, section 12.5.1).

    >>> content_type("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")[:28]
    'application/openmetrics-text'
    >>> content_type("*/*"), content_type("text/plain, application/openmetrics-text;q=0.1") == PLAIN
    ('text/plain; version=0.0.4; charset=utf-8', True)
    """
    wishes = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        given = dict(part.partition("=")[::2] for part in parameters)
        if kind in wishes and given.get("version", "1.0.0") in ("0.0.1", "0.0.4", "1.0.0"):
            wishes[kind] = max(wishes[kind], _quality(given.get("q", "1")))
    preferred = wishes["application/openmetrics-text"]
    return OPENMETRICS if preferred > 0 and preferred >= wishes["text/plain"] else PLAIN


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def render(samples: Iterable[Sample], *, openmetrics: bool) -> bytes:
    """In the order of the table; metrics without a sample are left out."""
    found: dict[str, list[tuple[Sequence[str], Sequence[float]]]] = defaultdict(list)
    for name, labels, values in samples:
        found[name].append((labels, values))
    lines: list[str] = []
    for metric in METRICS:
        if metric.name in found:
            name = PREFIX + metric.name
            family = name.removesuffix("_total") if openmetrics else name
            lines += (f"# HELP {family} {_escaped(metric.help, '')}", f"# TYPE {family} {metric.kind}")
            lines += _series(metric, found[metric.name])
    if openmetrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


def _series(metric: Metric, values: Values) -> Iterator[str]:
    name = PREFIX + metric.name
    for labels, numbers in values:
        pairs = [f'{label}="{_escaped(value)}"' for label, value in zip(metric.labels, labels, strict=True)]
        if metric.kind != "histogram":
            yield f"{name}{_braced(pairs)} {_number(numbers[0])}"
            continue
        *counts, total = numbers
        bounds = [*map(_number, map(float, metric.bounds)), "+Inf"]
        for bound, count in zip(bounds, accumulate(counts), strict=True):
            edge = f'le="{bound}"'
            yield f"{name}_bucket{_braced([*pairs, edge])} {_number(count)}"
        yield f"{name}_sum{_braced(pairs)} {_number(total)}"
        yield f"{name}_count{_braced(pairs)} {_number(sum(counts))}"


def _braced(pairs: Sequence[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _number(value: float) -> str:
    return {inf: "+Inf", -inf: "-Inf"}.get(value) or repr(value)


def _escaped(text: str, quote: str = '"') -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace(quote, "\\" + quote) if quote else text
