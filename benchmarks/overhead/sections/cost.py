"""Processor time per request and per event, requests/s at saturation, of each peer in interleaved rounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import uvloop

from benchmarks.overhead import cpu, load, peers
from benchmarks.overhead.own import MODES
from benchmarks.overhead.peers import Peer, Upstream
from benchmarks.overhead.plan import Data, Plan, median, table

NAME = "cost"
TITLE = "Processor time per request and per event"
CONNECTIONS = 256  # one answer in four waits for its pin's commit: fewer would leave the worker idle between
STREAMS = 64
SLOW = 8  # connections of a peer that takes milliseconds for a request
LONGER = 2.0  # times the usual, for such a one
WARM_SLOW = 2.0  # s


@dataclass(slots=True)
class Sample:
    """Of one peer in one round, µs: per request of the whole tree (also split), of the worker alone, per
    event; requests/s, and the share of its processor that it used meanwhile."""

    request: float
    worker: float
    user: float
    system: float
    event: float | None  # None: it cannot stream
    rate: float
    busy: float


def run(plan: Plan) -> Data:
    rows: list[Data] = []
    for scheme in ("http", "https"):
        print(f"  {scheme} upstream", flush=True)
        with ExitStack() as stack:
            upstream = stack.enter_context(plan.provider(scheme, awake=True))
            rows += summarize(scheme, uvloop.run(rounds(started(plan, stack, upstream), plan)))
    return {"rows": rows}


def started(plan: Plan, stack: ExitStack, upstream: Upstream) -> list[Peer]:
    folder = plan.folder / f"cost-{upstream.scheme}"
    found = plan.proxies(stack, folder, upstream)
    collector = stack.enter_context(plan.provider()).port
    found += [plan.enter_own(stack, folder / mode, upstream, mode, collector=collector) for mode in MODES]
    if upstream.scheme == "https":
        return found
    makers = {
        "naive aiohttp": peers.naive(folder / "naive", upstream),
        "Portkey": peers.portkey(folder / "portkey", upstream),
        "LiteLLM": peers.litellm(folder / "litellm", upstream),
    }
    for index, given in enumerate(plan.others):
        makers[given.partition("=")[0]] = peers.other(folder / f"other{index}", upstream, given)
    entered = [plan.enter(stack, name, maker) for name, maker in makers.items()]
    return found + [peer for peer in entered if peer is not None]


async def measure(peer: Peer, seconds: float, left_out: dict[str, str]) -> Sample:
    marks: list[tuple[cpu.Times, cpu.Times]] = []

    def mark() -> None:
        marks.append((cpu.tree_times(peer.pid), cpu.times(peer.worker)))

    connections = SLOW if peer.slow else CONNECTIONS
    if peer.slow:
        seconds *= LONGER
    mark()
    plain = await load.run(
        peer, stream=False, connections=connections, seconds=seconds, awake=True, at_end=mark
    )
    plain.check(peer.name)
    tree = marks[1][0].since(marks[0][0])
    per_request = 1e6 / plain.requests
    return Sample(
        request=tree.total * per_request,
        worker=marks[1][1].since(marks[0][1]).total * per_request,
        user=tree.user * per_request,
        system=tree.system * per_request,
        event=await measure_events(peer, seconds, left_out),
        rate=plain.requests / plain.elapsed,
        busy=tree.total / plain.elapsed,
    )


async def measure_events(peer: Peer, seconds: float, left_out: dict[str, str]) -> float | None:
    marks = [cpu.tree_times(peer.pid)]
    streams = await load.run(
        peer,
        stream=True,
        connections=SLOW if peer.slow else STREAMS,
        seconds=seconds,
        awake=True,
        at_end=lambda: marks.append(cpu.tree_times(peer.pid)),
    )
    try:
        streams.check(peer.name)
    except RuntimeError as error:
        if not peer.slow:
            raise
        left_out[f"{peer.name}, events"] = str(error)
        return None
    return marks[1].since(marks[0]).total / max(streams.events, 1) * 1e6


async def rounds(found: list[Peer], plan: Plan) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = defaultdict(list)
    for peer in list(found):
        try:
            await measure(peer, WARM_SLOW if peer.slow else min(1.0, plan.seconds), plan.left_out)
        except RuntimeError as error:
            if peer.name == "nginx" or peer.name.startswith("gateway"):
                raise
            plan.left_out[peer.name] = str(error)
            print(f"  left out: {error}", flush=True)
            found.remove(peer)
    for number in range(plan.rounds):
        for peer in found:
            samples[peer.name].append(await measure(peer, plan.seconds, plan.left_out))
        print(f"  round {number + 1}/{plan.rounds}", flush=True)
    return samples


def summarize(scheme: str, samples: dict[str, list[Sample]]) -> list[Data]:
    """Medians, and the median of the ratios round by round: noise that hits a round hits both sides."""
    rows: list[Data] = []
    base = samples.get("nginx")
    for name, own in samples.items():
        row: Data = {
            "upstream": scheme,
            "peer": name,
            "request_us": median([s.request for s in own]),
            "worker_us": median([s.worker for s in own]),
            "user_us": median([s.user for s in own]),
            "system_us": median([s.system for s in own]),
            "event_us": _median([s.event for s in own]),
            "requests_per_s": round(median([s.rate for s in own])),
            "busy": median([s.busy for s in own], 2),
        }
        if base is not None:
            pairs = list(zip(own, base, strict=True))
            row["request_ratio"] = median([s.request / b.request for s, b in pairs], 2)
            row["event_ratio"] = _median([s.event and b.event and s.event / b.event for s, b in pairs], 2)
        rows.append(row)
    return rows


def _median(values: Sequence[float | None], digits: int = 1) -> float | None:
    known = [value for value in values if value is not None]
    return median(known, digits) if known else None


COLUMNS = {
    "upstream": "upstream",
    "peer": "peer",
    "request_us": "µs/request",
    "worker_us": "worker's part",
    "user_us": "user",
    "system_us": "system",
    "request_ratio": "× nginx",
    "event_us": "µs/event",
    "event_ratio": "× nginx",
    "requests_per_s": "requests/s",
    "busy": "processor used",
}


def markdown(data: Data) -> str:
    return table(data["rows"], COLUMNS) + (
        "\n\nUser and system time of each peer's whole process tree on one processor, from the kernel; "
        "client and provider have the other one and never sleep: waking them would be billed to the peer "
        "(benchmarks/overhead/awake.py). Where less than the whole processor was used, the client "
        "was the limit of requests/s, not the peer."
    )
