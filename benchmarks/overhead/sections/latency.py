"""What each peer adds to an answer's latency, at one rate for all: half of what saturates this gateway."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack

import uvloop

from benchmarks.overhead import load, openloop
from benchmarks.overhead.peers import Peer
from benchmarks.overhead.plan import Data, Plan, median, quantile, table

NAME = "latency"
TITLE = "Added latency at half of saturation"
PARTS = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
LONGER = 2.0  # times a usual measurement: for the tail's sake


def run(plan: Plan) -> Data:
    with ExitStack() as stack:
        return uvloop.run(measure(plan.beside(stack, NAME), plan))


async def measure(found: list[Peer], plan: Plan) -> Data:
    saturated = await load.run(found[-1], stream=False, connections=64, seconds=max(plan.seconds, 1.0))
    saturated.check(found[-1].name)
    rate = round(saturated.requests / saturated.elapsed / 2)
    rounds: dict[str, list[dict[str, float]]] = defaultdict(list)
    failed: dict[str, int] = defaultdict(int)
    for number in range(plan.rounds):
        for peer in found:
            latencies, failures = await openloop.run(peer, rate=rate, seconds=plan.seconds * LONGER)
            failed[peer.name] += failures
            rounds[peer.name].append({name: quantile(latencies, at) for name, at in PARTS.items()})
        print(f"  round {number + 1}/{plan.rounds}, {rate}/s", flush=True)
    base = rounds[found[0].name]
    rows: list[Data] = []
    for name, own in rounds.items():
        row: Data = {"peer": name, "failed": failed[name]}
        for part in PARTS:
            row[f"{part}_us"] = median([each[part] * 1e6 for each in own])
            added = [(each[part] - zero[part]) * 1e6 for each, zero in zip(own, base, strict=True)]
            row[f"added_{part}_us"] = median(added)
        rows.append(row)
    return {"rate": rate, "rows": rows}


def markdown(data: Data) -> str:
    columns = {"peer": "peer"} | {f"{part}_us": f"{part} µs" for part in PARTS}
    columns |= {f"added_{part}_us": f"added {part}" for part in PARTS} | {"failed": "failed"}
    return table(data["rows"], columns) + (
        f"\n\n{data['rate']} requests/s, open loop, each counted from when it was due; added: beyond the "
        "same client's direct way to the provider in the same round."
    )
