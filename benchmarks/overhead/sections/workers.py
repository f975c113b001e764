"""One worker against two: requests for each second of processor time, and how evenly connections spread."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack

import uvloop

from benchmarks.overhead import cpu, load, own
from benchmarks.overhead.peers import Peer
from benchmarks.overhead.plan import Data, Plan, median, table

NAME = "workers"
TITLE = "One worker against two"
CONNECTIONS = (8, 32, 128)
FIGURES = ("requests_per_s", "per_core_second", "capacity")


def run(plan: Plan) -> Data:
    with ExitStack() as stack:
        upstream = stack.enter_context(plan.provider())
        cpu.pin(upstream.pid, cpu.OTHERS | cpu.MEASURED)
        folder = plan.folder / "workers"
        found: dict[int, tuple[Peer, list[int]]] = {}
        for count in (1, 2):
            started = own.gateway(folder / str(count), upstream, "managed", workers=count, pinned=False)
            peer, admin = stack.enter_context(started)
            cpu.pin_tree(peer.pid, cpu.OTHERS | cpu.MEASURED)
            found[count] = peer, own.workers_of(admin)
        return uvloop.run(measure(found, plan))


async def measure(found: dict[int, tuple[Peer, list[int]]], plan: Plan) -> Data:
    samples: dict[tuple[int, int], list[dict[str, float]]] = defaultdict(list)
    for number in range(plan.rounds + 1):
        for connections in CONNECTIONS:
            for count, (peer, pids) in found.items():
                sample = await once(peer, pids, connections, plan.seconds)
                if number:  # the first one warms
                    samples[connections, count].append(sample)
        if number:
            print(f"  round {number}/{plan.rounds}", flush=True)
    rows: list[Data] = []
    for connections in CONNECTIONS:
        one, two = samples[connections, 1], samples[connections, 2]
        row: Data = {"connections": connections}
        for figure in FIGURES:
            row[f"{figure}_1"] = round(median([each[figure] for each in one]))
            row[f"{figure}_2"] = round(median([each[figure] for each in two]))
            ratios = [after[figure] / before[figure] for before, after in zip(one, two, strict=True)]
            row[f"{figure}_ratio"] = median(ratios, 2)
        row["busiest"] = median([each["busiest"] for each in two], 2)
        rows.append(row)
    return {"rows": rows}


async def once(peer: Peer, pids: list[int], connections: int, seconds: float) -> dict[str, float]:
    """`capacity`: requests/s if each worker had a processor of its own, which the busiest one limits."""
    before = [cpu.times(pid).total for pid in pids]
    after: list[float] = []
    outcome = await load.run(
        peer,
        stream=False,
        connections=connections,
        seconds=seconds,
        at_end=lambda: after.extend(cpu.times(pid).total for pid in pids),
    )
    outcome.check(peer.name)
    used = [end - begin for begin, end in zip(before, after, strict=True)]
    return {
        "requests_per_s": outcome.requests / outcome.elapsed,
        "per_core_second": outcome.requests / sum(used),
        "capacity": outcome.requests / max(used),
        "busiest": max(used) / sum(used),
    }


def markdown(data: Data) -> str:
    columns = {
        "connections": "connections",
        "requests_per_s_1": "requests/s, one",
        "requests_per_s_2": "two",
        "requests_per_s_ratio": "×",
        "per_core_second_1": "per processor second, one",
        "per_core_second_2": "two",
        "per_core_second_ratio": "×",
        "capacity_1": "capacity, one",
        "capacity_2": "two",
        "capacity_ratio": "×",
        "busiest": "busiest worker's share",
    }
    return table(data["rows"], columns) + (
        "\n\nKeep-alive connections, a prompt injected. Client and provider use the same two processors, so "
        "requests/s cannot double here; *capacity* is what the workers would serve with a processor each: "
        "the requests for each second of the busiest one's time."
    )
