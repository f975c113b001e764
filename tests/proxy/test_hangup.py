"""A client that leaves while nobody reads from it is noticed at the next sweep, whatever it had sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path

import pytest

from gateway.proxy.hangup import hung_up
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import WorkerStage, chat_body, request_bytes, until, worker_stage

PROMPTED = {"x-prompt": "greeter"}
BUDGET = 128 * 1024


def leave(sock: socket.socket, how: str) -> None:
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "half":
        sock.shutdown(socket.SHUT_WR)
    else:
        sock.close()


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@on_uvloop
async def test_a_peer_is_gone_once_it_has_closed_and_not_before(how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as peer:
        peer.connect(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, accepted)
        transport.pause_reading()
        peer.sendall(b"x" * 1000)
        assert not hung_up(transport)
        leave(peer, how)
        await until(lambda: hung_up(transport), 1.0)
        transport.abort()
        assert not hung_up(transport), "it is closed already"


async def waiting_client(stage: WorkerStage, sent: bytes) -> socket.socket:
    """A request that waits for the budget, its connection not being read."""
    sock = socket.create_connection(("127.0.0.1", stage.port))
    await asyncio.to_thread(sock.sendall, sent)
    await until(lambda: len(stage.worker.budget._waiting) == 1)
    return sock


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("size", [100, 60_000])
@pytest.mark.parametrize("whole", [True, False])
@on_uvloop
async def test_one_that_waits_for_the_budget_and_leaves_is_forgotten_at_the_next_sweep(
    tmp_path: Path, how: str, size: int, whole: bool
) -> None:
    limits = {"body_bytes": 64 * 1024, "body_budget_bytes": BUDGET}
    async with worker_stage(tmp_path, limits=limits) as stage:
        await stage.deploy()
        worker = stage.worker
        worker.budget.held += BUDGET
        raw = request_bytes(chat_body("x" * size), PROMPTED)
        with await waiting_client(stage, raw if whole else raw[:-50]) as sock:
            worker.edge.sweep(worker.clock())
            assert len(worker.budget._waiting) == 1, "one that waits patiently is left alone"
            leave(sock, how)
            await until(lambda: _swept(stage) == 0, 1.0)
        worker.budget.release(BUDGET)
        await stage.assert_empty()
        assert not worker.edge.connections
        assert stage.simulator.stats["requests"] == 0


def _swept(stage: WorkerStage) -> int:
    stage.worker.edge.sweep(stage.worker.clock())
    return len(stage.worker.budget._waiting)
