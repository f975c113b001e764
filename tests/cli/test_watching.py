"""`rollout watch` as a process: into a pipe, on a terminal, through an outage of the admin API."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.conftest import ENVIRONMENT, Cli
from tests.cli.test_commands import deployed
from tests.support.redis_server import RedisServer, need_redis_server

LIMIT = 60.0  # s
ON_REDIS = """\
upstream: {{base_url: "http://127.0.0.1:9"}}
store: {{kind: redis, url: "{url}", prefix: watch}}
signing_keys: ["0123456789abcdef0123456789abcdef"]
"""


@contextmanager
def watching(cli: Cli, *options: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "gateway", "rollout", "watch", "support-agent", "--interval", "0.1"]
    with subprocess.Popen(
        [*command, *options, *cli.shared],
        cwd=cli.folder,
        env=os.environ | ENVIRONMENT,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        timer = threading.Timer(LIMIT, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()


def started(cli: Cli) -> None:
    deployed(cli)
    assert cli("rollout", "start", "support-agent", "2").code == 0


def test_into_a_pipe_each_change_is_a_line(cli: Cli) -> None:
    started(cli)
    with watching(cli) as process:
        assert process.stdout is not None
        assert "progressing, stage 1 of 2, weight " in process.stdout.readline()
        cli("rollout", "pause", "support-agent")
        assert "Z  paused, stage 1 of 2" in process.stdout.readline()
        cli("rollout", "rollback", "support-agent", "--reason", "worse")
        assert process.stdout.readline().endswith("Z  ROLLED_BACK by ann: worse\n")
        assert process.stdout.read() == ""
        assert process.wait(LIMIT) == 1


def test_as_json_each_change_is_an_object_and_a_promotion_is_exit_code_0(on_store: Cli) -> None:
    started(on_store)
    with watching(on_store, "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["phase"] == "progressing"
        on_store("rollout", "promote", "support-agent")
        assert json.loads(process.stdout.readline())["watch"]
        on_store("rollout", "finish", "support-agent")
        assert json.loads(process.stdout.readline())["phase"] == "promoted"
        assert process.wait(LIMIT) == 0


def test_one_look_shows_everything(cli: Cli) -> None:
    started(cli)
    shown = cli("rollout", "watch", "support-agent", "--once")
    assert shown.code == 0
    assert "support-agent/2 against support-agent/1" in shown.out
    assert "policy standard, started " in shown.out
    cli("rollout", "abort", "support-agent")
    ended = cli("rollout", "watch", "support-agent")
    assert (ended.code, ended.out.count("\n")) == (1, 1)


def test_without_a_rollout_there_is_nothing_to_watch(cli: Cli) -> None:
    deployed(cli)
    result = cli("rollout", "watch", "support-agent")
    assert (result.code, result.out) == (1, "")
    assert "has had no rollout" in result.err


def test_on_a_terminal_the_screen_is_drawn_again_and_ctrl_c_ends_it(on_store: Cli) -> None:
    started(on_store)
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 140, 0, 0))
    with watching(on_store, stdout=follower) as process:
        os.close(follower)
        until(leader, "progressing")
        on_store("rollout", "weight", "support-agent", "0.5")
        until(leader, "████████████░░░░░░░░░░░░ 0.5")
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 130
    os.close(leader)


def until(terminal: int, text: str) -> None:
    """Read until it is on the screen; the process is killed, and its terminal closed, after `LIMIT`."""
    seen = b""
    while text.encode() not in seen:
        seen += os.read(terminal, 65_536)


@pytest.mark.redis
def test_an_outage_does_not_end_it(local: Cli) -> None:
    need_redis_server()
    server = RedisServer(local.folder / "redis")
    server.start()
    (local.folder / "gateway.yaml").write_text(ON_REDIS.format(url=server.url))
    cli = Cli(local.folder, ("--config", "gateway.yaml"))
    try:
        started(cli)
        with watching(cli) as process:
            assert process.stdout is not None
            assert "progressing" in process.stdout.readline()
            server.kill()
            assert "not seen: the store failed" in process.stdout.readline()
            server.start()
            assert "progressing" in process.stdout.readline()
            cli("rollout", "abort", "support-agent")
            assert "ABORTED" in process.stdout.readline()
    finally:
        server.kill()
