"""One request to the provider: its phases, time limits, bodies, backpressure and every way to end early."""

import asyncio
import contextlib
import gc
import socket
import weakref
from collections.abc import Iterator

import pytest

from gateway.errors import UpstreamBroken, UpstreamTimeout
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
    settle,
    until,
)

OPEN_ENDED = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome"
STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
BIG = bytes(range(256)) * 4096 * 16  # 16 MiB: more than the kernel holds between two sockets


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose accept queue is full: a connection to it is neither made nor refused."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield server.getsockname()[1]


# --- endings of the answer


@on_uvloop
async def test_head_has_no_body_and_keeps_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        await answers(peer)

    async with Stage(script) as stage:
        answer = await stage.ask((), method=b"HEAD")
        assert answer.head is not None
        assert (answer.head.length, answer.body, answer.ended) == (1000, b"", True)
        assert (await stage.ask()).body == b"ok"
        assert len(stage.peers) == 1


@on_uvloop
async def test_a_body_may_last_until_the_connection_ends() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await peer.writer.drain()
        peer.close()

    async with Stage(script) as stage:
        answer = await stage.ask()
        assert (answer.body, answer.ended, answer.error) == (b"hello", True, None)


@pytest.mark.parametrize("framing", [b"", b"content-length: 100\r\n", b"transfer-encoding: chunked\r\n"])
def test_a_reset_in_the_body_is_never_a_clean_end(framing: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n5\r\nhello\r\n")
        await relayed.wait()
        peer.reset()

    relayed = asyncio.Event()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(script) as stage:
            answer = stage.start()
            await answer.heard.wait()
            relayed.set()
            await done(answer)
            assert isinstance(answer.error, UpstreamBroken)
            assert "in the middle of its answer" in str(answer.error)

    dialogue()


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", OPEN_ENDED, STREAM + b"3\r\nab"])
def test_an_early_close_is_an_error(sent: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(sent)
        peer.close()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(script) as stage:
            answer = await stage.ask()
            assert isinstance(answer.error, UpstreamBroken)
            assert stage.pool.counts.failures == 1

    dialogue()


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", STREAM + b"zz\r\n"])
def test_nonsense_is_an_error_and_ends_the_connection(sent: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(sent)
        await peer.gone()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(script) as stage:
            assert isinstance((await stage.ask()).error, UpstreamBroken)
            await until(lambda: stage.pool.counts.open == 0)

    dialogue()


@on_uvloop
async def test_many_chunks_in_one_read_are_relayed_at_once() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(STREAM)
        await asyncio.sleep(0.01)
        peer.send(b"3\r\nabc\r\n" * 1000)
        await asyncio.sleep(0.01)
        peer.send(b"0\r\n\r\n")
        await peer.gone()

    async with Stage(script) as stage:
        answer = await stage.ask()
        assert answer.body == b"abc" * 1000
        assert len(answer.pieces) < 10


# --- request bodies


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_large_body_arrives_whole(pieces: int) -> None:
    async def script(peer: Peer) -> None:
        got.append((await peer.request()).body)
        peer.send(OK)
        await answers(peer)

    got: list[bytes] = []

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(script) as stage:
            answer = await stage.ask((BIG,) * pieces)
            assert answer.ended
            assert got == [BIG * pieces]
            assert (await stage.ask()).ended
            assert len(stage.peers) == 1

    dialogue()


@pytest.mark.parametrize("length", [None, len(BIG)])
def test_a_streamed_body_waits_for_a_provider_that_does_not_read(length: int | None) -> None:
    async def script(peer: Peer) -> None:
        await read.wait()
        got.append((await peer.request()).body)
        peer.send(OK)
        await peer.gone()

    read = asyncio.Event()
    got: list[bytes] = []

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(script, limits=Limits(stream_buffer_bytes=65536)) as stage:
            answer = stage.start(None, length=length)
            step = 100_000
            for start in range(0, len(BIG), step):
                if answer.writable and not answer.writable[-1]:
                    read.set()
                    await until(lambda: answer.writable[-1])
                answer.call.write(BIG[start : start + step])
                await asyncio.sleep(0)
            answer.call.end_body()
            read.set()
            await done(answer)
            assert answer.error is None
            assert got == [BIG]
            assert answer.writable[0] is False
            assert all(
                now is not before for before, now in zip(answer.writable, answer.writable[1:], strict=False)
            )

    dialogue()


@on_uvloop
async def test_a_body_that_waits_for_a_connection_is_bounded_too() -> None:
    limits = Limits(upstream_connections=1, stream_buffer_bytes=4096)

    async def script(peer: Peer) -> None:
        await peer.request()
        await go.wait()
        peer.send(OK)
        assert (await peer.request()).body == b"x" * 5001
        peer.send(OK)
        await peer.gone()

    go = asyncio.Event()
    async with Stage(script, limits=limits) as stage:
        first, second = stage.start(), stage.start(None)
        second.call.write(b"x")
        assert second.writable == []
        second.call.write(b"x" * 5000)
        assert second.writable == [False]
        go.set()
        await done(first)
        assert second.writable == [False, True]
        second.call.end_body()
        assert (await done(second)).ended


@on_uvloop
async def test_an_answer_before_the_body_is_whole_counts_and_costs_the_connection() -> None:
    async def refuses(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await peer.gone()

    async with Stage(refuses, refuses, refuses) as stage:
        streamed = stage.start(None)
        streamed.call.write(b"first")
        await done(streamed)
        assert (streamed.status, streamed.body, streamed.ended) == (413, b"no", True)
        streamed.call.write(b"late")
        streamed.call.end_body()
        assert stage.pool.counts.idle == 0
        whole = await stage.ask((BIG,))
        assert (whole.status, whole.ended) == (413, True)
        assert stage.pool.counts.idle == 0
        assert len(stage.peers) == 2


@pytest.mark.parametrize("body", [b"four", b"longer than said"])
def test_a_streamed_body_must_be_as_long_as_it_says(body: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(script) as stage:
            answer = stage.start(None, length=6)
            await until(lambda: bool(stage.peers))
            answer.call.write(body)
            answer.call.end_body()
            assert isinstance(answer.error, UpstreamBroken)

    dialogue()


# --- cancel


@pytest.mark.parametrize("phase", ["sending", "waiting", "head", "body", "stream", "paused"])
def test_cancel_closes_the_connection_in_every_phase(phase: str) -> None:
    async def script(peer: Peer) -> None:
        if phase == "sending":
            await seen_close.wait()
            return
        await peer.request()
        peer.send({"head": OPEN_ENDED[:12], "stream": STREAM + b"2\r\nab\r\n"}.get(phase, b""))
        if phase in ("body", "paused"):
            peer.send(OPEN_ENDED)
        ready.set()
        await peer.gone()
        seen_close.set()

    ready, seen_close = asyncio.Event(), asyncio.Event()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(script) as stage:
            answer = stage.start((BIG,) if phase == "sending" else (b"{}",))
            if phase == "sending":
                await until(lambda: bool(stage.peers))
                await settle()
            else:
                await ready.wait()
            if phase in ("body", "stream", "paused"):
                await answer.heard.wait()
            if phase == "paused":
                answer.call.pause()
            answer.call.cancel()
            answer.call.cancel()
            if phase != "sending":
                await seen_close.wait()
            seen_close.set()
            await until(lambda: stage.pool.counts.open == 0)
            assert not answer.over.is_set()
            for act in (answer.call.pause, answer.call.resume, answer.call.end_body):
                act()
            answer.call.write(b"x")
            assert stage.pool.counts.failures == 0

    dialogue()


@on_uvloop
async def test_cancel_while_queued_or_connecting() -> None:
    async with Stage(limits=Limits(upstream_connections=1)) as stage:
        connecting, queued = stage.start(), stage.start()
        queued.call.cancel()
        connecting.call.cancel()
        await until(lambda: stage.pool.counts.open == 0)
        assert stage.pool.counts.queued == 0
        assert not connecting.over.is_set()
        assert not queued.over.is_set()


@on_uvloop
async def test_cancel_at_any_moment_of_connecting() -> None:
    async with Stage(limits=Limits(upstream_idle=0)) as stage:
        for rounds in range(12):
            answer = stage.start()
            await settle(rounds)
            answer.call.cancel()
            await until(lambda: stage.pool.counts.open == 0)
            assert not answer.over.is_set() or answer.ended


@pytest.mark.parametrize("when", ["response_head", "response_data", "upstream_writable"])
def test_cancel_from_within_a_callback(when: str) -> None:
    async def script(peer: Peer) -> None:
        if when != "upstream_writable":
            await peer.request()
            peer.send(OK)
        await peer.gone()

    class Leaver(Answer):
        left = False

        def response_head(self, head: object) -> None:
            assert not self.left
            self.leave("response_head")

        def response_data(self, data: bytes) -> None:
            assert not self.left
            self.leave("response_data")

        def response_end(self) -> None:
            raise AssertionError

        def upstream_writable(self, writable: bool) -> None:
            assert not self.left
            self.leave("upstream_writable")

        def leave(self, name: str) -> None:
            if name == when:
                self.left = True
                self.call.cancel()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(script) as stage:
            answer = Leaver()
            body = None if when == "upstream_writable" else (b"{}",)
            answer.call = stage.pool.request(HEAD, body, answer, length=None, method=b"POST")
            await until(lambda: bool(stage.peers))
            if body is None:
                answer.call.write(BIG)
            await until(lambda: answer.left and stage.pool.counts.open == 0)
            await settle()

    dialogue()


# --- pause and resume


@on_uvloop
async def test_a_paused_answer_stops_coming() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BIG))
        peer.send(BIG)
        await answers(peer)

    async with Stage(script, timeouts=Timeouts(idle=20)) as stage:
        answer = stage.start()
        await answer.heard.wait()
        answer.call.pause()
        before = len(answer.body)
        await asyncio.sleep(0.05)
        assert len(answer.body) == before < len(BIG)
        stage.pass_time(100)
        assert answer.error is None  # it is the client that is slow
        answer.call.resume()
        await done(answer)
        assert answer.body == BIG
        assert (await stage.ask()).body == b"ok"
        assert len(stage.peers) == 1


@on_uvloop
async def test_paused_before_there_is_a_connection() -> None:
    async with Stage() as stage:
        answer = stage.start()
        answer.call.pause()
        await until(lambda: bool(stage.peers))
        await asyncio.sleep(0.02)
        assert answer.head is None
        answer.call.resume()
        assert (await done(answer)).body == b"ok"
        assert (await stage.ask()).body == b"ok"


# --- time limits


@on_uvloop
async def test_connecting_has_a_limit_and_is_not_tried_again() -> None:
    now = 0.0
    with deaf_port() as port:
        pool = Pool(f"http://127.0.0.1:{port}", Limits(), Timeouts(), clock=lambda: now, random=lambda: 0.0)
        answer = Answer()
        answer.call = pool.request(HEAD, (), answer, length=0, method=b"GET")
        await asyncio.sleep(0.02)
        now = 4.9
        pool.sweep(now)
        assert pool.counts.connecting == 1
        now = 5.0
        pool.sweep(now)
        assert isinstance(answer.error, UpstreamTimeout)
        assert "no connection" in str(answer.error)
        assert "within 5 s" in str(answer.error)
        assert pool.counts.retried == 0
        await pool.close()


@pytest.mark.parametrize(("said", "limit"), [(None, 600), (30.0, 30), (9000.0, 600)])
def test_the_first_byte_has_a_limit(said: float | None, limit: float) -> None:
    async def slow(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.request()
        peer.send(b"HTTP/1.1 200")  # a part of a head is no answer yet
        arrived.set()
        await peer.gone()

    arrived = asyncio.Event()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(slow) as stage:
            await stage.ask()
            answer = stage.start(first_byte=said)
            await arrived.wait()
            await asyncio.sleep(0.01)
            stage.pass_time(limit - 0.1)
            assert answer.error is None
            stage.pass_time(0.1)
            assert isinstance(answer.error, UpstreamTimeout)
            assert answer.error.status == 504
            assert f"did not answer within {limit:g} s" in str(answer.error)
            assert (len(stage.peers), stage.pool.counts.retried) == (1, 0)

    dialogue()


@on_uvloop
async def test_a_head_that_drips_does_not_gain_time() -> None:
    async def drips(peer: Peer) -> None:
        await peer.request()
        for byte in (b"H", b"T", b"T", b"P"):
            peer.send(byte)
            await asyncio.sleep(0.01)
            stage.pass_time(200)
        await peer.gone()

    async with Stage(drips) as stage:
        answer = await stage.ask()
        assert isinstance(answer.error, UpstreamTimeout)


@on_uvloop
async def test_silence_inside_an_answer_has_a_limit() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(STREAM + b"1\r\na\r\n")
        await more.wait()
        peer.send(b"1\r\nb\r\n")
        await peer.gone()

    more = asyncio.Event()
    async with Stage(script, timeouts=Timeouts(idle=20)) as stage:
        answer = stage.start()
        await answer.heard.wait()
        stage.pass_time(19)
        more.set()
        await until(lambda: answer.body == b"ab")
        stage.pass_time(19)
        assert answer.error is None
        stage.pass_time(1)
        assert isinstance(answer.error, UpstreamTimeout)
        assert "sent nothing for 20 s" in str(answer.error)


@on_uvloop
async def test_a_client_that_sends_slowly_is_not_the_providers_fault() -> None:
    async with Stage() as stage:
        answer = stage.start(None)
        await until(lambda: bool(stage.peers))
        await settle()
        answer.call.write(b"a")
        stage.pass_time(10_000)
        assert answer.error is None
        answer.call.end_body()
        assert (await done(answer)).body == b"ok"


@on_uvloop
async def test_a_provider_that_takes_nothing_of_the_body_has_a_limit() -> None:
    async def script(peer: Peer) -> None:
        await go.wait()

    go = asyncio.Event()
    async with Stage(script, timeouts=Timeouts(idle=20)) as stage:
        answer = stage.start(None)
        await until(lambda: bool(stage.peers))
        await settle()
        answer.call.write(BIG)
        await asyncio.sleep(0.05)
        stage.pass_time(20)
        assert isinstance(answer.error, UpstreamTimeout)
        assert "took nothing of the request" in str(answer.error)
        go.set()


# --- nothing is left


@on_uvloop
async def test_a_finished_call_is_freed_without_the_collector() -> None:
    async with Stage() as stage:
        await stage.ask()
        gc.collect()
        gc.disable()
        try:
            answer = await stage.ask()
            trace, call = weakref.ref(answer), answer.call
            del answer
            assert trace() is None
            assert not hasattr(call, "receiver")
        finally:
            gc.enable()
