"""Memory of one worker: at rest, at saturation, and with many streams open, plain and with TLS upstream."""

from __future__ import annotations

import asyncio
import resource
from contextlib import ExitStack

import uvloop

from benchmarks.overhead import cpu, load, own, peers, provider, streams
from benchmarks.overhead.peers import Peer
from benchmarks.overhead.plan import Data, Plan, table
from benchmarks.overhead.requests import template

NAME = "memory"
TITLE = "Memory of one worker"
GAP = 5.0  # s between two events of a stream that is held open
SETTLE = 1.0  # s
DESCRIPTORS = 200  # of a process that are not streams; a proxy has two for each stream


def run(plan: Plan) -> Data:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(plan.streams, (hard - DESCRIPTORS) // 2)
    rows: list[Data] = []
    for scheme in ("http", "https"):
        for name in ("nginx", "pass", "rollout"):
            with ExitStack() as stack:
                upstream = stack.enter_context(plan.provider(scheme))
                folder = plan.folder / f"memory-{scheme}-{name}"
                peer: Peer | None
                if name == "nginx":
                    peer = plan.enter(stack, "nginx", peers.nginx(folder, upstream))
                else:
                    peer, _ = stack.enter_context(own.gateway(folder, upstream, name))
                if peer is not None:
                    row = uvloop.run(measure(peer, count, plan))
                    rows.append({"upstream": scheme, "peer": peer.name, **row})
                    print(f"  {rows[-1]}", flush=True)
    return {"streams": count, "rows": rows}


async def measure(peer: Peer, count: int, plan: Plan) -> Data:
    rest = cpu.resident_bytes(peer.worker)
    saturating = await load.run(peer, stream=False, connections=64, seconds=plan.seconds)
    saturating.check(peer.name)
    saturated = cpu.resident_bytes(peer.worker)
    seen = streams.Seen()
    asked = template(peer, stream=True, plan=provider.plan(1000, GAP))
    held = await streams.open_streams(peer, asked, count, seen, once=True)
    await asyncio.sleep(SETTLE)
    full = cpu.resident_bytes(peer.worker)
    row = {
        "rest_mb": round(rest / 1e6, 1),
        "saturated_mb": round(saturated / 1e6, 1),
        "streaming_mb": round(full / 1e6, 1),
        "kb_per_stream": round((full - saturated) / max(seen.open, 1) / 1024, 1),
        "open": seen.open,
        "lost": count - seen.open,
    }
    if seen.said:
        print(f"  {peer.name}: {seen.said[:300]!r}", flush=True)
    streams.close_all(held)
    await asyncio.sleep(SETTLE)
    row["after_mb"] = round(cpu.resident_bytes(peer.worker) / 1e6, 1)
    return row


def markdown(data: Data) -> str:
    columns = {
        "upstream": "upstream",
        "peer": "peer",
        "rest_mb": "at rest, MB",
        "saturated_mb": "at saturation",
        "streaming_mb": f"{data['streams']} streams",
        "kb_per_stream": "KiB/stream",
        "open": "streams open",
        "lost": "lost",
        "after_mb": "after them",
    }
    return table(data["rows"], columns) + (
        "\n\nResident memory of the process that serves; each stream costs what is there beyond saturation."
    )
