"""What each peer adds to the time to first token and to the gaps between events."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import ExitStack

import uvloop

from benchmarks.overhead import provider, streams
from benchmarks.overhead.peers import Peer
from benchmarks.overhead.plan import Data, Plan, median, quantile, table
from benchmarks.overhead.requests import template

NAME = "streaming"
TITLE = "Added time to first token and added gaps"
STREAMS, EVENTS, GAP = 16, 20, 0.02  # GAP in s
FIGURES = {"ttft p50": ("first", 0.5), "ttft p99": ("first", 0.99), "gap p99": ("gaps", 0.99)}


def run(plan: Plan) -> Data:
    with ExitStack() as stack:
        return uvloop.run(measure(plan.beside(stack, NAME), plan))


async def measure(found: list[Peer], plan: Plan) -> Data:
    rounds: dict[str, list[dict[str, float]]] = defaultdict(list)
    for number in range(plan.rounds + 1):
        for peer in found:
            figures = await once(peer, plan.seconds)
            if number:  # the first one warms
                rounds[peer.name].append(figures)
        if number:
            print(f"  round {number}/{plan.rounds}", flush=True)
    base = rounds[found[0].name]
    rows: list[Data] = []
    for name, own in rounds.items():
        row: Data = {"peer": name}
        for figure in FIGURES:
            row[figure] = median([each[figure] * 1e6 for each in own])
            added = [(each[figure] - zero[figure]) * 1e6 for each, zero in zip(own, base, strict=True)]
            row[f"added {figure}"] = median(added)
        rows.append(row)
    return {"rows": rows}


async def once(peer: Peer, seconds: float) -> dict[str, float]:
    seen = streams.Seen()
    asked = template(peer, stream=True, plan=provider.plan(EVENTS, GAP))
    made = await streams.open_streams(peer, asked, STREAMS, seen, once=False)
    await asyncio.sleep(max(seconds, 2 * EVENTS * GAP))
    streams.close_all(made)
    if seen.broken or not seen.gaps:
        raise RuntimeError(f"{peer.name}: {seen.broken} streams broke: these figures would mean nothing")
    values = {"first": seen.first, "gaps": [gap for _, gap in seen.gaps]}
    return {figure: quantile(values[kind], part) for figure, (kind, part) in FIGURES.items()}


def markdown(data: Data) -> str:
    columns = {"peer": "peer"} | {figure: f"{figure} µs" for figure in FIGURES}
    columns |= {f"added {figure}": f"added {figure}" for figure in FIGURES}
    return table(data["rows"], columns) + (
        f"\n\n{STREAMS} streams of {EVENTS} events, one every {GAP * 1000:.0f} ms; added: beyond the same "
        "client's direct way to the provider in the same round."
    )
