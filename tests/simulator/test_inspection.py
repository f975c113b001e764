import base64
import json

import pytest

from gateway.simulator import inspection
from gateway.simulator.inspection import Journal
from gateway.simulator.reply import Request
from tests.simulator.conftest import Start
from tests.simulator.wire import CHAT, Client, ask, chat, until


def request(journal: Journal, body: bytes = b"") -> Request:
    return Request(journal.number(), b"POST", b"/v1/x", b"1.1", (), {}, True, 1, body)


async def test_the_exact_bytes_and_headers_of_a_request_are_shown(start: Start) -> None:
    port = (await start()).port
    raw = json.dumps(chat("naïve"), ensure_ascii=False, indent=3).encode()
    answer = await ask(port, CHAT, raw, X_Odd_Case="Ünicode")
    (seen,) = (await ask(port, "/__sim/requests?last=1")).json()["requests"]
    assert base64.b64decode(seen["body"]) == raw
    assert ["X-Odd-Case", "Ünicode"] in seen["headers"]
    assert (seen["method"], seen["target"], seen["http_version"]) == ("POST", CHAT, "1.1")
    assert (seen["outcome"], seen["nth_on_connection"], seen["body_size"]) == ("completed", 1, len(raw))
    assert seen["id"] == answer.headers["x-request-id"]
    assert (await ask(port, f"/__sim/requests/{seen['id']}")).json() == seen
    assert (await ask(port, "/__sim/requests/sim-999")).status == 404
    assert (await ask(port, "/__sim/requests/x")).status == 404


async def test_the_newest_requests_come_last_and_inspecting_leaves_no_trace(start: Start) -> None:
    port = (await start(keep=3)).port
    for i in range(5):
        await ask(port, f"/v1/echo/{i}")
    seen = (await ask(port, "/__sim/requests")).json()["requests"]
    assert [each["target"] for each in seen] == ["/v1/echo/2", "/v1/echo/3", "/v1/echo/4"]
    assert (await ask(port, "/__sim/requests?last=0")).json()["requests"] == []
    assert (await ask(port, "/__sim/stats")).json()["requests"] == 5


async def test_keeping_can_be_switched_off(start: Start) -> None:
    port = (await start(keep=0)).port
    await ask(port, "/v1/echo")
    assert (await ask(port, "/__sim/requests")).json() == {"requests": []}


async def test_the_scenario_can_be_changed_and_a_bad_one_changes_nothing(start: Start) -> None:
    port = (await start()).port
    before = (await ask(port, "/__sim/scenario")).json()
    bad = await ask(port, "/__sim/scenario", b"default: {nope: 1}")
    assert (bad.status, bad.json()["error"]["code"]) == (400, "invalid_configuration")
    assert (await ask(port, "/__sim/scenario")).json() == before
    changed = await ask(port, "/__sim/scenario", b"default: {error_rate: 1, error_status: 503}")
    assert changed.json()["default"]["error_status"] == 503
    assert (await ask(port, CHAT, chat())).status == 503
    again = await ask(port, "/__sim/scenario", json.dumps(before).encode())  # what is shown can be sent back
    assert again.json() == before


async def test_reset_forgets_counts_and_requests_but_not_what_is_open(start: Start) -> None:
    simulator = await start()
    hanging = await Client.connect(simulator.port)
    hanging.writer.write(b"GET /v1/x HTTP/1.1\r\nHost: a\r\nx-sim-fault: stall_before_head\r\n\r\n")
    await until(lambda: simulator.stats["open"] == 1)
    await ask(simulator.port, CHAT, chat())
    await until(lambda: simulator.stats["connections_open"] == 1)
    stats = (await ask(simulator.port, "/__sim/reset", method="POST")).json()
    assert (stats["requests"], stats["open"], stats["completed"]) == (1, 1, 0)
    assert stats["faults"] == stats["rules"] == stats["statuses"] == {}
    assert (await ask(simulator.port, "/__sim/requests")).json() == {"requests": []}
    await hanging.close()
    await until(lambda: simulator.stats["cancelled"] == 1)
    assert simulator.stats["requests"] == 1


def test_kept_bodies_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "MOST_BYTES", 300)
    journal = Journal(keep=1000)
    for _ in range(5):
        journal.received(request(journal, b"x" * 100))
    assert len(journal.last(10)) == 3
    journal.received(request(journal, b"x" * 10))
    assert journal.find(1) is None
    assert journal.find(6) is not None


def test_requests_are_the_sum_of_open_completed_reset_and_cancelled() -> None:
    journal = Journal(keep=0)
    requests = [request(journal) for _ in range(7)]
    for each in requests:
        journal.received(each)
    for each, outcome in zip(requests, ["completed", "reset", "cancelled", "completed"], strict=False):
        journal.ended(each, outcome)
    stats = journal.stats()
    assert [stats[name] for name in ("requests", "open", "completed", "reset", "cancelled")] == [
        7,
        3,
        2,
        1,
        1,
    ]
