"""The first of two upstreams is down: after its breaker has opened nobody sees an error, and nobody waits."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from pathlib import Path

from tests.support.gateway import Gateway, free_ports, make_gateway, running

CHAT = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}]})
REQUESTS = [
    ("/v1/chat/completions", CHAT),  # managed: held, may be sent again
    ("/v1/files", "an upload"),  # streamed: may not
    ("/v1/models", None),
]
WARM, ROUNDS = 20, 100
ADDED = 0.005  # s


def ask(client: http.client.HTTPConnection, path: str, body: str | None) -> tuple[int, float]:
    """Status, and how long it took, s."""
    started = time.perf_counter()
    client.request("GET" if body is None else "POST", path, body)
    answer = client.getresponse()
    answer.read()
    return answer.status, time.perf_counter() - started


class Asker:
    """One client; how long each kind of request took it."""

    def __init__(self, port: int) -> None:
        self.client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.statuses: set[int] = set()
        self.times: list[list[float]] = [[] for _ in REQUESTS]

    def round(self) -> None:
        for taken, (path, body) in zip(self.times, REQUESTS, strict=True):
            status, elapsed = ask(self.client, path, body)
            self.statuses.add(status)
            taken.append(elapsed)

    @property
    def quartiles(self) -> list[float]:
        """Median and third quartile of each kind of request, s."""
        return [value for taken in self.times for value in statistics.quantiles(taken, n=4)[1:]]


def in_turn(*ports: int) -> list[Asker]:
    """In turn, so that what else the machine does hits all alike; the first rounds do not count."""
    askers = [Asker(port) for port in ports]
    for _ in range(WARM):
        for asker in askers:
            asker.round()
    for asker in askers:
        asker.times = [[] for _ in REQUESTS]
    for _ in range(ROUNDS):
        for asker in askers:
            asker.round()
    for asker in askers:
        asker.client.close()
    return askers


def states(gateway: Gateway) -> set[tuple[str, str]]:
    children = gateway.ready()["children"].items()
    workers = [child["upstreams"] for name, child in children if name.startswith("worker-")]
    return {item for upstreams in workers for item in upstreams.items()}


def two_upstreams(folder: Path) -> Gateway:
    """One worker; its first upstream is a port where nobody listens."""
    gateway = make_gateway(folder, workers=1)
    [dead] = free_ports(1)
    alive = f'"http://127.0.0.1:{gateway.simulator}/v1"'
    upstreams = (
        f'upstreams: [{{name: first, base_url: "http://127.0.0.1:{dead}/v1"}}, '
        f"{{name: second, priority: 1, base_url: {alive}}}]"
    )
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace(f"upstream: {{base_url: {alive}}}", upstreams))
    return gateway


def test_with_the_first_of_two_upstreams_down_nobody_sees_an_error_or_waits(tmp_path: Path) -> None:
    with (
        running(make_gateway(tmp_path / "one", workers=1)) as one,
        running(two_upstreams(tmp_path / "two")) as two,
    ):
        client = http.client.HTTPConnection("127.0.0.1", two.port, timeout=30)
        opening = [ask(client, "/v1/chat/completions", CHAT)[0] for _ in range(5)]
        client.close()
        assert opening == [200] * 5  # until then each was sent a second time
        deadline = time.monotonic() + 5
        while ("first", "open") not in states(two) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert states(two) == {("first", "open"), ("second", "closed")}
        alone, beside = in_turn(one.port, two.port)
        assert alone.statuses == beside.statuses == {200}
        assert states(two) == {("first", "open"), ("second", "closed")}
    added = [there - here for there, here in zip(beside.quartiles, alone.quartiles, strict=True)]
    assert max(added) < ADDED, (alone.quartiles, beside.quartiles)
