"""The edge as its handlers and its clients see it: order, limits, backpressure, time, ends."""

import asyncio
import json
import socket
import struct

import pytest
import uvloop
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import Overloaded
from gateway.proxy.base import Head, Link
from gateway.proxy.beginnings import Beginnings
from gateway.proxy.connection import DISCARD_BYTES, JITTER, REQUESTS_A_TURN
from gateway.proxy.edge import Edge
from gateway.proxy.framing import ChunkedBody, HeadParser, SizedBody
from gateway.proxy.header_lines import HeaderLines
from gateway.settings import Limits, Timeouts
from tests.support.edge import SMALL, Bench, FakeTransport, NotingHandler, feed, statuses

GET = b"GET /v1/x HTTP/1.1\r\nHost: a\r\n\r\n"
NEVER = b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n"


def post(path: bytes, length: int, extra: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a\r\ncontent-length: %d\r\n%b\r\n" % (path, length, extra)


def open_request(bench: Bench, data: bytes = NEVER) -> tuple[NotingHandler, FakeTransport]:
    connection, transport = bench.connect()
    connection.data_received(data)
    return bench.log.handlers[-1], transport


# --- what a handler is given


def test_a_head_is_given_raw_and_in_order() -> None:
    handler, _ = open_request(
        Bench(),
        b"POST /never/%61?b=c%20d HTTP/1.1\r\nHost: a\r\nX-Two: 1\r\nx-two:  2 \r\nContent-Length: 3\r\n\r\n",
    )
    head = handler.head
    assert (head.method, head.path, head.query, head.version) == (b"POST", b"/never/%61", b"b=c%20d", "1.1")
    assert head.headers == [
        (b"host", b"a"),
        (b"x-two", b"1"),
        (b"x-two", b"2"),
        (b"content-length", b"3"),
    ]
    assert (head.length, head.received) == (3, 1000.0)


def test_a_body_is_handed_over_as_it_comes_without_a_copy() -> None:
    bench = Bench()
    connection, _ = bench.connect()
    connection.data_received(post(b"/never", 10))
    piece = b"01234"
    connection.data_received(piece)
    handler = bench.log.handlers[0]
    assert handler.chunks[0] is piece
    assert not handler.complete
    connection.data_received(b"56789")
    assert handler.complete


def test_trailers_are_not_headers() -> None:
    handler, _ = open_request(
        Bench(),
        b"POST /never HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: x\r\n\r\n",
    )
    assert handler.complete
    assert handler.head.get(b"authorization") is None


# --- answers


@pytest.mark.parametrize(
    ("request_line", "length", "status", "framing", "body"),
    [
        (b"GET / HTTP/1.1", 5, 200, b"content-length: 5", b"hello"),
        (b"GET / HTTP/1.1", None, 200, b"transfer-encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
        (b"GET / HTTP/1.0", None, 200, b"connection: close", b"hello"),
        (b"HEAD / HTTP/1.1", 5, 200, b"content-length: 5", b""),
        (b"HEAD / HTTP/1.1", None, 200, b"", b""),
        (b"GET / HTTP/1.1", None, 204, b"", b""),
        (b"GET / HTTP/1.1", 5, 304, b"", b""),
    ],
)
def test_framing_of_answers(
    request_line: bytes, length: int | None, status: int, framing: bytes, body: bytes
) -> None:
    target = request_line.replace(b"/ ", b"/never ", 1)
    handler, transport = open_request(Bench(), target + b"\r\nHost: a\r\n\r\n")
    handler.link.respond(status, b"Reason", [(b"x-a", b"b")], length)
    handler.link.send(b"hello")
    handler.link.send(b"")
    handler.link.end()
    head, _, rest = bytes(transport.written).partition(b"\r\n\r\n")
    lines = [b"HTTP/1.1 %d Reason" % status, b"x-a: b", *filter(None, [framing])]
    assert head.split(b"\r\n") == lines
    assert rest == body


def test_what_one_read_brought_goes_out_in_one_piece() -> None:
    handler, transport = open_request(Bench())
    handler.link.respond(200, b"OK", [], None)
    handler.link.send(b"hel")
    assert not transport.written
    handler.link.flush()
    assert transport.written.endswith(b"\r\n\r\n3\r\nhel\r\n")
    handler.link.flush()
    handler.link.send(b"lo")
    handler.link.end()
    assert transport.written.endswith(b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")


def test_a_large_chunk_is_not_joined_but_framed_alike() -> None:
    handler, transport = open_request(Bench())
    handler.link.respond(200, b"OK", [], None)
    handler.link.send(b"x" * 100_000)
    handler.link.end()
    assert transport.written.endswith(b"\r\n\r\n186a0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"])
def test_a_header_can_never_break_the_framing(value: bytes) -> None:
    handler, transport = open_request(Bench())
    for headers in [[(b"x", value)], [(b"x" + value, b"y")]]:
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            handler.link.respond(200, b"OK", headers, 0)
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        handler.link.respond(200, value, [], 0)
    assert not transport.written


def test_an_answer_longer_than_announced_is_cut() -> None:
    handler, transport = open_request(Bench())
    handler.link.respond(200, b"OK", [], 3)
    with pytest.raises(ValueError, match="content-length"):
        handler.link.send(b"four")
    assert transport.closed == "close"
    assert transport.written.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("length", [5, None])
def test_a_cut_answer_never_looks_whole(length: int | None) -> None:
    handler, transport = open_request(Bench())
    handler.link.respond(200, b"OK", [], length)
    handler.link.send(b"hel")
    if length is None:
        handler.link.abort()
    else:
        handler.link.end()  # too early
    assert transport.closed == "close"
    assert not transport.written.endswith(b"0\r\n\r\n")
    assert handler.gone == 0


def test_a_cut_answer_that_ends_with_the_connection_is_reset() -> None:
    handler, transport = open_request(Bench(), b"GET /never HTTP/1.0\r\n\r\n")
    handler.link.respond(200, b"OK", [], None)
    handler.link.send(b"hel")
    handler.link.abort()
    assert transport.closed == "abort"


def test_our_errors_have_the_shape_that_clients_read() -> None:
    handler, transport = open_request(Bench())
    handler.link.fail(Overloaded("try later", retry_after=1.2))
    head, _, body = bytes(transport.written).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"content-type: application/json" in head
    assert b"retry-after: 2" in head
    error = json.loads(body)["error"]
    assert error == {"message": "try later", "type": "server_error", "param": None, "code": "overloaded"}


def test_after_the_end_a_link_is_deaf() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(NEVER)
    link = bench.log.handlers[0].link
    link.respond(200, b"OK", [], 0)
    link.end()
    connection.data_received(NEVER)
    written = bytes(transport.written)
    link.respond(200, b"OK", [], 0)
    link.send(b"late")
    link.pause_body()
    link.fail(Overloaded("late"))
    link.end()
    link.abort()
    assert (bytes(transport.written), transport.closed, transport.reading) == (written, "", True)
    assert bench.edge.exchanges == 1


def test_an_answer_to_a_transport_that_has_just_failed_does_no_harm() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(post(b"/never", 5))
    transport.abort()  # connection_lost follows in a later turn of the loop
    bench.log.handlers[0].link.fail(Overloaded("too late"))
    connection.connection_lost(ConnectionResetError())
    assert (bench.edge.exchanges, bench.log.gone) == (0, 0)


# --- order and keep-alive


def test_pipelined_requests_wait_for_their_turn() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(NEVER + GET + NEVER + GET)
    assert len(bench.log.handlers) == 1
    bench.log.handlers[0].link.respond(200, b"OK", [], 0)
    assert len(bench.log.handlers) == 1
    bench.log.handlers[0].link.end()
    assert len(bench.log.handlers) == 3
    bench.log.handlers[2].link.respond(200, b"OK", [], 0)
    bench.log.handlers[2].link.end()
    assert statuses(transport.written) == (200,) * 4


def test_a_pipelining_flood_is_kept_unparsed_and_reading_pauses() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(NEVER)
    connection.data_received(GET * 100)
    assert transport.reading
    connection.data_received(GET * 100)
    assert not transport.reading
    assert len(bench.log.handlers) == 1
    assert bench.edge.buffered == 200 * len(GET)


async def test_a_flood_leaves_turns_to_others_and_reading_goes_on() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(GET * 500)
    assert bench.edge.requests == REQUESTS_A_TURN
    assert not transport.reading
    await feed(connection, transport, [])
    assert bench.edge.requests == 500
    assert transport.reading


def test_no_request_is_begun_while_the_client_does_not_read() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.pause_writing()
    connection.data_received(GET)
    assert not bench.log.handlers
    connection.resume_writing()
    assert statuses(transport.written) == (200,)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_keep_alive_ends_after_about_so_many_requests(chance: float) -> None:
    bench = Bench(Limits(requests_per_connection=20))
    bench.edge.random = lambda: chance
    connection, transport = bench.connect()
    for _ in range(40):
        if not transport.closed:
            connection.data_received(GET)
    assert len(statuses(transport.written)) == round(20 * (1 - JITTER + 2 * JITTER * chance))
    assert transport.written.count(b"connection: close") == 1


def test_keep_alive_ends_with_age() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    bench.clock.now += 301
    bench.edge.sweep(bench.clock.now - 226)  # not idle for long, as far as this sweep knows
    connection.data_received(GET)
    assert b"connection: close" not in transport.written
    bench.edge.sweep(bench.clock.now)
    connection.data_received(GET)
    assert b"connection: close" in transport.written
    assert transport.closed == "close"


def test_draining_ends_idle_connections_now_and_others_with_their_answer() -> None:
    bench = Bench()
    _, idle = bench.connect()
    busy_handler, busy = open_request(bench)
    half, half_transport = bench.connect()
    half.data_received(GET[:10])
    bench.edge.drain()
    assert (idle.closed, busy.closed, half_transport.closed) == ("close", "", "")
    busy_handler.link.respond(200, b"OK", [], 0)
    busy_handler.link.end()
    half.data_received(GET[10:])
    assert (busy.closed, half_transport.closed) == ("close", "close")
    assert b"connection: close" in busy.written
    assert b"connection: close" in half_transport.written


def test_close_cuts_all_and_tells_the_handlers() -> None:
    bench = Bench()
    handler, transport = open_request(bench)
    bench.edge.close()
    assert (handler.gone, transport.closed, bench.edge.exchanges) == (1, "abort", 0)


def test_too_many_connections_are_answered_and_closed_and_far_too_many_are_cut() -> None:
    bench = Bench(Limits(connections=2))
    transports = [bench.connect()[1] for _ in range(70)]
    assert [statuses(transport.written) for transport in transports[:4]] == [(), (), (503,), (503,)]
    assert transports[2].closed == "eof"
    assert b"retry-after: 1" in transports[2].written
    assert (transports[-1].closed, bytes(transports[-1].written)) == ("abort", b"")


# --- answered before the body's end


def test_the_rest_of_a_refused_body_is_thrown_away_and_the_connection_kept() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(post(b"/early", DISCARD_BYTES))
    connection.data_received(b"x" * (DISCARD_BYTES - 1))
    assert statuses(transport.written) == (401,)
    connection.data_received(b"x" + GET)
    assert statuses(transport.written) == (401, 200)
    assert not transport.closed


def test_too_large_a_rest_ends_the_connection_after_the_answer() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(post(b"/early", DISCARD_BYTES + 1))
    assert b"connection: close" in transport.written
    assert transport.closed == "eof"  # still reading, so that the answer is not reset away
    connection.data_received(b"x" * 1000)
    connection.eof_received()
    assert bench.log.bodies == []


def test_nobody_may_be_lingered_on_for_ever() -> None:
    bench = Bench(Limits(body_bytes=10_000))
    connection, transport = bench.connect()
    connection.data_received(b"\x16\x03\x01")
    transport.closed = ""
    connection.data_received(b"x" * 10_001)
    assert transport.closed == "abort"


# --- backpressure


def test_a_handler_pauses_the_body_and_what_is_read_already_waits() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(post(b"/never", 10) + b"01")
    handler = bench.log.handlers[0]
    handler.link.pause_body()
    assert not transport.reading
    connection.data_received(b"23")
    assert handler.chunks == [b"01"]
    handler.link.resume_body()
    assert handler.chunks == [b"01", b"23"]
    assert transport.reading


def test_a_handler_hears_of_a_client_that_does_not_read() -> None:
    bench = Bench()
    connection, _ = bench.connect()
    connection.data_received(NEVER)
    connection.pause_writing()
    connection.resume_writing()
    assert bench.log.handlers[0].writable == [False, True]


# --- time


@pytest.mark.parametrize(
    ("data", "limit", "status", "closed", "gone"),
    [
        (b"", Timeouts().keep_alive, (), "close", 0),
        (GET, Timeouts().keep_alive, (200,), "close", 0),
        (b"\r\n", Timeouts().keep_alive, (), "", 0),
        (b"GET / HT", Timeouts().head, (400,), "eof", 0),
        (GET + b"GET", Timeouts().head, (200, 400), "eof", 0),
        (post(b"/never", 5) + b"hel", Timeouts().body_idle, (400,), "eof", 1),
        (post(b"/early", 5) + b"hel", Timeouts().body_idle, (401,), "eof", 0),
    ],
)
def test_time_limits(data: bytes, limit: float, status: tuple[int, ...], closed: str, gone: int) -> None:
    bench = Bench()
    connection, transport = bench.connect()
    if data:
        connection.data_received(data)
    before = bytes(transport.written)
    bench.edge.sweep(bench.clock.now + limit)
    assert (bytes(transport.written), transport.closed) == (before, "")
    bench.clock.now += limit + 1
    bench.edge.sweep(bench.clock.now)
    assert (statuses(transport.written), transport.closed, bench.log.gone) == (status, closed, gone)
    if 400 in status:
        assert b'"code":"request_timeout"' in transport.written
    bench.clock.now += 6
    bench.edge.sweep(bench.clock.now)
    assert bench.edge.exchanges == 0


def test_a_slow_head_has_no_more_time_than_a_quick_one() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    for byte in GET.replace(b"Host", b"X: y\r\nHost")[:31]:
        connection.data_received(bytes([byte]))
        bench.clock.now += 1
        bench.edge.sweep(bench.clock.now)
    assert statuses(transport.written) == (400,)


def test_an_answer_may_take_as_long_as_it_takes() -> None:
    bench = Bench()
    handler, transport = open_request(bench)
    bench.edge.sweep(bench.clock.now + 100_000)
    assert (handler.gone, transport.closed) == (0, "")


def test_a_client_that_stops_reading_is_cut_and_one_that_is_slow_is_not() -> None:
    bench = Bench()
    handler, transport = open_request(bench)
    handler.link.respond(200, b"OK", [], 1000)
    handler.link.send(b"x" * 1000)
    handler.link.flush()
    for stuck in (900, 800, 700):
        transport.stuck = stuck
        bench.clock.now += 119
        bench.edge.sweep(bench.clock.now)
    assert not transport.closed
    bench.clock.now += 121
    bench.edge.sweep(bench.clock.now)
    assert (handler.gone, transport.closed) == (1, "abort")


def test_a_closed_connection_that_cannot_flush_is_cut() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(GET.replace(b"Host", b"Connection: close\r\nHost"))
    assert transport.closed == "close"
    transport.closed, transport.stuck = "", 10
    bench.edge.sweep(bench.clock.now)
    bench.edge.sweep(bench.clock.now + 121)
    assert transport.closed == "abort"


# --- laws


@given(st.binary(max_size=2000), st.data())
def test_law_any_bytes_split_anywhere_give_the_same_body(body: bytes, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 300), max_size=20))
    encoded, at = b"", 0
    for size in [*sizes, len(body)]:
        if piece := body[at : at + size]:
            encoded += b"%x\r\n%b\r\n" % (len(piece), piece)
        at += size
    encoded += b"0\r\n\r\n"
    stream = encoded + b"GET / HTTP/1.1"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    decoder, decoded, used = ChunkedBody(), b"", 0
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if not decoder.complete:
            piece, after = decoder.feed(stream[start:stop], 0)
            decoded += piece
            used += after
    assert (decoded, decoder.complete, used) == (body, True, len(encoded))


@given(st.integers(1, 100), st.lists(st.integers(1, 60), min_size=1, max_size=10))
def test_law_a_sized_body_takes_what_is_its_own(length: int, sizes: list[int]) -> None:
    body, taken = SizedBody(length), 0
    for size in sizes:
        piece, after = body.feed(b"x" * size, 0)
        assert len(piece) == after
        taken += after
    assert taken == min(length, sum(sizes))
    assert body.complete is (taken == length)


@given(st.binary(max_size=200))
@example(b"HTTP/1.1 000 \r\n")
def test_law_no_bytes_whatsoever_break_the_edge(data: bytes) -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(data)
    connection.connection_lost(None)
    assert (bench.edge.exchanges, len(bench.edge.connections)) == (0, 0)
    assert all(status in (200, 400, 405, 414, 417, 431, 501, 505) for status in statuses(transport.written))


@given(
    st.lists(
        st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b"GET / HTTP/1.1", b"Host: a", b"a" * 600]), max_size=12
    )
)
def test_law_a_head_is_judged_alike_however_it_is_split(parts: list[bytes]) -> None:
    data = b"GET" + b"".join(parts)
    whole, pieces = Bench(), Bench()
    connection, whole_transport = whole.connect()
    connection.data_received(data)
    connection, transport = pieces.connect()
    for byte in data:
        if transport.closed in ("", "eof"):
            connection.data_received(bytes([byte]))
    assert (transport.written, transport.closed) == (whole_transport.written, whole_transport.closed)


def test_a_head_at_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    parser = HeadParser(SMALL, HeaderLines(), Beginnings())
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    at_limit = start + b"a" * (SMALL.head_bytes - len(start) - 4) + b"\r\n\r\n"
    assert parser.find_end(at_limit, 0) == SMALL.head_bytes
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(at_limit.replace(b"X: ", b"X: a"))
    assert statuses(transport.written) == (431,)


# --- real sockets


class Echo:
    """Sends the body back as it comes, with backpressure in both directions."""

    def __init__(self, head: Head, link: Link) -> None:
        self.link = link
        link.respond(200, b"OK", [], head.length)

    def body(self, chunk: bytes) -> None:
        self.link.send(chunk)
        self.link.flush()

    def body_end(self) -> None:
        self.link.end()

    def client_gone(self) -> None:
        pass

    def client_writable(self, writable: bool) -> None:
        if writable:
            self.link.resume_body()
        else:
            self.link.pause_body()


def on_uvloop(main: object) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)  # type: ignore[arg-type]


async def serve(edge: Edge) -> tuple[asyncio.Server, int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(edge.protocol_factory, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def test_a_large_body_is_echoed_with_bounded_buffers() -> None:
    size = 32 * 1024 * 1024
    block = bytes(range(256)) * 256

    async def main() -> None:
        bench = Bench(Limits(), opener=Echo)
        server, port = await serve(bench.edge)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def upload() -> None:
            writer.write(post(b"/", size))
            for _ in range(size // len(block)):
                writer.write(block)
                await writer.drain()

        uploading = asyncio.create_task(upload())
        await reader.readuntil(b"\r\n\r\n")
        received, held = 0, 0
        while received < size:
            data = await reader.read(1 << 20)
            assert data == (block * 17)[received % 256 :][: len(data)]
            received += len(data)
            held = max(held, bench.edge.buffered)
        await uploading
        assert held <= 2 * Limits().stream_buffer_bytes
        writer.close()
        server.close()
        await server.wait_closed()

    on_uvloop(main())


def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    async def main() -> None:
        bench = Bench()
        server, port = await serve(bench.edge)

        def client() -> bytes:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(post(b"/early", 10_000_000))
                for _ in range(100):
                    connection.sendall(b"x" * 100_000)
                answer = b""
                while more := connection.recv(65536):
                    answer += more
                return answer

        answer = await asyncio.to_thread(client)
        assert statuses(answer) == (401,)
        assert answer.endswith(b"}")
        server.close()
        await server.wait_closed()

    on_uvloop(main())


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_is_noticed_while_its_answer_is_due(reset: bool) -> None:
    async def main() -> None:
        gone = asyncio.Event()

        class Waiting(NotingHandler):
            def client_gone(self) -> None:
                super().client_gone()
                gone.set()

        bench = Bench()
        bench.edge.open_handler = lambda head, link: Waiting(bench.log, head, link)
        server, port = await serve(bench.edge)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(NEVER + GET)
        if reset:
            client = writer.get_extra_info("socket")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await writer.drain()
        writer.close()
        await asyncio.wait_for(gone.wait(), 10)
        assert bench.edge.exchanges == 0
        server.close()
        await server.wait_closed()

    on_uvloop(main())
