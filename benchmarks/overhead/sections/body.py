"""How long other streams wait while one body of 32 MiB passes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from contextlib import ExitStack

import uvloop

from benchmarks.overhead import cpu, peers, provider, streams
from benchmarks.overhead.peers import Peer, Upstream
from benchmarks.overhead.plan import Data, Plan, median, table
from benchmarks.overhead.requests import template

NAME = "body"
TITLE = "Gap that one 32 MiB body adds to other streams"
SIZE = 32 * 1024 * 1024 - 4096
TURNS = (1, 400)  # one with an image in it, a very long conversation
STREAMS, GAP = 8, 0.005  # GAP in s
MODES = ("pass", "managed")
MOST_ROUNDS = 3


def run(plan: Plan) -> Data:
    rows: list[Data] = []
    for scheme in ("http", "https"):
        with ExitStack() as stack:
            upstream = stack.enter_context(plan.provider(scheme))
            folder = plan.folder / f"body-{scheme}"
            found = [peers.direct(upstream)] if scheme == "http" else []
            proxy = plan.enter(stack, "nginx", peers.nginx(folder / "nginx", upstream))
            found += [proxy] if proxy is not None else []
            for mode in MODES:
                found.append(plan.enter_own(stack, folder / mode, upstream, mode))
            for peer in found:
                cpu.pin_tree(peer.pid, cpu.OTHERS)
                cpu.pin(peer.worker, cpu.MEASURED)
            rows += uvloop.run(measure(found, upstream, plan))
    return {"rows": rows}


async def measure(found: list[Peer], upstream: Upstream, plan: Plan) -> list[Data]:
    cpu.pin(upstream.pid, cpu.OTHERS)  # the direct way had it moved
    waits: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    rounds = min(plan.rounds, MOST_ROUNDS)
    for number in range(rounds):
        for peer in found:
            for turns in TURNS:
                waits[peer.name, turns].append(await once(peer, turns))
        print(f"  {upstream.scheme} round {number + 1}/{rounds}", flush=True)
    return [
        {
            "upstream": upstream.scheme,
            "peer": name,
            "turns": turns,
            "quiet_ms": median([quiet for quiet, _ in pairs]),
            "during_ms": median([during for _, during in pairs]),
            "added_ms": median([during - quiet for quiet, during in pairs]),
        }
        for (name, turns), pairs in waits.items()
    ]


async def once(peer: Peer, turns: int) -> tuple[float, float]:
    """The longest gap, ms, without such a body and while it passes."""
    seen = streams.Seen()
    events = template(peer, stream=True, plan=provider.plan(100_000, GAP))
    held = await streams.open_streams(peer, events, STREAMS, seen, once=True)
    await asyncio.sleep(0.3)  # what their opening cost is over
    began = time.monotonic()
    arguments = [str(peer.port), str(SIZE), str(turns)]
    sender = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.overhead.sender", *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await sender.communicate()
    await asyncio.sleep(0.1)
    streams.close_all(held)
    start, end, status = said.split()
    if status != b"200" or seen.broken:
        raise RuntimeError(f"{peer.name}: {status!r}, {seen.broken} streams broke")
    during = [gap for at, gap in seen.gaps if at >= float(start) and at - gap <= float(end)]
    quiet = [gap for at, gap in seen.gaps if began <= at < float(start)]
    return max(quiet) * 1000, max(during) * 1000


def markdown(data: Data) -> str:
    columns = {
        "upstream": "upstream",
        "peer": "peer",
        "turns": "messages in it",
        "quiet_ms": "longest gap before, ms",
        "during_ms": "while it passes",
        "added_ms": "added",
    }
    return table(data["rows"], columns) + (
        f"\n\n{STREAMS} streams with an event every {GAP * 1000:.0f} ms; the body is sent by another process."
    )
