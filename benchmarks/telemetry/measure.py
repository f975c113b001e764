"""One gateway for each state of its collector, asked in turns: latencies as ratios in a round, and memory.

Every request is traced and metrics are exported, so that all of it goes through exporter and queue. The rate
is the same for all, a part of what saturates the first. The queue is filled before anything is compared.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from benchmarks.overhead import cpu, load, openloop, own, peers
from benchmarks.overhead.peers import Peer
from benchmarks.overhead.plan import Data, Plan, median, quantile, table

DELAYS = {"answers": 0.0, "slow": 3.0, "hangs": -1.0}  # s; the limit of an export is 5 s
STATES = ("off", *DELAYS, "down")
BASE = "answers"
PARTS = {"p50": 0.5, "p99": 0.99}
SHARE = 0.4  # of what saturates the gateway
QUEUE = 2048  # spans, the default


class Shown(NamedTuple):
    """One gateway: its collector's state, where it serves, and where its metrics are."""

    state: str
    peer: Peer
    admin: int


def run(plan: Plan, states: Sequence[str] = STATES, queue: int = QUEUE) -> Data:
    """Filling `queue` takes as long as the machine needs for twice as many requests."""
    with ExitStack() as stack:
        upstream = stack.enter_context(plan.provider())
        found = []
        for state in states:
            port = stack.enter_context(collector(plan.folder, state))
            prepare = partial(configure, port, queue)
            started = own.gateway(plan.folder / state, upstream, "managed", prepare=prepare)
            peer, admin = stack.enter_context(started)
            found.append(Shown(state, peer, admin))
        return uvloop.run(measure(found, plan, queue))


@contextlib.contextmanager
def collector(folder: Path, state: str) -> Iterator[int]:
    """Its port; 0 where there is none to tell."""
    if state not in DELAYS:
        yield peers.free_port() if state == "down" else 0
        return
    port, log = peers.free_port(), folder / f"collector-{state}.log"
    command = [sys.executable, "-m", "benchmarks.telemetry.collector", str(port), str(DELAYS[state])]
    with peers.process(command, log) as started:
        peers.wait_for(port, started, log)
        cpu.pin(started.pid, cpu.OTHERS)
        yield port


def configure(port: int, queue: int, data: Path) -> None:
    """`data` is in the gateway's folder."""
    if not port:
        return
    endpoint = f"http://127.0.0.1:{port}"
    sections: dict[str, Any] = {
        "traces": {"endpoint": endpoint, "sample": 1.0, "interval": 0.2, "queue": queue},
        "metrics": {"endpoint": endpoint, "interval": 1.0},
    }
    config = data.parent / "gateway.yaml"
    lines = [f"{name}: {json.dumps(section)}\n" for name, section in sections.items()]
    config.write_text(config.read_text() + "".join(lines))


async def measure(found: list[Shown], plan: Plan, queue: int) -> Data:
    saturated = await load.run(found[0].peer, stream=False, connections=32, seconds=plan.seconds)
    saturated.check(found[0].peer.name)
    rate = max(round(SHARE * saturated.requests / saturated.elapsed), 10)
    fill = max(2.0 * queue / rate, plan.seconds)
    for shown in found:  # until the queues of those that cannot deliver are full
        await openloop.run(shown.peer, rate=rate, seconds=fill)
    before = {shown.state: cpu.resident_bytes(shown.peer.worker) for shown in found}
    rounds: dict[str, list[dict[str, float]]] = {shown.state: [] for shown in found}
    failed = dict.fromkeys(rounds, 0)
    for number in range(plan.rounds):
        order = found if number % 2 == 0 else found[::-1]
        for shown in order:
            latencies, failures = await openloop.run(shown.peer, rate=rate, seconds=plan.seconds)
            failed[shown.state] += failures
            rounds[shown.state].append({name: quantile(latencies, at) for name, at in PARTS.items()})
        print(f"  round {number + 1}/{plan.rounds}, {rate}/s", flush=True)
    rows: list[Data] = []
    for shown in found:
        own_rounds, base = rounds[shown.state], rounds[BASE]
        row: Data = {"collector": shown.state, "failed": failed[shown.state]}
        for part in PARTS:
            row[f"{part}_us"] = median([each[part] * 1e6 for each in own_rounds])
            ratios = [each[part] / zero[part] for each, zero in zip(own_rounds, base, strict=True)]
            row[f"{part}_ratio"] = median(ratios, 3)
        after = cpu.resident_bytes(shown.peer.worker)
        row["memory_mb"] = round(after / 1e6, 1)
        row["grown_mb"] = round((after - before[shown.state]) / 1e6, 1)
        row |= spans(shown.admin)
        rows.append(row)
    return {
        "rate": rate,
        "rounds": plan.rounds,
        "requests": round(rate * plan.seconds * plan.rounds),
        "rows": rows,
    }


def spans(admin: int) -> Data:
    """As /metrics says."""
    found = {}
    for line in own.text(admin, "/metrics").splitlines():
        for name in ("sent", "dropped"):
            if line.startswith(f"promptcanary_spans_{name}_total "):
                found[name] = int(float(line.split()[1]))
    return found


def markdown(data: Data) -> str:
    columns = {
        "collector": "collector",
        "p50_us": "p50 µs",
        "p50_ratio": "ratio",
        "p99_us": "p99 µs",
        "p99_ratio": "ratio",
        "memory_mb": "worker, MB",
        "grown_mb": "grown by, MB",
        "sent": "spans sent",
        "dropped": "dropped",
        "failed": "failed",
    }
    return table(data["rows"], columns) + (
        f"\n\nOne worker at {data['rate']} requests/s, open loop, all traced; {data['rounds']} rounds in "
        f"turns, {data['requests']:,} requests for each; ratios are to a collector that answers. `slow` "
        "answers after 3 s, `hangs` never, `down`: nobody listens, `off`: no collector is configured. "
        "Growth counts from when the queues were full."
    )


def sentence(data: Data) -> str:
    """The line of docs/traces.md."""
    rows = {row["collector"]: row for row in data["rows"]}
    told = "; ".join(
        f"{state}: {rows[state]['p50_ratio']} and {rows[state]['p99_ratio']}, {rows[state]['grown_mb']:+} MB"
        for state in ("slow", "hangs", "down")
    )
    return (
        "Median and 99th percentile of latency as ratios to a collector that answers, and how the worker "
        f"grew in {data['requests']:,} requests, all traced: {told} (`python -m benchmarks.telemetry`)."
    )
