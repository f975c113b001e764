"""`python -m benchmarks.overhead [--rounds 3] [--seconds 3]`: prints the table, writes benchmarks/results."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks.overhead import cpu, load, peers
from benchmarks.overhead.certificate import make_certificate

RESULTS = Path(__file__).resolve().parent.parent / "results"
CONNECTIONS = STREAMS = 64
TARGET_REQUEST, TARGET_EVENT = 3.0, 2.0  # times nginx


@dataclass(slots=True)
class Sample:
    """Of one peer in one round: processor µs per request (also split) and per event, requests/s."""

    request: float
    user: float
    system: float
    event: float
    rate: float


@contextlib.contextmanager
def started(folder: Path, scheme: str) -> Iterator[list[peers.Peer]]:
    certificate = make_certificate(folder) if scheme == "https" else None
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(peers.provider(folder, certificate))
        yield [
            stack.enter_context(peers.nginx(folder / "nginx", upstream, scheme)),
            stack.enter_context(peers.gateway(folder / "pass", upstream, scheme, managed=False)),
            stack.enter_context(peers.gateway(folder / "managed", upstream, scheme, managed=True)),
        ]


async def measure(peer: peers.Peer, seconds: float) -> Sample:
    before = cpu.times(peer.pid)
    plain = await load.run(peer.port, stream=False, connections=CONNECTIONS, seconds=seconds)
    between = cpu.times(peer.pid)
    streams = await load.run(peer.port, stream=True, connections=STREAMS, seconds=seconds)
    after = cpu.times(peer.pid)
    if plain.failures or streams.failures or not plain.requests or not streams.events:
        raise RuntimeError(f"{peer.name}: {plain} {streams}: these figures would mean nothing")
    each = between.since(before)
    return Sample(
        request=each.total / plain.requests * 1e6,
        user=each.user / plain.requests * 1e6,
        system=each.system / plain.requests * 1e6,
        event=after.since(between).total / streams.events * 1e6,
        rate=plain.requests / plain.elapsed,
    )


async def rounds(found: list[peers.Peer], count: int, seconds: float) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = defaultdict(list)
    for peer in found:
        await measure(peer, 1.0)  # warm
    for number in range(count):
        for peer in found:
            samples[peer.name].append(await measure(peer, seconds))
            print(f"  round {number + 1}/{count}  {peer.name}", flush=True)
    return samples


def summarize(scheme: str, samples: dict[str, list[Sample]]) -> list[dict[str, object]]:
    """Medians, and the median of the ratios round by round: noise that hits a round hits both sides."""
    rows: list[dict[str, object]] = []
    base = samples["nginx"]
    for name, own in samples.items():
        pairs = list(zip(own, base, strict=True))
        rows.append(
            {
                "upstream": scheme,
                "peer": name,
                "request_us": round(statistics.median(s.request for s in own), 1),
                "user_us": round(statistics.median(s.user for s in own), 1),
                "system_us": round(statistics.median(s.system for s in own), 1),
                "request_ratio": round(statistics.median(s.request / b.request for s, b in pairs), 2),
                "event_us": round(statistics.median(s.event for s in own), 1),
                "event_ratio": round(statistics.median(s.event / b.event for s, b in pairs), 2),
                "requests_per_s": round(statistics.median(s.rate for s in own)),
            }
        )
    return rows


def markdown(rows: list[dict[str, object]]) -> str:
    lines = [
        "| upstream | peer | µs/request | user | system | × nginx | µs/event | × nginx | requests/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]
    lines += [
        "",
        f"Targets: at most {TARGET_REQUEST:g} × nginx per request, {TARGET_EVENT:g} × per event. "
        f"{peers.nginx_version()}, Python {platform.python_version()}, {platform.machine()}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--only", choices=("http", "https"), help="plain or TLS upstream alone")
    options = parser.parse_args()
    cpu.pin(os.getpid(), cpu.OTHERS)
    rows: list[dict[str, object]] = []
    for scheme in [options.only] if options.only else ["http", "https"]:
        print(f"{scheme} upstream", flush=True)
        with tempfile.TemporaryDirectory() as folder, started(Path(folder), scheme) as found:
            loop = uvloop.new_event_loop()
            asyncio.set_event_loop(loop)
            rows += summarize(scheme, loop.run_until_complete(rounds(found, options.rounds, options.seconds)))
            loop.close()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "overhead.json").write_text(json.dumps(rows, indent=1) + "\n")
    (RESULTS / "overhead.md").write_text(markdown(rows) + "\n")
    print(markdown(rows))


if __name__ == "__main__":
    main()
