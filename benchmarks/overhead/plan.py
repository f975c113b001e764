"""What every section is given, and what it gives back."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.overhead import own, peers
from benchmarks.overhead.certificate import make_certificate
from benchmarks.overhead.peers import Missing, Peer, Upstream

Data = dict[str, Any]  # JSON


@dataclass(slots=True)
class Plan:
    """`rounds` are interleaved; `seconds` is the length of one measurement; `streams` how many are held open;
    `scale` makes the sections on growth smaller (1: as in the targets). `left_out` names what is missing."""

    folder: Path
    rounds: int = 5
    seconds: float = 1.5
    streams: int = 5000
    scale: float = 1.0
    others: Sequence[str] = ()  # `peers.other`
    left_out: dict[str, str] = field(default_factory=dict)

    def count(self, full: int) -> int:
        return max(round(full * self.scale), 10)

    @contextlib.contextmanager
    def provider(self, scheme: str = "http", *, awake: bool = False) -> Iterator[Upstream]:
        certificate = make_certificate(self.folder) if scheme == "https" else None
        with peers.provider(self.folder, certificate, awake=awake) as upstream:
            yield upstream

    def enter(self, stack: ExitStack, name: str, started: AbstractContextManager[Peer]) -> Peer | None:
        """A peer, or None where it is not installed or does not start; the reason is kept."""
        try:
            return stack.enter_context(started)
        except (Missing, RuntimeError, TimeoutError, OSError) as error:
            self.left_out[name] = str(error)
            print(f"  left out: {name}: {error}", flush=True)
            return None

    def enter_own(
        self, stack: ExitStack, folder: Path, upstream: Upstream, mode: str, **options: Any
    ) -> Peer:
        peer, _ = stack.enter_context(own.gateway(folder, upstream, mode, **options))
        return peer

    def beside(self, stack: ExitStack, name: str) -> list[Peer]:
        """The provider itself, the proxies, and the gateway: passing, and with everything on."""
        upstream = stack.enter_context(self.provider())
        collector = stack.enter_context(self.provider()).port
        folder = self.folder / name
        own = [
            self.enter_own(stack, folder / mode, upstream, mode, collector=collector)
            for mode in ("pass", "all")
        ]
        return [peers.direct(upstream), *self.proxies(stack, folder, upstream), *own]

    def proxies(self, stack: ExitStack, folder: Path, upstream: Upstream) -> list[Peer]:
        """nginx and HAProxy, where they are installed."""
        found = [
            self.enter(stack, "nginx", peers.nginx(folder / "nginx", upstream)),
            self.enter(stack, "HAProxy", peers.haproxy(folder / "haproxy", upstream)),
        ]
        return [peer for peer in found if peer is not None]


def median(values: Sequence[float], digits: int = 1) -> float:
    return round(statistics.median(values), digits)


def quantile(values: Sequence[float], part: float) -> float:
    """Of sorted or unsorted values, the one below which `part` of them lie.

    >>> quantile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def table(rows: Sequence[Data], columns: dict[str, str]) -> str:
    """Markdown; `columns` are key → title, a missing value is a dash."""
    lines = ["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = ("–" if row.get(key) is None else str(row[key]) for key in columns)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
