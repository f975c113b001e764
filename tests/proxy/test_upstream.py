"""The pool: which connection serves which request, what is sent again, limits and ages."""

import asyncio
import contextlib

import pytest

from gateway.errors import Overloaded, Unavailable, UpstreamBroken, UpstreamUnreachable
from gateway.proxy.upstream import Pool
from gateway.settings import Limits, Timeouts
from tests.support.scripted_provider import (
    HEAD,
    OK,
    Answer,
    Peer,
    Stage,
    answers,
    done,
    on_uvloop,
    silent_port,
    until,
)


async def never_answers(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


# --- keep-alive


@on_uvloop
async def test_a_connection_serves_one_request_after_another() -> None:
    async with Stage() as stage:
        for _ in range(5):
            answer = await stage.ask()
            assert (answer.status, answer.body, answer.ended) == (200, b"ok", True)
        assert len(stage.peers) == 1
        counts = stage.pool.counts
        assert (counts.open, counts.idle, counts.reused, counts.failures) == (1, 1, 4, 0)


@on_uvloop
async def test_the_request_arrives_as_given_with_framing_added() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        for _ in range(4):
            request = await peer.request()
            seen.append(request.head[len(HEAD) :] + request.body)
            peer.send(OK)
        seen.append((await peer.head()).removeprefix(HEAD.replace(b"POST", b"GET")))
        peer.send(OK)

    async with Stage(script) as stage:
        await stage.ask((b"he", memoryview(b"llo")))  # type: ignore[arg-type]
        await stage.ask(())
        streamed = stage.start(None, length=5)
        streamed.call.write(b"he")
        streamed.call.write(b"llo")
        streamed.call.end_body()
        await done(streamed)
        chunked = stage.start(None)
        chunked.call.write(b"he")
        chunked.call.write(b"")
        chunked.call.write(b"llo")
        chunked.call.end_body()
        await done(chunked)
        await stage.ask((), method=b"GET")
    assert seen == [
        b"content-length: 5\r\n\r\nhello",
        b"content-length: 0\r\n\r\n",
        b"content-length: 5\r\n\r\nhello",
        b"transfer-encoding: chunked\r\n\r\nhello",
        b"\r\n",
    ]


@on_uvloop
async def test_the_connection_used_last_is_taken_first() -> None:
    async with Stage() as stage:
        first, second = stage.start(), stage.start()
        await done(first)
        await done(second)
        assert stage.pool.counts.idle == 2
        for _ in range(4):
            await stage.ask()
        assert len(stage.peers) == 2
        stage.pass_time(54.9)
        await stage.ask()
        stage.pass_time(1)
        assert stage.pool.counts.idle == 1  # the other one was idle for 55 s


@on_uvloop
async def test_a_request_made_at_the_answers_end_finds_the_connection() -> None:
    async with Stage() as stage:

        class Chained(Answer):
            def response_end(self) -> None:
                super().response_end()
                if len(chain) < 5:
                    start()

        chain: list[Answer] = []

        def start() -> None:
            answer = Chained()
            chain.append(answer)
            answer.call = stage.pool.request(HEAD, (b"{}",), answer, length=2, method=b"POST")

        start()
        await until(lambda: len(chain) == 5 and chain[-1].ended)
        assert len(stage.peers) == 1


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"\r\n",
        OK + OK,
        OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"),
        OK.replace(b"1.1", b"1.0"),
    ],
)
def test_a_connection_that_cannot_be_trusted_is_closed(answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(answer)
        await peer.gone()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(script, answers) as stage:
            assert (await stage.ask()).body == b"ok"
            assert stage.pool.counts.idle == 0
            assert (await stage.ask()).body == b"ok"
            assert len(stage.peers) == 2

    dialogue()


@pytest.mark.parametrize("farewell", ["byte", "close", "reset"])
def test_an_idle_connection_that_speaks_or_ends_leaves_the_pool(farewell: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await leave.wait()
        if farewell == "byte":
            peer.send(b"H")
        elif farewell == "close":
            peer.close()
        else:
            peer.reset()
        await peer.gone()

    leave = asyncio.Event()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(script, answers) as stage:
            await stage.ask()
            assert stage.pool.counts.idle == 1
            leave.set()
            await until(lambda: stage.pool.counts.open == 0)
            assert stage.pool.counts.idle == 0
            assert (await stage.ask()).body == b"ok"
            assert stage.pool.counts.retried == 0

    dialogue()


@on_uvloop
async def test_an_answer_in_every_split_leaves_a_good_connection() -> None:
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
    )
    splits = range(1, len(data), 3)

    async def script(peer: Peer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            for at in splits:
                await peer.request()
                await peer.drip(data, [at])

    async with Stage(script) as stage:
        for _ in splits:
            answer = await stage.ask()
            assert (answer.status, answer.body, answer.ended) == (200, b"hello!", True)
        assert len(stage.peers) == 1


# --- sent again


@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_stale_connection_is_replaced_by_a_fresh_one(way: str, streamed: bool) -> None:
    async def stale(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.head()
        peer.close() if way == "close" else peer.reset()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(stale, answers) as stage:
            await stage.ask()
            answer = stage.start(None if streamed else (b"{}",))
            if streamed:  # its body has not begun when the connection ends
                await until(lambda: stage.pool.counts.retried == 1)
                answer.call.write(b"{}")
                answer.call.end_body()
            await done(answer)
            assert (answer.body, answer.error) == (b"ok", None)
            assert len(stage.peers) == 2
            assert stage.pool.counts.retried == 1

    dialogue()


@on_uvloop
async def test_it_is_sent_again_on_a_fresh_connection_even_if_others_are_idle() -> None:
    async def stale(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        with contextlib.suppress(asyncio.IncompleteReadError):
            await peer.head()
            peer.close()

    async with Stage(stale, stale, answers) as stage:
        await asyncio.gather(done(stage.start()), done(stage.start()))
        assert stage.pool.counts.idle == 2
        assert (await stage.ask()).body == b"ok"
        assert len(stage.peers) == 3


@on_uvloop
async def test_connecting_again_has_its_own_time_limit() -> None:
    async def stale(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.head()
        stage.now += 100
        peer.close()

    async with Stage(stale, answers) as stage:
        await stage.ask()
        answer = stage.start()
        await until(lambda: stage.pool.counts.retried == 1)
        stage.pass_time(4)
        assert (await done(answer)).body == b"ok"


@on_uvloop
async def test_it_is_sent_again_once() -> None:
    async def stale(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.head()
        peer.close()

    async def closes(peer: Peer) -> None:
        await peer.request()
        peer.close()

    async with Stage(stale, closes) as stage:
        await stage.ask()
        answer = await stage.ask()
        assert isinstance(answer.error, UpstreamBroken)
        assert "without an answer" in str(answer.error)
        assert len(stage.peers) == 2


@pytest.mark.parametrize("told", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", OK[:-1]])
def test_after_the_first_byte_nothing_is_sent_again(told: bytes) -> None:
    async def stale(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.request()
        peer.send(told)
        peer.close()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(stale, answers) as stage:
            await stage.ask()
            answer = await stage.ask()
            assert isinstance(answer.error, UpstreamBroken)
            assert (len(stage.peers), stage.pool.counts.retried) == (1, 0)

    dialogue()


@on_uvloop
async def test_a_streamed_body_that_has_begun_is_not_sent_again() -> None:
    async def stale(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.head()
        await peer.reader.readexactly(7)
        peer.close()

    async with Stage(stale, answers) as stage:
        await stage.ask()
        answer = stage.start(None)
        answer.call.write(b"he")
        await done(answer)
        assert isinstance(answer.error, UpstreamBroken)
        assert (len(stage.peers), stage.pool.counts.retried) == (1, 0)


@on_uvloop
async def test_a_fresh_connection_that_closes_is_an_error_at_once() -> None:
    async def closes(peer: Peer) -> None:
        await peer.request()
        peer.close()

    async with Stage(closes) as stage:
        answer = await stage.ask()
        assert isinstance(answer.error, UpstreamBroken)
        assert (len(stage.peers), stage.pool.counts.failures) == (1, 1)


@on_uvloop
async def test_a_refused_connection_is_tried_once_more() -> None:
    async with silent_port() as port:
        loop = asyncio.get_running_loop()
        pool = Pool(f"http://127.0.0.1:{port}", Limits(), Timeouts(), clock=loop.time, random=lambda: 0.0)
        answer = Answer()
        answer.call = pool.request(HEAD, None, answer, length=None, method=b"POST")
        answer.call.write(b"never sent")
        await done(answer)
        assert isinstance(answer.error, UpstreamUnreachable)
        assert f"cannot connect to http://127.0.0.1:{port}" in str(answer.error)
        assert (pool.counts.retried, pool.counts.open) == (1, 0)
        await pool.close()


@on_uvloop
async def test_a_name_that_is_unknown_is_unreachable() -> None:
    pool = Pool("http://no-such-host.invalid", Limits(), Timeouts(), clock=lambda: 0.0, random=lambda: 0.0)
    answer = Answer()
    answer.call = pool.request(HEAD, (), answer, length=0, method=b"GET")
    await done(answer)
    assert isinstance(answer.error, UpstreamUnreachable)
    await pool.close()


# --- limits


@on_uvloop
async def test_requests_beyond_the_connections_wait_in_order() -> None:
    async with Stage(limits=Limits(upstream_connections=2)) as stage:
        waiting = [stage.start() for _ in range(4)]
        assert (stage.pool.counts.connecting, stage.pool.counts.queued) == (2, 2)
        refused = stage.start()
        refused_too = stage.start()
        assert stage.pool.counts.queued == 2
        order: list[int] = []
        for number, answer in enumerate(waiting):
            assert (await done(answer)).body == b"ok"
            order.append(number)
        for late in (refused, refused_too):
            await done(late)
            assert isinstance(late.error, Overloaded)
            assert late.error.retry_after
        assert len(stage.peers) == 2
        assert stage.pool.counts.reused == 2


@on_uvloop
async def test_a_closed_connection_makes_room_for_one_that_waits() -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        peer.send(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        await peer.gone()

    async with Stage(once, limits=Limits(upstream_connections=1)) as stage:
        for answer in [stage.start(), stage.start()]:
            assert (await done(answer)).body == b"ok"
        assert len(stage.peers) == 2


@on_uvloop
async def test_a_cancelled_connect_makes_room_for_one_that_waits() -> None:
    async with Stage(limits=Limits(upstream_connections=1)) as stage:
        first, second = stage.start(), stage.start()
        first.call.cancel()
        assert (await done(second)).body == b"ok"
        assert first.error is None


@on_uvloop
async def test_waiting_has_a_limit() -> None:
    stage = Stage(never_answers, limits=Limits(upstream_connections=1), timeouts=Timeouts(queue=3))
    async with stage:
        first, second = stage.start(), stage.start()
        await until(lambda: bool(stage.peers))
        stage.pass_time(2.9)
        assert second.error is None
        stage.pass_time(0.2)
        assert isinstance(second.error, Overloaded)
        assert second.error.retry_after
        assert "none became free within 3 s" in str(second.error)
        assert stage.pool.counts.queued == 0
        first.call.cancel()


@on_uvloop
async def test_a_connection_retires_by_age() -> None:
    async with Stage(timeouts=Timeouts(upstream_age=100), random=0.4) as stage:
        await stage.ask()
        stage.pass_time(50)
        await stage.ask()
        stage.pass_time(39.9)
        await stage.ask()
        assert len(stage.peers) == 1
        stage.now += 0.2  # beyond 100 s less 10 % of jitter, and before any sweep
        await stage.ask()
        assert len(stage.peers) == 2


@on_uvloop
async def test_a_connection_that_comes_of_age_while_serving_is_not_kept() -> None:
    async def slow(peer: Peer) -> None:
        await peer.request()
        stage.now += 101
        peer.send(OK)
        await peer.gone()

    async with Stage(slow, timeouts=Timeouts(upstream_age=100)) as stage:
        assert (await stage.ask()).ended
        assert stage.pool.counts.idle == 0


@on_uvloop
async def test_few_idle_connections_are_kept() -> None:
    async with Stage(limits=Limits(upstream_idle=1)) as stage:
        for answer in [stage.start() for _ in range(3)]:
            await done(answer)
        await until(lambda: stage.pool.counts.open == 1)
        assert stage.pool.counts.idle == 1


# --- the end


@on_uvloop
async def test_draining_lets_calls_finish_and_keeps_no_connection() -> None:
    async def slow(peer: Peer) -> None:
        await peer.request()
        await go.wait()
        peer.send(OK)
        await peer.gone()

    go = asyncio.Event()
    async with Stage(answers, slow) as stage:
        first, second = stage.start(), stage.start()
        await until(lambda: first.ended or second.ended)
        stage.pool.drain()
        assert stage.pool.counts.idle == 0
        late = await stage.ask()
        assert isinstance(late.error, Unavailable)
        go.set()
        for answer in (first, second):
            assert (await done(answer)).ended
        await until(lambda: stage.pool.counts.open == 0)


@on_uvloop
async def test_closing_tells_who_waits() -> None:
    async with Stage(never_answers, limits=Limits(upstream_connections=1)) as stage:
        sent, queued = stage.start(), stage.start()
        await until(lambda: bool(stage.peers))
        await stage.pool.close()
        assert isinstance(sent.error, Unavailable)
        assert isinstance(queued.error, Unavailable)
        assert stage.pool.counts.open == 0
        await stage.pool.close()
