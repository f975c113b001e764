"""What an operator does to a gateway, and what a machine does: signals, deaths, a new configuration."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.gateway import Gateway, RawClient, ask_once, descendants, make_gateway, running
from tests.support.redis_server import RedisServer

SECRET = "the-text-of-a-user"
BODY = b'{"model":"m","messages":[{"role":"user","content":"the-text-of-a-user"}]}'
STREAM = BODY[:-1] + b',"stream":true}'
LIMIT = 15.0  # s for anything that is waited for; none of it takes as long on a machine that is not busy


async def until(check: Callable[[], bool], limit: float = LIMIT) -> None:
    deadline = time.monotonic() + limit
    while not check():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


def alive(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def family(gateway: Gateway) -> list[int]:
    assert gateway.process is not None
    return descendants(gateway.process.pid)


def send(gateway: Gateway, number: signal.Signals) -> None:
    assert gateway.process is not None
    gateway.process.send_signal(number)


def ended(gateway: Gateway) -> bool:
    assert gateway.process is not None
    return gateway.process.poll() is not None


async def slow_stream(gateway: Gateway, tokens: int) -> asyncio.Task[bytes]:
    """A stream that is on its way, ten events a second; the task has what came after the first, to the
    connection's end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nx-sim-gap-ms: 100\r\n"
    head += f"x-sim-tokens: {tokens}\r\ncontent-length: {len(STREAM)}\r\n\r\n"
    writer.write(head.encode() + STREAM)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    await reader.readuntil(b"\n\n")

    async def rest() -> bytes:
        try:
            return await reader.read()
        except ConnectionError:
            return b"reset"
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    return asyncio.create_task(rest())


def whole(rest: bytes) -> bool:
    return b"data: [DONE]" in rest and rest.endswith(b"0\r\n\r\n")


# --- the end


async def test_sigterm_drains(folder: Path) -> None:
    with running(make_gateway(folder)) as gateway:
        pids = family(gateway)
        streams = [await slow_stream(gateway, 20) for _ in range(2)]
        idle = await RawClient.connect(gateway.port)
        send(gateway, signal.SIGTERM)
        await until(lambda: gateway.ready()["stopping"])
        assert not gateway.ready()["ready"]

        def refused() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", gateway.port)) != 0

        await until(refused)
        assert [whole(await stream) for stream in streams] == [True, True]
        assert await idle.reader.read() == b""
        await idle.close()
        await until(lambda: ended(gateway))
        assert gateway.process is not None
        assert gateway.process.returncode == 0
        assert not alive(pids)
        assert SECRET not in gateway.log()
        assert "Traceback" not in gateway.log()


async def test_a_second_signal_cuts_the_drain_short(folder: Path) -> None:
    with running(make_gateway(folder, workers=1)) as gateway:
        pids = family(gateway)
        stream = await slow_stream(gateway, 500)
        send(gateway, signal.SIGINT)
        await until(lambda: gateway.ready()["stopping"])
        asked = time.monotonic()
        send(gateway, signal.SIGTERM)
        await until(lambda: ended(gateway))
        assert time.monotonic() - asked < 5.0
        assert gateway.process is not None
        assert gateway.process.returncode == 0
        assert not whole(await stream)
        assert not alive(pids)


async def test_the_supervisors_death_ends_everything(folder: Path) -> None:
    with running(make_gateway(folder)) as gateway:
        pids = family(gateway)
        assert len(pids) == 5
        send(gateway, signal.SIGKILL)
        await until(lambda: not alive(pids), 3.0)
        assert "Traceback" not in gateway.log()


async def test_a_terminal_that_is_closed_ends_the_gateway(folder: Path) -> None:
    """The same signal asks to re-read the configuration; without its terminal nobody could stop it."""
    gateway = make_gateway(folder, workers=1)
    command = [sys.executable, "-c", RUN_IN_TERMINAL, "serve", "--config", str(gateway.config)]
    leader, terminal = pty.openpty()
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220
            command, stdin=terminal, stdout=log, stderr=log, start_new_session=True
        )
    os.close(terminal)
    gateway.process = process
    try:
        await until(lambda: "try it" in gateway.log())
        pids = family(gateway)
        os.close(leader)
        await until(lambda: ended(gateway))
        assert process.returncode == 0
        assert not alive(pids)
    finally:
        gateway.stop()


RUN_IN_TERMINAL = """
import fcntl, runpy, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
sys.argv[0] = "prompt-canary"
runpy.run_module("gateway", run_name="__main__")
"""


# --- a new configuration


async def test_sighup_changes_all_or_nothing_and_no_request_fails(folder: Path) -> None:
    with running(make_gateway(folder)) as gateway:
        statuses: list[int] = []
        failed: list[bytes] = []
        stop = asyncio.Event()

        async def ask(keep_alive: bool) -> None:
            while not stop.is_set():
                client = await RawClient.connect(gateway.port)
                for _ in range(20 if keep_alive else 1):
                    answer = await client.post(BODY)
                    statuses.append(answer.status)
                    if answer.status != 200:
                        failed.append(answer.body)
                    if answer.headers.get("connection", "").lower() == "close":
                        break
                await client.close()

        asking = [asyncio.create_task(ask(number % 2 == 0)) for number in range(6)]
        good = gateway.config.read_text()
        first = gateway.worker_pids()
        ready = gateway.ready()
        await refuse(gateway, good + "unknown_field: 1\n", "unknown field")
        await refuse(gateway, good.replace("workers: 2", "workers: 3"), "only with a restart")
        await refuse(gateway, good.replace("/prompts", "/nowhere"), "is not a folder")
        assert gateway.worker_pids() == first
        gateway.config.write_text(good.replace("default: greeter", "aliases: {a: greeter}, default: greeter"))
        stream = await slow_stream(gateway, 20)
        send(gateway, signal.SIGHUP)
        while not set(first).isdisjoint(gateway.worker_pids()):
            assert gateway.ready()["ready"]
            await asyncio.sleep(0.05)
        assert whole(await stream)
        await until(lambda: not alive(first))
        stop.set()
        await asyncio.gather(*asking)
        assert not failed
        assert len(statuses) > 100
        assert ready["ready"]
        await until(lambda: len(family(gateway)) == 5)  # the other predecessors end by themselves too

        assert gateway.process is not None
        pids = family(gateway)
        send(gateway, signal.SIGHUP)
        await until(lambda: len(family(gateway)) > 5)
        pids += family(gateway)
        send(gateway, signal.SIGTERM)
        await until(lambda: ended(gateway))
        assert gateway.process.returncode == 0
        assert not alive(pids)


async def refuse(gateway: Gateway, text: str, why: str) -> None:
    gateway.config.write_text(text)
    said = gateway.log().count("not taken over")
    send(gateway, signal.SIGHUP)
    await until(lambda: gateway.log().count("not taken over") > said)
    await until(lambda: len(family(gateway)) == 5)
    assert why in gateway.log()


async def test_a_successor_that_dies_changes_nothing(gateway: Gateway) -> None:
    before = set(family(gateway))
    send(gateway, signal.SIGHUP)
    await until(lambda: bool(set(family(gateway)) - before))
    for pid in set(family(gateway)) - before:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: "not taken over" in gateway.log())
    await until(lambda: set(family(gateway)) == before)
    assert (await ask_once(gateway.port, BODY)).status == 200


# --- deaths


async def test_a_crash_loop_is_seen_and_waits_longer_each_time(gateway: Gateway) -> None:
    for restarts, wait in ((1, "0.2"), (2, "0.4")):
        os.kill(gateway.worker_pids()[0], signal.SIGKILL)
        await until(lambda number=restarts: worker(gateway)["restarts"] == number)
        assert not gateway.ready()["ready"]
        assert f"worker-0 was ended by SIGKILL; starting it again in {wait} s" in gateway.log()
        await until(lambda: bool(gateway.ready()["ready"]))


def worker(gateway: Gateway) -> dict[str, int]:
    child: dict[str, int] = gateway.ready()["children"]["worker-0"]
    return child


# --- a start that cannot work


def start_fails(config: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("which", ["worker", "services", "simulator"])
def test_a_port_that_is_taken(folder: Path, which: str) -> None:
    gateway = make_gateway(folder)
    port = {"worker": gateway.port, "services": gateway.admin, "simulator": gateway.simulator}[which]
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert start_fails(gateway.config) == (
            f"error: {which}: cannot listen on 127.0.0.1:{port}: Address already in use"
        )


def test_a_second_gateway_on_the_same_port(gateway: Gateway) -> None:
    assert "Address already in use" in start_fails(gateway.config)
    assert gateway.ready()["ready"]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("workers: 2", "workers: two", "workers: Input should be a valid integer"),
        ("data_directory: ", "data_directory: /dev/null/", "data_directory: /dev/null/"),
        ("{kind: sqlite, directory: ", "{kind: sqlite, directory: /dev/null/", "the store's directory"),
        ("/scenario.yaml", "/nowhere.yaml", "nowhere.yaml: cannot be read"),
    ],
)
def test_a_configuration_that_cannot_work(folder: Path, before: str, after: str, why: str) -> None:
    gateway = make_gateway(folder)
    gateway.config.write_text(gateway.config.read_text().replace(before, after, 1))
    assert why in start_fails(gateway.config)


def test_a_prompt_file_that_cannot_be_read(folder: Path) -> None:
    gateway = make_gateway(folder)
    (folder / "prompts" / "greeter.prompty").write_text("no front matter")
    assert "greeter.prompty" in start_fails(gateway.config)


# --- the store is away


def metrics(gateway: Gateway) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def override(gateway: Gateway, *arguments: str) -> None:
    command = [sys.executable, "-m", "gateway", "override", *arguments, "--config", str(gateway.config)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


@pytest.mark.redis
async def test_without_the_store_baselines_are_served_and_overrides_work(
    folder: Path, redis_server: RedisServer
) -> None:
    store = f"{{kind: redis, url: '{redis_server.url}', prefix: ops}}"
    gateway = make_gateway(folder, store=store, workers=1)

    async def becomes(wanted: int) -> None:
        deadline = time.monotonic() + LIMIT
        while (await ask_once(gateway.port, BODY)).headers.get("x-prompt-version") != str(wanted):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    with running(gateway):
        gateway.start_rollout(gateway.push("second"), 1.0)
        await becomes(2)
        redis_server.suspend()
        answers = await asyncio.gather(*(ask_once(gateway.port, BODY) for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        redis_server.kill()
    with running(gateway):  # from the snapshot on disk
        answer = await ask_once(gateway.port, BODY)
        assert (answer.version, answer.arm, answer.headers["x-prompt-reason"]) == (1, "stable", "stale")
        assert not gateway.ready()["store"]["ready"]
        override(gateway, "greeter=2")
        await becomes(2)
        override(gateway, "greeter=9")
        await until(lambda: "{'greeter': 9}" in gateway.log())
        asked = time.monotonic()
        answer = await ask_once(gateway.port, BODY)
        assert (answer.status, b"store" in answer.body) == (503, True)
        assert time.monotonic() - asked < 5.0
        override(gateway, "--clear", "greeter")
        await becomes(1)
        redis_server.start()
        await becomes(2)
        await until(lambda: bool(gateway.ready()["store"]["ready"]))


@pytest.mark.redis
async def test_a_version_that_no_worker_has_loaded_is_served_by_an_override_without_the_store(
    folder: Path, redis_server: RedisServer
) -> None:
    store = f"{{kind: redis, url: '{redis_server.url}', prefix: late}}"
    gateway = make_gateway(folder, store=store, workers=1)
    with running(gateway):
        second = gateway.push("second")
        assert gateway.ready()["overrides"] == {}
    override(gateway, f"greeter={second}")
    redis_server.kill()
    with running(gateway):
        answer = await ask_once(gateway.port, BODY)
        assert (answer.version, answer.headers["x-prompt-reason"]) == (second, "override")
        status = gateway.ready()
        assert (status["overrides"], status["store"]["ready"]) == ({"greeter": second}, False)
        assert f"overrides on this machine are now {{'greeter': {second}}}" in gateway.log()
        shown = f'promptcanary_overrides{{prompt="greeter",version="{second}"}} 1'
        await until(lambda: shown in metrics(gateway))


# --- roles


async def test_workers_and_control_on_their_own(folder: Path) -> None:
    store = f"{{kind: sqlite, directory: {folder / 'shared'}}}"
    control = make_gateway(folder / "control", store=store)
    workers = make_gateway(folder / "workers", store=store, simulator=control.simulator)
    control.role, workers.role = "control", "worker"
    with running(control):
        assert set(control.ready()["children"]) == {"controller", "simulator"}
        with running(workers):
            assert set(workers.ready()["children"]) == {"worker-0", "worker-1"}
            assert workers.call("/healthz") == {"status": "ok"}
            assert (await ask_once(workers.port, BODY)).version == 1
            second = control.push("second")
            body = {"version": second, "reason": "a test", "emergency": True}
            control.call("/v1/prompts/greeter/deploy", body)
            await asyncio.sleep(0.6)
            assert (await ask_once(workers.port, BODY)).version == second
            send(control, signal.SIGTERM)
            await until(lambda: ended(control))
            assert workers.ready()["ready"]


# --- the admin port


def test_an_admin_port_beyond_loopback_needs_a_token(folder: Path) -> None:
    """Without one the gateway does not start; with one in the configuration it does, and asks for it."""
    gateway = make_gateway(folder, workers=1)
    text = gateway.config.read_text()
    wide = text.replace("admin: {port", "admin: {host: 0.0.0.0, port")
    gateway.config.write_text(wide)
    with pytest.raises(RuntimeError, match="there is no token: make one with `prompt-canary token create`"):
        gateway.start()
    assert gateway.process is not None
    assert gateway.process.returncode == 2
    gateway.config.write_text(wide.replace("0.0.0.0,", f"0.0.0.0, bootstrap_token: {'b' * 32},"))
    with running(gateway):
        url = f"http://127.0.0.1:{gateway.admin}/v1/live"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=10)
        refused.value.close()
        assert refused.value.code == 401
        request = urllib.request.Request(url, headers={"authorization": f"Bearer {'b' * 32}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        assert "asks for a token" in gateway.log()
        assert "b" * 32 not in gateway.log()
