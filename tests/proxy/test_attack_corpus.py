"""The attack corpus: whole, at every split, byte by byte, over sockets, beside nginx and h11."""

import asyncio
import re
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import h11
import pytest
import uvloop

from tests.proxy.attack_corpus import ROWS, THEMES
from tests.proxy.attack_corpus.differences import H11, by_name
from tests.proxy.attack_corpus.differences import NGINX as DIFFERENCES_OF_NGINX
from tests.proxy.attack_corpus.rows import Row
from tests.support.edge import SMALL, Bench, feed, statuses
from tests.support.nginx import NGINX, TrivialUpstream, running_nginx

Outcome = tuple[tuple[int, ...], tuple[bytes, ...], str, int, bytes]
CHUNKS = 8
MANY_SPLITS = 400  # longer rows are split at this many places: at both ends, and evenly between them


async def outcome(row: Row, pieces: Sequence[bytes]) -> Outcome:
    """What the edge makes of `pieces`; nothing may be left behind when the connection is gone."""
    bench = Bench()
    connection, transport = bench.connect()
    await feed(connection, transport, pieces, row.eof)
    after = "closed" if transport.closed else "kept"
    connection.connection_lost(None)
    edge, log = bench.edge, bench.log
    gone = log.gone if after == "closed" else 0
    assert (edge.exchanges, edge.buffered, len(edge.connections)) == (0, 0, 0)
    log.handlers.clear()
    assert sys.getrefcount(connection) == 2, "somebody else holds the connection"
    written = bytes(transport.written)
    return statuses(written), tuple(log.bodies), after, gone, written


def expected(row: Row) -> tuple[tuple[int, ...], tuple[bytes, ...], str, int]:
    return row.answers, row.bodies, row.after, row.gone


def split_points(data: bytes) -> Sequence[int]:
    size = len(data)
    if size <= MANY_SPLITS:
        return range(1, size)
    ends = MANY_SPLITS // 4
    step = size // (MANY_SPLITS // 2)
    return sorted({*range(1, ends), *range(ends, size - ends, step), *range(size - ends, size)})


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(ROWS) >= 120
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_whole(row: Row) -> None:
    assert (await outcome(row, [row.data]))[:4] == expected(row)


@pytest.mark.parametrize("part", range(CHUNKS))
async def test_split_at_every_point(part: int) -> None:
    for row in ROWS[part::CHUNKS]:
        whole = await outcome(row, [row.data])
        for point in split_points(row.data):
            split = await outcome(row, [row.data[:point], row.data[point:]])
            assert split == whole, f"{row.name} split at {point}"


@pytest.mark.parametrize("part", range(CHUNKS))
async def test_byte_by_byte(part: int) -> None:
    for row in ROWS[part::CHUNKS]:
        pieces = [row.data[index : index + 1] for index in range(min(len(row.data), 50_000))]
        pieces.append(row.data[50_000:])
        whole = await outcome(row, [row.data])
        assert await outcome(row, [piece for piece in pieces if piece]) == whole, row.name


# --- over sockets


async def until(reached: Callable[[], bool]) -> None:
    """Let the loop turn until its callbacks have brought something about."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - the edge has callbacks and no events
            await asyncio.sleep(0)


async def over_socket(row: Row, bench: Bench, port: int) -> tuple[tuple[int, ...], str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(row.data)
        if row.eof:
            await until(lambda: len(bench.log.bodies) >= len(row.bodies) and bench.edge.accepted > 0)
            writer.write_eof()
        written = b""
        while row.after == "closed" or len(statuses(written)) < len(row.answers):
            more = await asyncio.wait_for(reader.read(65536), 10)
            if not more:
                return statuses(written), "closed"
            written += more
        return statuses(written), "kept"
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("theme", THEMES)
def test_over_sockets(theme: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        bench = Bench()
        server = await loop.create_server(lambda: bench.edge.protocol_factory(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for row in THEMES[theme]:
            bench.log.bodies.clear()
            bench.edge.accepted = 0
            answers, after = await over_socket(row, bench, port)
            assert (answers, after) == (row.answers, row.after), row.name
            await until(lambda: not bench.edge.connections)
            assert tuple(bench.log.bodies) == row.bodies, row.name
            assert (bench.edge.exchanges, bench.edge.buffered) == (0, 0), row.name
        server.close()
        await server.wait_closed()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 60))


# --- beside nginx and h11

Opinion = tuple[bool, tuple[bytes, ...]]  # refused something; bodies of the requests it saw

NGINX_CONFIG = """
    client_header_buffer_size 1k; large_client_header_buffers 4 1k;
    client_max_body_size 0; client_header_timeout 5s; client_body_timeout 5s; keepalive_requests 1000;
    underscores_in_headers on; ignore_invalid_headers off; proxy_ignore_client_abort on;
    server {{ listen LISTEN; location / {{ proxy_pass http://127.0.0.1:{port}; }}
              location = /early {{ return 401; }} }}
"""


def ours(row: Row) -> Opinion:
    return row.refused, row.bodies


def h11_opinion(row: Row) -> Opinion:
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=SMALL.head_bytes)
    server.receive_data(row.data)
    bodies, body = [], b""
    early = tunnel = refused = False
    try:
        while True:
            event = server.next_event()
            if isinstance(event, h11.Request):
                body, early, tunnel = b"", event.target == b"/early", event.method == b"CONNECT"
                refused = refused or early
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                if not early:
                    bodies.append(body)
                status = 405 if tunnel else 200  # 2xx would open it
                server.send(h11.Response(status_code=status, headers=[("content-length", "0")]))
                server.send(h11.EndOfMessage())
                if server.our_state is not h11.DONE or server.their_state is not h11.DONE:
                    break
                server.start_next_cycle()
            else:
                break
    except h11.RemoteProtocolError:
        return True, tuple(bodies)
    return refused, tuple(bodies)


def nginx_opinion(row: Row, port: int, upstream: TrivialUpstream) -> Opinion:
    upstream.bodies.clear()
    written = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        try:
            client.sendall(row.data)
            client.shutdown(socket.SHUT_WR)
            while more := client.recv(65536):
                written += more
        except (ConnectionResetError, BrokenPipeError):
            pass  # it closed with our bytes unread: the answer may be lost, the refusal is certain
    found = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", written)]
    html = written.startswith(b"<html>")  # to HTTP/0.9
    return html or any(status >= 400 for status in found), tuple(upstream.bodies)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[int, TrivialUpstream]]:
    with (
        TrivialUpstream().running() as upstream,
        running_nginx(tmp_path, NGINX_CONFIG.format(port=upstream.port)) as port,
    ):
        yield port, upstream


def disagreement(row: Row, opinion: Opinion, explanation: str) -> str:
    if (opinion == ours(row)) is not bool(explanation):
        return ""
    if explanation:
        return f"{row.name}: the difference is gone, and so should be its explanation: {explanation}"
    return f"{row.name}: ours {ours(row)}, theirs {opinion}"[:300]


def test_differences_are_about_rows_of_the_corpus() -> None:
    names = {row.name for row in ROWS}
    assert by_name(H11).keys() <= names
    assert by_name(DIFFERENCES_OF_NGINX).keys() <= names


@pytest.mark.parametrize("theme", THEMES)
def test_beside_h11(theme: str) -> None:
    reasons = by_name(H11)
    slips = [disagreement(row, h11_opinion(row), reasons.get(row.name, "")) for row in THEMES[theme]]
    assert not any(slips), "\n".join(filter(None, slips))


@pytest.mark.nginx
@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
@pytest.mark.parametrize("theme", THEMES)
def test_beside_nginx(theme: str, nginx: tuple[int, TrivialUpstream]) -> None:
    reasons = by_name(DIFFERENCES_OF_NGINX)
    slips = [
        disagreement(row, nginx_opinion(row, *nginx), reasons.get(row.name, "")) for row in THEMES[theme]
    ]
    assert not any(slips), "\n".join(filter(None, slips))
