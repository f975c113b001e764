"""What the supervisor decides without a process; its processes are tests/e2e/test_operations.py."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import child
from gateway.child import Child
from gateway.errors import ConfigError
from gateway.settings import Settings, load_settings
from gateway.supervisor import Supervisor, bind, bind_all, check_fixed, prepare, read_settings, welcome
from tests.support.backlog import backlog_of

CONFIG = "upstream: {base_url: 'http://127.0.0.1:1/v1'}\nlisten: {port: 0}\nadmin: {port: 0}\n"


def settings(extra: str = "") -> Settings:
    return load_settings(CONFIG + extra, source="test.yaml", environment={})


class Ready:
    """A process that has just become ready."""

    name, role, ready, been_ready, restarts, pid, upstreams = "worker-0", "worker", True, True, 0, 1, None


@pytest.mark.parametrize("stopping", [False, True])
async def test_who_is_told_to_stop_does_not_say_where_it_listens(
    stopping: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor: Any = Supervisor(settings(), Path("gateway.yaml"), "all")
    supervisor._children = [Ready()]
    supervisor._sockets = {"worker": bind("127.0.0.1", 0, 1, "worker", 10)}
    supervisor._stopping = stopping
    if stopping:
        close(supervisor._sockets["worker"])
    supervisor._changed()
    assert ("http://127.0.0.1:" in capsys.readouterr().out) != stopping
    close(supervisor._sockets["worker"])


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


# --- open files


@pytest.mark.parametrize(("connections", "says"), [(100, ""), (10**9, "limits.connections is 1000000000")])
def test_the_limit_on_open_files_is_raised_as_far_as_it_may_be(connections: int, says: str) -> None:
    program = (
        "import resource as r\nhard = r.getrlimit(r.RLIMIT_NOFILE)[1]\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (200, hard))\nfrom gateway.supervisor import take_descriptors\n"
        f"take_descriptors({connections})\nassert r.getrlimit(r.RLIMIT_NOFILE) == (hard, hard)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert says in done.stderr if says else not done.stderr


# --- sockets


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_slots_share_one_port(host: str) -> None:
    sockets = bind(host, 0, 3, "worker", 300)
    try:
        ports = {sock.getsockname()[1] for sock in sockets}
        assert len(ports) == 1
        for sock in sockets:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            assert backlog_of(sock) == 300
        with pytest.raises(ConfigError, match=f"worker: cannot listen on {host}:{ports.pop()}: Address"):
            bind(host, sockets[0].getsockname()[1], 1, "worker", 300)
    finally:
        close(sockets)


def test_a_host_that_is_none() -> None:
    with pytest.raises(ConfigError, match=r"worker: cannot listen on 192\.0\.2\.1:1: Cannot assign"):
        bind("192.0.2.1", 1, 1, "worker", 300)


def test_only_what_a_role_has_is_bound() -> None:
    bound = bind_all(settings("workers: 3\n"), ("worker", "health", "simulator"))
    try:
        assert {role: len(sockets) for role, sockets in bound.items()} == {"worker": 3, "health": 1}
        lines = welcome(settings("workers: 3\n"), bound)
        port = bound["worker"][0].getsockname()[1]
        assert lines[0] == f"gateway    http://127.0.0.1:{port}/v1  (3 workers)"
        assert lines[1].startswith("health     http://127.0.0.1:")
        assert lines[-1].startswith(f"  curl -i http://127.0.0.1:{port}/v1/chat/completions ")
    finally:
        for sockets in bound.values():
            close(sockets)


# --- settings


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        read_settings(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"workers: \xff")
    with pytest.raises(ConfigError, match=r"latin\.yaml: cannot be read: it is not UTF-8"):
        read_settings(tmp_path / "latin.yaml")


def test_a_key_is_made_where_none_is_configured(tmp_path: Path) -> None:
    made = prepare(settings(f"data_directory: {tmp_path / 'data'}\n"))
    assert prepare(settings(f"data_directory: {tmp_path / 'data'}\n")) == made
    own = settings(f"data_directory: {tmp_path / 'other'}\nsigning_keys: ['{'k' * 32}']\n")
    assert prepare(own) == own
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("extra", ["workers: 3", "simulator: {port: 1}"])
def test_what_changes_only_with_a_restart(extra: str) -> None:
    with pytest.raises(ConfigError, match=f"{extra.split(':')[0]}: changes only with a restart"):
        check_fixed(settings(), settings(extra))
    check_fixed(settings(), settings("timeouts: {drain: 1}"))


# --- a child


REPORT = "import os, sys; os.write(int(sys.argv[1]), {line!r})"
READY = REPORT.format(line=b'{"ready": true}\n')
REFUSED = REPORT.format(line=b'{"refused": "a bad port"}\n')
STUBBORN = f"import signal, time; signal.signal({signal.SIGTERM:d}, signal.SIG_IGN); {READY}; time.sleep(60)"


class Scripted(Child):
    """A child whose process runs a script instead of a role of the gateway."""

    script = "pass"

    async def _start(self, reports: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", "-c", self.script, str(reports)),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(reports,),
        )


def scripted(script: str, news: asyncio.Event) -> Scripted:
    with socket.socket() as sock:
        made = Scripted("worker", 0, sock, settings("timeouts: {drain: 0.1}"), news.set)
    made.script = script
    return made


async def until(news: asyncio.Event, check: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not check():
            news.clear()
            await news.wait()


async def test_reports_and_the_wait_between_deaths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "RESTART_FIRST", 0.01)
    news = asyncio.Event()
    one = scripted(READY, news)
    running = asyncio.create_task(one.run())
    await until(news, lambda: one.restarts == 3)
    assert one.been_ready
    assert not one.failed
    assert not one.ready
    one.stop()
    await running


async def test_a_refusal_is_not_tried_again() -> None:
    news = asyncio.Event()
    one = scripted(REFUSED, news)
    await one.run()
    assert (one.refusal, one.restarts, one.failed) == ("a bad port", 0, True)


async def test_a_child_is_stopped_while_it_is_being_started() -> None:
    news = asyncio.Event()
    one = scripted("import sys; sys.stdin.read()", news)
    running = asyncio.create_task(one.run())
    await asyncio.sleep(0)
    one.stop()
    await asyncio.wait_for(running, 15)
    assert one.pid is None


async def test_what_does_not_end_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(child, "KILL_GRACE", 0.2)
    news = asyncio.Event()
    one = scripted(STUBBORN, news)
    running = asyncio.create_task(one.run())
    await until(news, lambda: one.ready)
    one.stop()
    await asyncio.wait_for(running, 15)
    assert "worker-0 did not end within 0 s and is killed" in caplog.text


async def test_told_twice_it_is_killed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "HURRY_GRACE", 0.05)
    news = asyncio.Event()
    one = scripted(STUBBORN, news)
    running = asyncio.create_task(one.run())
    await until(news, lambda: one.ready)
    one.stop()
    one.hurry()
    await asyncio.wait_for(running, 3)
