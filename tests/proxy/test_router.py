"""Which upstream gets a request, and what becomes of it when that one fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.proxy.base import ResponseHead
from gateway.proxy.router import Member, retry_after, seconds
from gateway.proxy.worker import Worker
from tests.support.providers import Provider, answer, providers_stage
from tests.support.scripted_provider import Peer, on_uvloop
from tests.support.worker import WorkerStage, chat_body, until

KEY = {"api_key": "held"}


def member(worker: Worker, name: str) -> Member:
    return next(item for item in worker.upstream.members if item.name == name)


def state(stage: WorkerStage, name: str) -> str:
    found: str = stage.worker.upstream.status()[name]["state"]
    return found


async def statuses(stage: WorkerStage, count: int = 1, **kwargs: Any) -> list[int]:
    return [(await stage.ask(**kwargs)).status for _ in range(count)]


@on_uvloop
async def test_the_lowest_priority_number_gets_everything_while_it_can(tmp_path: Path) -> None:
    a, b = Provider(), Provider()
    async with providers_stage(tmp_path, [a, b]) as stage:
        assert await statuses(stage, 5) == [200] * 5
        assert (len(a.seen), len(b.seen)) == (5, 0)
        assert state(stage, "a") == "closed"
        await stage.assert_empty()


@on_uvloop
async def test_within_a_priority_weights_share(tmp_path: Path) -> None:
    providers = [Provider(), Provider(), Provider()]
    given = [{"priority": 1, "weight": 3}, {"priority": 1, "weight": 1}, {"priority": 2}]
    async with providers_stage(tmp_path, providers, given) as stage:
        client = await stage.connect()
        for _ in range(200):
            await client.ask(b"GET /v1/models HTTP/1.1\r\nhost: t\r\n\r\n")
        await client.close()
        counts = [len(provider.seen) for provider in providers]
        assert counts[2] == 0
        assert 125 < counts[0] < 175  # of 200 at 0.75: five standard deviations


@on_uvloop
async def test_a_refused_connection_goes_to_the_next_and_the_breaker_spares_the_attempt(
    tmp_path: Path,
) -> None:
    a, b = Provider(), Provider()
    async with providers_stage(tmp_path, [a, b], quiet=False) as stage:
        await a.stop()
        assert await statuses(stage, 8) == [200] * 8
        assert len(b.seen) == 8
        assert state(stage, "a") == "open"
        assert stage.worker.upstream.fallbacks == 5  # consecutive
        await stage.assert_empty()


@pytest.mark.parametrize("managed", [True, False])
@pytest.mark.parametrize(
    ("status", "key", "second"),
    [
        (500, {}, True),
        (502, {}, True),
        (503, {}, True),
        (429, {}, True),
        (504, {}, False),
        (400, KEY, False),
        (401, {}, False),
        (401, KEY, True),
        (402, KEY, True),
        (403, KEY, False),
        (404, KEY, False),
    ],
)
def test_a_failure_of_the_provider_goes_to_the_next_and_no_other_does(
    tmp_path: Path, status: int, key: dict[str, str], second: bool, managed: bool
) -> None:
    @on_uvloop
    async def run() -> None:
        a, b = Provider(says=answer(status, b'{"error": {"message": "a"}}')), Provider()
        async with providers_stage(tmp_path, [a, b], [key, {}]) as stage:
            await stage.deploy()
            headers = {"x-prompt": "greeter"} if managed else {}
            reply = await stage.ask(headers=headers)
            assert reply.status == (200 if second else status)
            assert (len(a.seen), len(b.seen)) == (1, int(second))
            if second:
                assert a.seen[0].body == b.seen[0].body
            await stage.assert_empty()

    run()


@on_uvloop
async def test_the_second_failure_is_the_client_s_answer(tmp_path: Path) -> None:
    a, b, c = Provider(says=answer(500)), Provider(says=answer(503, b'{"b": 1}')), Provider()
    async with providers_stage(tmp_path, [a, b, c]) as stage:
        reply = await stage.ask()
        assert (reply.status, reply.body) == (503, b'{"b": 1}')
        assert (len(a.seen), len(b.seen), len(c.seen)) == (1, 1, 0)
        await stage.assert_empty()


@on_uvloop
async def test_a_provider_that_closes_without_a_word_is_replaced(tmp_path: Path) -> None:
    a, b = Provider(says=None), Provider()
    async with providers_stage(tmp_path, [a, b]) as stage:
        assert await statuses(stage) == [200]
        assert (len(a.seen), len(b.seen)) == (1, 1)
        await stage.assert_empty()


@on_uvloop
async def test_after_the_first_byte_nothing_is_sent_again(tmp_path: Path) -> None:
    async def breaks_off(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        await peer.writer.drain()

    a, b = Provider(script=breaks_off), Provider()
    async with providers_stage(tmp_path, [a, b]) as stage:
        reply = await stage.ask()
        assert (reply.status, reply.end, len(b.seen)) == (200, "cut", 0)
        await stage.assert_empty()


@on_uvloop
async def test_after_a_time_out_nothing_is_sent_again(tmp_path: Path) -> None:
    async def silent(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    a, b = Provider(script=silent), Provider()
    async with providers_stage(tmp_path, [a, b]) as stage:
        asking = asyncio.create_task(stage.ask(headers={"x-stainless-read-timeout": "0.01"}))
        reply = await asking
        assert (reply.status, len(b.seen)) == (504, 0)
        assert stage.worker.upstream.status()["a"]["failures"] == 0  # it was the client's own limit
        await stage.assert_empty()


@on_uvloop
async def test_an_upload_is_sent_again_only_if_nothing_of_it_is_gone(tmp_path: Path) -> None:
    a, b = Provider(says=answer(500)), Provider()
    async with providers_stage(tmp_path, [a, b], breaker={"consecutive": 2}) as stage:
        assert await statuses(stage, 2, path="/v1/files") == [500, 500]
        assert state(stage, "a") == "open"
        assert await statuses(stage, 2, path="/v1/files") == [200, 200]
        await stage.assert_empty()


@on_uvloop
async def test_retry_after_leaves_a_provider_alone(tmp_path: Path) -> None:
    limited = answer(429, b"{}", b"retry-after: 20")
    a, b = Provider(says=limited), Provider()
    async with providers_stage(tmp_path, [a, b], [KEY, {}]) as stage:
        assert await statuses(stage, 4) == [200] * 4
        assert (len(a.seen), len(b.seen)) == (1, 4)
        status = stage.worker.upstream.status()["a"]
        assert status["state"] == "open"
        assert 19 < status["looks_in"] <= 20
        b.says = answer(500)
        reply = await stage.ask()  # nobody else is left but b, whose failure is the answer
        assert (reply.status, len(a.seen)) == (500, 1)
        await stage.assert_empty()


@on_uvloop
async def test_a_client_s_own_rate_limit_is_not_everybody_s(tmp_path: Path) -> None:
    a, b = Provider(says=answer(429, b"{}", b"retry-after: 20")), Provider()
    async with providers_stage(tmp_path, [a, b]) as stage:
        assert await statuses(stage, 8) == [200] * 8
        assert len(a.seen) == 8
        assert state(stage, "a") == "closed"


@on_uvloop
async def test_where_nobody_is_left_the_first_is_asked_all_the_same(tmp_path: Path) -> None:
    a, b = Provider(says=answer(503, b"a")), Provider(says=answer(500, b"b"))
    async with providers_stage(tmp_path, [a, b], breaker={"consecutive": 1}) as stage:
        first = await stage.ask()
        assert (first.status, first.body) == (500, b"b")
        assert (state(stage, "a"), state(stage, "b")) == ("open", "open")
        again = await stage.ask()
        assert (again.status, again.body, len(b.seen)) == (503, b"a", 1)


@on_uvloop
async def test_a_provider_that_comes_back_proves_itself_first(tmp_path: Path) -> None:
    a, b = Provider(), Provider()
    rules = {"pause": 0.001, "pause_most": 0.001, "consecutive": 1, "probes": 1}
    async with providers_stage(tmp_path, [a, b], breaker=rules, quiet=False) as stage:
        await a.stop()
        assert await statuses(stage) == [200]
        upstream, worker = member(stage.worker, "a"), stage.worker
        worker.sweep(worker.clock() + 0.1)
        assert upstream.looking is not None
        await upstream.looking
        assert state(stage, "a") == "open"
        await a.start()
        worker.sweep(worker.clock() + 0.1)
        assert upstream.looking is not None
        await upstream.looking
        assert state(stage, "a") == "half_open"
        assert await statuses(stage, path="/v1/files") == [200]  # a streamed body is no probe
        assert len(a.seen) == 0
        assert await statuses(stage, 2) == [200, 200]
        assert (state(stage, "a"), len(a.seen)) == ("closed", 2)
        await stage.assert_empty()


@on_uvloop
async def test_slow_calls_count_while_they_wait(tmp_path: Path) -> None:
    async def slow(peer: Peer) -> None:
        await peer.request()
        await released.wait()
        peer.send(answer())
        await peer.gone()

    released = asyncio.Event()
    a, b = Provider(script=slow), Provider()
    async with providers_stage(tmp_path, [a, b], breaker={"slow_after": 5, "consecutive": 2}) as stage:
        asking = [asyncio.create_task(stage.ask()) for _ in range(2)]
        await until(lambda: member(stage.worker, "a").pool.counts.open == 2)
        await until(lambda: member(stage.worker, "a").pool.counts.connecting == 0)
        now = stage.worker.clock()
        for later in (4.0, 6.0, 7.0):
            stage.worker.upstream.sweep(now + later)
        assert state(stage, "a") == "open"
        assert await statuses(stage) == [200]
        assert len(b.seen) == 1
        released.set()
        assert [reply.status for reply in await asyncio.gather(*asking)] == [200, 200]
        await stage.assert_empty()


@on_uvloop
async def test_a_full_upstream_hands_on_and_when_all_are_full_requests_wait_in_a_bounded_queue(
    tmp_path: Path,
) -> None:
    async def waits(peer: Peer) -> None:
        while True:
            await peer.request()
            await released.wait()
            peer.send(answer())

    released = asyncio.Event()
    a, b = Provider(script=waits), Provider(script=waits)
    given = [{"max_concurrent": 1}, {"max_concurrent": 1}]
    async with providers_stage(tmp_path, [a, b], given) as stage:
        asking = [asyncio.create_task(stage.ask()) for _ in range(5)]
        upstream = stage.worker.upstream
        await until(lambda: any(task.done() for task in asking))
        assert upstream.counts.queued == 2
        released.set()
        replies = await asyncio.gather(*asking)
        counts = Counter(reply.status for reply in replies)
        assert counts == {200: 4, 503: 1}
        refused = next(reply for reply in replies if reply.status == 503)
        assert (refused.error["code"], refused.headers["retry-after"]) == ("overloaded", "1")
        await stage.assert_empty()


@on_uvloop
async def test_a_request_waits_for_a_slot_no_longer_than_it_may(tmp_path: Path) -> None:
    async def never(peer: Peer) -> None:
        sent.append(await peer.request())
        await peer.gone()

    sent: list[object] = []
    a = Provider(script=never)
    async with providers_stage(tmp_path, [a], [{"max_concurrent": 1}]) as stage:
        asking = [asyncio.create_task(stage.ask()) for _ in range(2)]
        await until(lambda: stage.worker.upstream.counts.queued == 1)
        await until(lambda: len(sent) == 1)
        stage.worker.upstream.sweep(stage.worker.clock() + 10.1)
        done, left = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        reply = done.pop().result()
        assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "overloaded", "1")
        left.pop().cancel()
        await stage.assert_empty()


@on_uvloop
async def test_a_client_that_leaves_during_the_second_attempt_leaves_nothing(tmp_path: Path) -> None:
    async def never(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    a, b = Provider(says=answer(500)), Provider(script=never)
    async with providers_stage(tmp_path, [a, b]) as stage:
        client = await stage.connect()
        client.writer.write(b"GET /v1/models HTTP/1.1\r\nhost: t\r\n\r\n")
        await until(lambda: member(stage.worker, "b").pool.counts.open == 1)
        client.writer.transport.abort()
        await stage.assert_empty()
        assert stage.worker.upstream.counts.failures == 0


@on_uvloop
async def test_a_single_upstream_is_asked_whatever_its_breaker_says(tmp_path: Path) -> None:
    a = Provider(says=answer(500))
    async with providers_stage(tmp_path, [a], breaker={"consecutive": 1}) as stage:
        assert await statuses(stage, 3) == [500] * 3
        assert (len(a.seen), state(stage, "a")) == (3, "open")


@on_uvloop
async def test_a_route_that_nobody_serves_is_not_found(tmp_path: Path) -> None:
    given = [{"routes": ["/chat/*"]}, {"routes": ["/models"]}]
    async with providers_stage(tmp_path, [Provider(), Provider()], given) as stage:
        assert await statuses(stage) == [200]
        reply = await stage.ask(chat_body(), path="/v1/files")
        assert (reply.status, reply.error["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("value", "wait"),
    [(b"7", 7.0), (b"0.5", 0.5), (b"0", 1.0), (b"Fri, 31 Dec 1999 23:59:59 GMT", 1.0), (None, None)],
)
def test_retry_after_as_providers_write_it(value: bytes | None, wait: float | None) -> None:
    headers = [] if value is None else [(b"retry-after", value)]
    assert retry_after(ResponseHead(429, b"", headers, 0)) == wait


def test_times_of_headers() -> None:
    assert seconds(b"nan") is None
