"""A real redis-server for tests: on a free port, everything under a temporary directory."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction", "--save", "")
START_LIMIT = 10.0  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """Starts with `start`; `kill` is kill -9, after which `start` brings it back with what it kept."""

    def __init__(self, directory: Path, *options: str, durable: bool = True) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self._options = (*(DURABLE if durable else ("--save", "")), *options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.directory),
        ]
        with (self.directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self._options], stdout=log, stderr=log)
        deadline = time.monotonic() + START_LIMIT
        while self.command("PING") != b"+PONG":
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.directory / "redis.log").read_text())

    def command(self, line: str) -> bytes:
        """The first line of the answer to an inline command; empty while the server is not there."""
        return self.answer(line).split(b"\r\n")[0]

    def answer(self, line: str) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=START_LIMIT) as connection:
                connection.sendall(line.encode() + b"\r\n")
                return connection.recv(65536)
        except OSError:
            return b""

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """Still connected, no longer answering: the slow store."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("the redis-server was not started")
        return self._process


def need_redis_server() -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on PATH")
