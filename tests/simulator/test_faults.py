"""Every fault over a real connection: what arrives, how it ends, and that the simulator lives on."""

import asyncio
import gzip
import json
import zlib
from itertools import pairwise

import h11
import pytest

from gateway.simulator.faults import FAULTS
from tests.simulator.conftest import Start
from tests.simulator.wire import CHAT, Client, ask, chat, reads, request_bytes, until

STALLS = [name for name in FAULTS if name.startswith("stall")]
RESETS = [name for name in FAULTS if name.startswith("reset")]


async def played(
    start: Start, fault: str, *, stream: bool = True, gap: int = 0, tokens: int = 20
) -> tuple[bytes, str]:
    """Return all bytes and the end; the connection is asked to close after the answer."""
    options = (
        f"x-sim-fault: {fault}",
        f"x-sim-gap-ms: {gap}",
        f"x-sim-tokens: {tokens}",
        "Connection: close",
    )
    body = chat(stream=stream, stream_options={"include_usage": True} if stream else None)
    found, end = await reads((await start()).port, request_bytes(body, *options))
    return b"".join(found), end


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", sorted(set(FAULTS) - set(STALLS)))
async def test_each_fault_ends_is_counted_and_leaves_nothing(start: Start, fault: str, stream: bool) -> None:
    simulator = await start()
    raw = request_bytes(chat(stream=stream), f"x-sim-fault: {fault}", "Connection: close")
    _, end = await reads(simulator.port, raw)
    assert end == ("reset" if fault in RESETS else "closed")
    await until(lambda: simulator.stats["connections_open"] == 0)
    stats = simulator.stats
    assert (stats["open"], stats["requests"], stats["faults"]) == (0, 1, {fault: 1})
    assert stats["reset" if fault in RESETS else "completed"] == 1
    assert (await ask(simulator.port, CHAT, chat())).status == 200


@pytest.mark.parametrize("fault", STALLS)
async def test_each_stall_says_nothing_more(start: Start, fault: str) -> None:
    simulator = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(request_bytes(chat(stream=True), f"x-sim-fault: {fault}"))
    whole = b""
    with pytest.raises(TimeoutError):
        while True:
            async with asyncio.timeout(0.1):
                whole += await reader.read(2**20)
    assert (whole == b"") == (fault in ("stall_before_head", "stall_mid_request"))
    assert (b"data:" in whole) == (fault in ("stall_mid_stream", "stall_after_done"))
    assert (b"[DONE]" in whole) == (fault == "stall_after_done")
    writer.close()
    await until(lambda: simulator.stats["cancelled"] == 1)


@pytest.mark.parametrize(
    ("fault", "said", "end"),
    [
        ("reset_mid_request", b"", "reset"),
        ("close_mid_request", b"", "closed"),
        ("answer_mid_request", b"HTTP/1.1 413 ", "closed"),
    ],
)
async def test_faults_in_the_middle_of_a_request_do_not_wait_for_its_body(
    start: Start, fault: str, said: bytes, end: str
) -> None:
    simulator = await start()
    head = request_bytes(chat(), f"x-sim-fault: {fault}").partition(b"\r\n\r\n")[0]
    whole, ended = await reads(simulator.port, head + b"\r\n\r\n{")
    assert (b"".join(whole)[: len(said)], ended) == (said, end)
    await until(lambda: simulator.stats["connections_open"] == 0)
    stats = simulator.stats
    assert (stats["requests"], stats["open"], stats["truncated"]) == (1, 0, 0)


async def test_a_reset_in_the_middle_has_half_of_the_events_and_no_end(start: Start) -> None:
    whole, end = await played(start, "reset_mid_stream", gap=1)
    assert end == "reset"
    assert 8 <= whole.count(b"data: ") <= 14
    assert b"[DONE]" not in whole
    body, end = await played(start, "close_mid_stream", stream=False)
    assert end == "closed"
    assert body.partition(b"\r\n\r\n")[2].startswith(b'{"id"')
    assert not body.endswith(b"}")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504])
async def test_statuses_have_errors_of_the_provider_s_shape(start: Start, status: int) -> None:
    answer = await ask((await start()).port, CHAT, chat(stream=True), x_sim_fault=f"status_{status}")
    assert answer.status == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert ("retry-after" in answer.headers) == (status in (429, 503))


async def test_a_provider_without_stream_options_refuses_only_them(start: Start) -> None:
    client = await Client.connect((await start()).port)
    fault = {"x_sim_fault": "status_400_stream_options"}
    refused = await client.ask(CHAT, chat(stream=True, stream_options={"include_usage": True}), **fault)
    assert (refused.status, refused.json()["error"]["param"]) == (400, "stream_options")
    assert (await client.ask(CHAT, chat(stream=True), **fault)).status == 200
    await client.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_gzip_is_the_same_answer_compressed(start: Start, stream: bool) -> None:
    client = await Client.connect((await start()).port)
    plain = await client.ask(CHAT, chat(stream=stream), x_sim_tokens="9")
    packed = await client.ask(CHAT, chat(stream=stream), x_sim_tokens="9", x_sim_fault="gzip")
    await client.close()
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body


async def test_gzipped_events_still_come_one_by_one(start: Start) -> None:
    whole, _ = await played(start, "gzip", gap=1, tokens=5)
    chunks = whole.partition(b"\r\n\r\n")[2]
    size, _, rest = chunks.partition(b"\r\n")
    first = zlib.decompressobj(wbits=31).decompress(rest[: int(size, 16)])
    assert first.count(b"data: ") == 2  # the role and the first token


async def test_split_utf8_cuts_characters_between_reads(start: Start) -> None:
    raw = request_bytes(chat(stream=True), "x-sim-fault: split_utf8", "x-sim-tokens: 80", "Connection: close")
    found, _ = await reads((await start()).port, raw)
    cut = 0
    for one, other in pairwise(found):
        cut += bool(one and other and one[-1] >= 0xC2 and 0x80 <= other[0] <= 0xBF)
    assert cut >= 3
    assert b"[DONE]" in found[-1]


@pytest.mark.parametrize(("fault", "line_end"), [("crlf_events", b"\r\n"), ("cr_events", b"\r")])
async def test_line_ends(start: Start, fault: str, line_end: bytes) -> None:
    whole = (await ask((await start()).port, CHAT, chat(stream=True), x_sim_fault=fault)).body
    assert whole.endswith(b"data: [DONE]" + line_end * 2)
    assert b"\n" not in whole.replace(line_end, b"")


async def test_usage_stands_where_the_fault_says(start: Start) -> None:
    port = (await start()).port
    asked, plain = chat(stream=True, stream_options={"include_usage": True}), chat(stream=True)

    async def last(body: object, fault: str) -> list[object]:
        return (await ask(port, CHAT, body, x_sim_fault=fault)).events()[-2:]

    (usage, done) = await last(asked, "usage_in_last_choice")
    assert usage["choices"] == [{"index": 0, "delta": {}}]  # type: ignore[index]
    assert usage["usage"]["total_tokens"] > 0  # type: ignore[index]
    assert done == "[DONE]"
    (unasked, _) = await last(plain, "usage_unasked")
    assert unasked["choices"] == []  # type: ignore[index]
    (finish, _) = await last(asked, "no_usage")
    assert finish["choices"][0]["finish_reason"] == "stop"  # type: ignore[index]
    assert "usage" not in (await ask(port, CHAT, chat(), x_sim_fault="no_usage")).json()


async def test_a_stream_can_end_cleanly_without_done_or_after_an_error(start: Start) -> None:
    port = (await start()).port
    assert (
        "[DONE]" not in (await ask(port, CHAT, chat(stream=True), x_sim_fault="close_without_done")).events()
    )
    events = (await ask(port, CHAT, chat(stream=True), x_sim_fault="error_event")).events()
    assert set(events[-1]) == {"error"}
    assert (await ask(port, CHAT, chat(), x_sim_fault="error_in_200")).json()["error"]["message"]


@pytest.mark.parametrize(("fault", "status"), [("informational_100", 100), ("informational_103", 103)])
async def test_informational_answers_come_first(start: Start, fault: str, status: int) -> None:
    answer = await ask((await start()).port, CHAT, chat(), x_sim_fault=fault)
    assert (answer.informational, answer.status) == ([status], 200)


async def test_connections_end_as_promised_or_not(start: Start) -> None:
    port = (await start()).port
    honest = await ask(port, CHAT, chat(), x_sim_fault="no_keepalive")
    assert (honest.headers["connection"], honest.reusable) == ("close", False)
    for fault in ("http10", "until_close"):
        assert "content-length" not in (await ask(port, CHAT, chat(), x_sim_fault=fault)).headers
    client = await Client.connect(port)
    assert (await client.ask(CHAT, chat(), x_sim_fault="close_after")).reusable  # it says so
    assert await client.reader.read(1) == b""
    await client.close()
    client = await Client.connect(port)
    await client.ask(CHAT, chat(), x_sim_fault="stale_on_reuse")
    with pytest.raises((h11.RemoteProtocolError, OSError)):
        await client.ask(CHAT, chat(), x_sim_fault="stale_on_reuse")
    await client.close()


async def test_large_things_are_large(start: Start) -> None:
    port = (await start()).port
    huge, _ = await played(start, "huge_body")
    assert len(json.loads(huge.partition(b"\r\n\r\n")[2])) == 32 * 2**20
    events = (await ask(port, CHAT, chat(stream=True), x_sim_fault="huge_event")).events()
    assert max(len(json.dumps(event)) for event in events) > 2 * 2**20
    whole, _ = await played(start, "huge_header")
    assert whole.index(b"\r\n\r\n") > 200_000


@pytest.mark.parametrize(
    "fault",
    [
        "two_lengths",
        "length_and_chunked",
        "bad_status_line",
        "not_http",
        "nul_header",
        "bad_chunk",
        "short_body",
    ],
)
async def test_a_strict_client_refuses_broken_framing(start: Start, fault: str) -> None:
    with pytest.raises(h11.RemoteProtocolError):
        await ask((await start()).port, CHAT, chat(), x_sim_fault=fault)


async def test_garbage_stands_between_good_events(start: Start) -> None:
    whole, _ = await played(start, "garbage_sse", tokens=9)
    for piece in (b"data: {not json\n\n", b"event: ping\n\n", b"\xff\xfe: x\n\n", b"data: [DONE]\n\n"):
        assert piece in whole


async def test_slow_bytes_arrive_in_many_reads(start: Start) -> None:
    port = (await start()).port
    for fault in ("slow_headers", "byte_by_byte"):
        found, _ = await reads(port, request_bytes(chat(), f"x-sim-fault: {fault}", "Connection: close"))
        assert len(found) > 50
        assert b"".join(found).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_faults_of_the_scenario_come_at_their_rates(start: Start) -> None:
    simulator = await start("""
default: {first_token_ms: 0, gap_ms: 0, faults: {status_429: 0.2, broken_json: 0.3}}
""")
    client = await Client.connect(simulator.port)
    statuses = [(await client.ask(CHAT, chat(f"{i}"))).status for i in range(600)]
    await client.close()
    assert statuses.count(429) == pytest.approx(120, abs=40)
    assert simulator.provider.journal.faults["broken_json"] == pytest.approx(180, abs=45)


async def test_a_fault_of_a_head_request_has_no_body(start: Start) -> None:
    client = await Client.connect((await start()).port)
    assert (await client.ask("/v1/echo", method="HEAD")).body == b""
    assert (await client.ask("/v1/echo", method="HEAD", x_sim_fault="gzip")).body == b""
    await client.close()
