import asyncio
import datetime
import hashlib
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import h11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.errors import ConfigError
from gateway.simulator import run_simulator
from tests.simulator.conftest import Start
from tests.simulator.wire import CHAT, Client, ask, chat, reads, request_bytes, until
from tests.support.gateway import free_ports

SLOW = "default: {first_token_ms: 0, gap_ms: 20, tokens: 1000, tokens_spread: 0}"


async def test_a_connection_is_kept_and_counted(start: Start) -> None:
    simulator = await start()
    client = await Client.connect(simulator.port)
    for _ in range(3):
        assert (await client.ask(CHAT, chat())).reusable
    assert simulator.stats["connections_accepted"] == simulator.stats["connections_open"] == 1
    await client.close()
    await until(lambda: simulator.stats["connections_open"] == 0)


async def test_requests_arrive_split_anywhere(start: Start) -> None:
    port = (await start()).port
    raw = request_bytes(chat(), "Connection: close")
    whole, _ = await reads(port, raw)
    for cut in range(1, len(raw), 7):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw[:cut])
        await asyncio.sleep(0)
        writer.write(raw[cut:])
        answer = await reader.read(-1)
        writer.close()
        assert answer.split(b"\r\n\r\n", 1)[1] == b"".join(whole).split(b"\r\n\r\n", 1)[1]


async def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    port = (await start()).port
    lines = "GET /v1/echo/{} HTTP/1.1\r\nHost: a\r\nx-sim-fault: informational_103\r\n{}\r\n"
    raw = "".join(lines.format(i, "Connection: close\r\n" if i == 99 else "") for i in range(100)).encode()
    answer = b"".join((await reads(port, raw))[0])
    places = [answer.index(b'"path":"/v1/echo/%d"' % i) for i in range(100)]
    assert places == sorted(places)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fault", ["", "stall_before_head", "stall_after_head", "stall_mid_stream", "stall_after_done"]
)
async def test_a_client_that_leaves_cancels(start: Start, stream: bool, fault: str) -> None:
    simulator = await start(SLOW)
    _, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(request_bytes(chat(stream=stream), f"x-sim-fault: {fault}" if fault else "x-a: b"))
    await until(lambda: simulator.stats["open"] == 1)
    writer.close()
    await until(lambda: simulator.stats["cancelled"] == 1)
    assert simulator.stats["open"] == simulator.stats["completed"] == 0
    assert simulator.provider.journal.last(1)[0]["outcome"] == "cancelled"


async def test_a_truncated_upload_never_becomes_a_request(start: Start) -> None:
    simulator = await start()
    _, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(request_bytes(chat())[:-5])
    await until(lambda: simulator.stats["connections_open"] == 1)
    writer.close()
    await until(lambda: simulator.stats["truncated"] == 1)
    assert simulator.stats["requests"] == 0


async def test_a_slow_reader_holds_the_writer_back(start: Start) -> None:
    """32 MiB are not put into memory for a peer that does not read, and arrive whole once it does."""
    simulator = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port, limit=1024)
    writer.write(request_bytes(chat(), "x-sim-fault: huge_body", "Connection: close"))
    await until(lambda: simulator.stats["open"] == 1)
    await asyncio.sleep(0.05)
    assert simulator.stats["open"] == 1
    size = 0
    while piece := await reader.read(2**20):
        size += len(piece)
    writer.close()
    assert size > 32 * 2**20
    assert simulator.stats["completed"] == 1


async def test_expect_100_continue_is_answered_before_the_body(start: Start) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", (await start()).port)
    raw = request_bytes(chat(), "Expect: 100-continue", "Connection: close")
    top, _, body = raw.partition(b"\r\n\r\n")
    writer.write(top + b"\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await reader.read(-1)).startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_http_1_0_gets_a_length_and_an_end(start: Start) -> None:
    raw = request_bytes(chat(stream=True), "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")
    found, end = await reads((await start()).port, raw)
    answer = b"".join(found)
    assert end == "closed"
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"data: [DONE]\n\n")


async def test_chunked_uploads_and_large_ones(start: Start) -> None:
    port = (await start()).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/files HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    block, count = b"x" * 2**20, 70
    for _ in range(count):
        writer.write(b"100000\r\n" + block + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    echo = json.loads((await reader.read(-1)).partition(b"\r\n\r\n")[2])
    writer.close()
    assert echo["body_size"] == count * 2**20
    assert echo["sha256"] == hashlib.sha256(block * count).hexdigest()
    (seen,) = (await ask(port, "/__sim/requests?last=1")).json()["requests"]
    assert (seen["body"], seen["body_size"]) == ("", count * 2**20)  # too long to keep


@pytest.mark.parametrize(
    "raw",
    [b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/x HTTP/1.1\r\nContent-Length: x\r\n\r\n"],
)
async def test_bytes_that_are_not_http_are_refused(start: Start, raw: bytes) -> None:
    simulator = await start()
    found, end = await reads(simulator.port, raw)
    assert b"".join(found).startswith(b"HTTP/1.1 400")
    assert end == "closed"
    await until(lambda: simulator.stats["connections_open"] == 0)
    assert simulator.stats["requests"] == 0


async def test_an_upgrade_offer_is_answered_as_http_1_1_and_the_connection_ends(start: Start) -> None:
    raw = b"GET /v1/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    found, end = await reads((await start()).port, raw)
    assert b"".join(found).startswith(b"HTTP/1.1 200")
    assert end == "closed"


async def test_a_second_simulator_cannot_take_the_port(start: Start) -> None:
    with pytest.raises(OSError, match="address already in use"):
        await start(port=(await start()).port)


async def test_tls(start: Start, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "simulator")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "both.pem"
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(encoding))
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(pem)
    simulator = await start(ssl_context=server_side)
    client = await Client.connect(simulator.port, ssl.create_default_context(cafile=str(pem)))
    assert len((await client.ask(CHAT, chat(stream=True))).events()) > 3
    assert (await client.ask(CHAT, chat(), x_sim_fault="no_keepalive")).headers["connection"] == "close"
    await client.close()
    await until(lambda: simulator.stats["connections_open"] == 0)
    client = await Client.connect(simulator.port, ssl.create_default_context(cafile=str(pem)))
    with pytest.raises((OSError, h11.RemoteProtocolError)):
        await client.ask(CHAT, chat(), x_sim_fault="reset_before_head")
    assert simulator.stats["reset"] == 1
    await client.close()


def test_a_process_of_its_own_serves_on_a_given_socket_with_uvloop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fileno = listener.fileno()
        code = (
            "import socket, sys; from gateway.simulator import run_simulator;"
            f"run_simulator(sock=socket.socket(fileno={fileno}),"
            "scenario_path='config/scenarios/benchmark.yaml')"
        )
        root = Path(__file__).resolve().parents[2]
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[fileno],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        try:
            answer = asyncio.run(ask(listener.getsockname()[1], CHAT, chat(stream=True)))
            assert answer.events()[-1] == "[DONE]"
            stalled, end = asyncio.run(
                reads(listener.getsockname()[1], request_bytes(chat(), "x-sim-fault: reset_after_head"))
            )
            assert b"".join(stalled).endswith(b"\r\n\r\n")
            assert end == "reset"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def test_a_scenario_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml: cannot be read"):
        run_simulator(scenario_path=str(tmp_path / "missing.yaml"))


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it waited in the queue of a listener that closed
        return False
    writer.close()
    return False


@pytest.mark.parametrize("given", [False, True])
async def test_it_refuses_connections_until_it_listens_again(start: Start, given: bool) -> None:
    """A socket that was handed down is held by another process too; connections must not wait there."""
    sock = socket.create_server(("127.0.0.1", free_ports(1)[0])) if given else None
    held = sock.dup() if sock is not None else None
    simulator = await start(sock=sock)
    client = await Client.connect(simulator.port)
    assert (await client.ask("/v1/models", method="GET")).status == 200
    await simulator.refuse()
    assert await client.reader.read() == b"", "open connections are cut"
    assert await refused(simulator.port)
    await simulator.listen()
    assert (await ask(simulator.port, "/v1/models", method="GET")).status == 200
    await client.close()
    if held is not None:
        held.close()


async def test_an_outage_is_asked_for_over_http_and_ends_by_itself(start: Start) -> None:
    simulator = await start()
    assert (await ask(simulator.port, "/__sim/refuse?seconds=soon", method="POST")).status == 400
    assert (await ask(simulator.port, "/__sim/refuse?seconds=0", method="POST")).json() == {"refusing_for": 0}
    outage = simulator._outage
    assert outage is not None
    await outage
    assert (await ask(simulator.port, "/v1/models", method="GET")).status == 200
    assert (await ask(simulator.port, "/__sim/refuse?seconds=999", method="POST")).status == 200
    async with asyncio.timeout(5):
        while not await refused(simulator.port):
            pass
