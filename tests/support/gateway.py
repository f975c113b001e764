"""A whole gateway for a test: supervisor, workers, services and simulated provider, as processes."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_LIMIT = 60.0  # s

PROMPT = """\
---
name: greeter
model: {{id: gpt-4o-mini, options: {{temperature: 0.1}}}}
inputs:
  - {{name: tone, kind: string, default: warm, enumValues: [warm, cool]}}
---
system:
You are the {edition} greeter. Be {{{{ tone }}}}.
"""

CONFIG = """\
workers: {workers}
listen: {{port: {port}}}
admin: {{port: {admin}}}
simulator: {{port: {simulator}, scenario: {scenario}}}
store: {store}
data_directory: {data}
signing_keys: ["0123456789abcdef0123456789abcdef"]
upstream: {{base_url: "http://127.0.0.1:{simulator}/v1"}}
seed: {{directory: {prompts}, deploy: true}}
bindings: {{default: greeter}}
timeouts: {{drain: 10}}
{extra}
"""

SCENARIO = """\
default: {first_token_ms: 0, gap_ms: 0, tokens: 10}
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


@dataclass
class Gateway:
    port: int
    admin: int
    simulator: int
    folder: Path
    config: Path
    process: subprocess.Popen[bytes] | None = field(default=None)
    role: str = "all"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        log = (self.folder / "log.txt").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--config", str(self.config), "--role", self.role],
            stdout=log,
            stderr=log,
        )
        log.close()
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit:
            if self.process.poll() is not None:
                raise RuntimeError(f"the gateway ended at its start:\n{self.log()}")
            with contextlib.suppress(OSError):
                if self.ready()["ready"]:
                    return
            time.sleep(0.05)
        raise TimeoutError(f"the gateway is not ready:\n{self.log()}")

    def log(self) -> str:
        return (self.folder / "log.txt").read_text()[-6000:]

    def ready(self) -> dict[str, Any]:
        try:
            status: dict[str, Any] = self.call("/readyz")
            return status
        except urllib.error.HTTPError as error:
            answer: dict[str, Any] = json.loads(error.read())
            return answer
        except http.client.RemoteDisconnected:  # the process that answers was just replaced
            return self.ready()

    def worker_pids(self) -> list[int]:
        children = self.ready()["children"]
        found = [child["pid"] for name, child in children.items() if name.startswith("worker-")]
        return [pid for pid in found if pid]  # a signal to 0 would be one to the tests themselves

    def call(self, path: str, body: object = None, *, port: int | None = None, method: str = "") -> Any:
        """One request to the admin API (or to another port), JSON in and out."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port or self.admin}{path}",
            data,
            {"content-type": "application/json"},
            method=method or ("GET" if data is None else "POST"),
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def push(self, edition: str, prompt: str = "greeter") -> int:
        """A new version; returns its number."""
        text = PROMPT.format(edition=edition).replace("name: greeter", f"name: {prompt}")
        answer = self.call(f"/v1/prompts/{prompt}/versions", {"file": text})
        number: int = answer["version"]
        return number

    def start_rollout(self, version: int, weight: float, prompt: str = "greeter") -> Any:
        body = {"version": version, "weight": weight, "reason": "a test"}
        return self.call(f"/v1/prompts/{prompt}/rollouts", body)

    def act(self, action: str, prompt: str = "greeter", **body: object) -> Any:
        return self.call(f"/v1/prompts/{prompt}/rollout/{action}", {"reason": "a test", **body})

    def seen(self, last: int = 1) -> list[dict[str, Any]]:
        """What the simulated provider received."""
        answer = self.call(f"/__sim/requests?last={last}", port=self.simulator)
        requests: list[dict[str, Any]] = answer["requests"]
        return requests

    def kill_everything(self) -> None:
        """kill -9 of the supervisor and all its children."""
        assert self.process is not None
        pids = [self.process.pid, *descendants(self.process.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        limit = time.monotonic() + 10
        while any(Path(f"/proc/{pid}/fd").exists() and _alive(pid) for pid in pids):
            if time.monotonic() > limit:
                raise TimeoutError("processes survive kill -9")
            time.sleep(0.01)

    def stop(self) -> int:
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill_everything()
            raise


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def make_gateway(
    folder: Path,
    *,
    store: str | None = None,
    workers: int = 2,
    extra: str = "",
    scenario: str = SCENARIO,
    simulator: int | None = None,
) -> Gateway:
    """Writes the configuration; `start` is the caller's. `simulator` shares that of another gateway."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts = folder / "prompts"
    prompts.mkdir(exist_ok=True)
    (prompts / "greeter.prompty").write_text(PROMPT.format(edition="first"))
    (folder / "scenario.yaml").write_text(scenario)
    port, admin, own = free_ports(3)
    config = CONFIG.format(
        workers=workers,
        port=port,
        admin=admin,
        simulator=simulator or own,
        scenario=folder / "scenario.yaml",
        store=store or f"{{kind: sqlite, directory: {folder / 'data'}, call_timeout: 20}}",
        data=folder / "data",
        prompts=prompts,
        extra=extra,
    )
    if simulator is not None:
        config = "\n".join(line for line in config.splitlines() if not line.startswith("simulator:"))
    path = folder / "gateway.yaml"
    path.write_text(config)
    return Gateway(port, admin, simulator or own, folder, path)


@contextlib.contextmanager
def running(gateway: Gateway) -> Iterator[Gateway]:
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    sent: float  # time.time() when the request was sent

    @property
    def version(self) -> int:
        return int(self.headers["x-prompt-version"])

    @property
    def arm(self) -> str:
        return self.headers["x-prompt-arm"]


class RawClient:
    """One connection, requests one after the other; as plain as a client can be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> RawClient:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, body: bytes, headers: dict[str, str] | None = None, path: str = "") -> Answer:
        lines = [f"POST {path or '/v1/chat/completions'} HTTP/1.1", "host: test"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"content-length: {len(body)}", "", ""]
        sent = time.time()
        self.writer.write("\r\n".join(lines).encode() + body)
        return await self.answer(sent)

    async def answer(self, sent: float) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in head[1:-2]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await self.reader.readline()).split(b";")[0], 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        else:
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(head[0].split()[1]), headers, body, sent)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def ask_once(port: int, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    """One request on a connection of its own, and so on any worker."""
    client = await RawClient.connect(port)
    try:
        return await client.post(body, headers)
    finally:
        await client.close()
