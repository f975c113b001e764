"""The overhead benchmark: what it measures with, and what it makes of figures. The figures themselves are for
an idle machine; here a whole section runs for a moment, so that the command works when it is wanted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.overhead import document, openloop, peers, report, sizing, stall, streams, targets
from benchmarks.overhead.load import Answer, run
from benchmarks.overhead.own import MODES
from benchmarks.overhead.peers import Missing, Peer
from benchmarks.overhead.plan import Plan, quantile
from benchmarks.overhead.plot import page
from benchmarks.overhead.provider import plan as asked_events
from benchmarks.overhead.requests import template
from benchmarks.overhead.sections import SECTIONS
from tests.support.nginx import NGINX

ROOT = Path(__file__).resolve().parent.parent.parent


def cost(peer: str, request: float, event: float | None, scheme: str = "http") -> dict[str, Any]:
    ratio = None if event is None else round(event / 8, 2)
    return {
        "upstream": scheme,
        "peer": peer,
        "request_us": request,
        "event_us": event,
        "request_ratio": round(request / 14, 2),
        "event_ratio": ratio,
        "requests_per_s": round(0.9e6 / request),
    }


def results() -> dict[str, Any]:
    rows = [
        cost("nginx", 14, 8),
        cost("gateway, pass", 26, 8.4),
        cost("gateway, managed", 40, 9),
        cost("gateway, by hand", 44, 9.2),
        cost("gateway, rollout", 58, 9.5),
        cost("gateway, all", 60, 9.6),
        cost("LiteLLM", 20_000, None),
        *(cost(f"gateway, {mode}", 70, 12, "https") for mode in MODES),
    ]
    memory = {"rest_mb": 70.0, "saturated_mb": 80.0, "kb_per_stream": 12.0}
    return {
        "machine": {
            "processor": "2 × some",
            "memory": "4 GiB",
            "system": "Linux",
            "python": "Python 3",
            "gateway": "compiled",
            "peers": "nginx 1",
        },
        "left_out": {"Portkey": "Portkey's gateway is not installed; run scripts/test-peers"},
        "sections": {
            "cost": {"rows": rows},
            "memory": {
                "streams": 10,
                "rows": [
                    {"upstream": scheme, "peer": f"gateway, {mode}", **memory}
                    for scheme in ("http", "https")
                    for mode in ("pass", "rollout")
                ],
            },
        },
    }


def test_targets_are_judged_beside_what_was_measured() -> None:
    judged = {each.figure: each for each in targets.judge(results()["sections"])}
    assert len(judged) == len(targets.TARGETS)
    first = judged["processor per request against nginx, pass-through"]
    assert (first.target, first.measured, first.reached, first.reason) == ("≤ 2 ×", "1.86 ×", True, "")
    missed = judged["the same, all features on"]
    assert (missed.measured, missed.reached) == ("4.29 ×", False)
    assert missed.reason
    assert judged["per request against LiteLLM"].measured == "1/333 ×"
    assert judged["per request against Portkey"].reached is None
    assert judged["memory of a worker at rest"].measured == "70 MB"


def test_every_target_that_may_be_missed_says_why() -> None:
    """Those without a reason have room to spare; the report would show an empty cell."""
    silent = {target.figure for target in targets.TARGETS if not target.reason}
    assert silent == {
        "memory per open stream, plain",
        "10 → 10,000 prompts, per request",
        "a change with 10,000 prompts, on the loop",
    }


def test_reports_name_what_was_left_out(tmp_path: Path) -> None:
    text = report.write(results(), tmp_path)
    assert "2 × some, 4 GiB, Linux; Python 3, data path compiled, SQLite store; nginx 1." in text
    assert "- Portkey: Portkey's gateway is not installed; run scripts/test-peers" in text
    assert "| http | LiteLLM | 20000 |" in text
    assert report.read(tmp_path / "overhead.json") == results()
    html = (tmp_path / "overhead.html").read_text()
    assert html.count(">LiteLLM<") == 2
    assert report.read(tmp_path / "none.json")["sections"] == {}
    (tmp_path / "old.json").write_text('{"rows": []}')
    assert report.read(tmp_path / "old.json")["sections"] == {}


def test_readme_and_guide_are_written_between_their_markers(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "docs/operations.md"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    for _ in range(2):  # again: what stands there is replaced
        report.publish(results(), tmp_path)
    readme = (tmp_path / "README.md").read_text()
    assert readme.count("| processor per request against nginx, pass-through | ≤ 2 × | 1.86 × | yes |") == 1
    guide = (tmp_path / "docs" / "operations.md").read_text()
    assert guide.count("| under a rollout | 70 | 8,571 | 0.01 | 0.12 | 0.58 |") == 1
    (tmp_path / "README.md").write_text("<!-- overhead --> without an end")
    with pytest.raises(ValueError, match="needs one"):
        document.fill(tmp_path / "README.md", "overhead", "text")
    with pytest.raises(KeyError):
        sizing.markdown({"cost": results()["sections"]["cost"]})


def test_an_empty_page_is_a_page() -> None:
    assert page({}).startswith("<!doctype html>")


def test_quantiles_are_of_what_was_seen() -> None:
    assert [quantile([4.0, 1.0, 3.0, 2.0], part) for part in (0.0, 0.5, 0.99)] == [1.0, 3.0, 4.0]


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"],
        [b"HTTP/1.1 200 OK\r\nConte", b"nt-Length: 3\r\n\r\n", b"ab", b"c"],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n"],
    ],
)
def test_an_answer_is_whole_at_its_length_or_its_last_chunk(pieces: list[bytes]) -> None:
    answer = Answer()
    assert [answer.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert answer.status == b"200"


async def test_an_open_loop_counts_from_when_a_request_was_due(tmp_path: Path) -> None:
    """A provider that stops for a while makes all that were due meanwhile late, sent or not."""
    stopped = asyncio.Event()

    class Slow(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            if not stopped.is_set():
                stopped.set()
                time.sleep(0.2)
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")  # type: ignore[attr-defined]

    server = await asyncio.get_running_loop().create_server(Slow, "127.0.0.1", 0)
    async with server:
        peer = Peer("slow", server.sockets[0].getsockname()[1], 0)
        latencies, failed = await openloop.run(peer, rate=1000, seconds=0.3)
    assert (len(latencies), failed) == (300, 0)
    assert sum(latency > 0.1 for latency in latencies) >= 90


async def test_streams_and_load_see_what_the_provider_was_asked_for(tmp_path: Path) -> None:
    bench = Plan(tmp_path)
    with bench.provider() as upstream:
        peer = peers.direct(upstream)
        outcome = await run(peer, stream=False, connections=2, seconds=0.1)
        outcome.check("direct")
        assert outcome.failures == 0
        seen = streams.Seen()
        asked = template(peer, stream=True, plan=asked_events(4, 0.01))
        held = await streams.open_streams(peer, asked, 3, seen, once=True)
        await asyncio.gather(*(stream.ended for stream in held))
    assert (seen.whole, len(seen.first), seen.open, seen.broken) == (3, 3, 0, 0)
    assert all(gap > 0.005 for _, gap in seen.gaps[:3])


async def test_what_a_change_costs_is_seen_on_the_loop() -> None:
    quiet, changed = await stall.stalls(20, 1)
    assert len(quiet) == len(changed) == 1
    assert min(quiet + changed) > 0


def test_a_peer_that_is_missing_is_named_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPT_CANARY_CLIENTS", str(tmp_path / "clients"))
    upstream = peers.Upstream(1, "http", 1)
    for maker in (peers.litellm, peers.portkey):
        with pytest.raises(Missing, match="scripts/test-peers"), maker(tmp_path, upstream):
            pass
    with (
        pytest.raises(Missing, match="Bifrost: no-such-gateway is not on PATH"),
        peers.other(tmp_path, upstream, "Bifrost/v1=no-such-gateway --port {port}"),
    ):
        pass


@pytest.mark.skipif(NGINX is None, reason="needs nginx")
def test_one_section_is_one_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.overhead", "--only", "streaming", "--no-publish"]
    options = ["--rounds", "1", "--seconds", "0.2", "--results", str(tmp_path)]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {
        row["peer"]: row for row in report.read(tmp_path / "overhead.json")["sections"]["streaming"]["rows"]
    }
    assert {"direct", "nginx", "gateway, pass", "gateway, all"} <= set(rows)
    assert rows["gateway, all"]["ttft p50"] > 0
    assert f"## {SECTIONS['streaming'].TITLE}" in (tmp_path / "overhead.md").read_text()
