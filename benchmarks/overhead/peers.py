"""nginx and this gateway in front of the same provider, one worker each."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.overhead import cpu

START_LIMIT = 60.0  # s

NGINX = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    keepalive_requests 1000000;
    upstream provider {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {scheme}://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_ssl_session_reuse on;
        }}
    }}
}}
"""

GATEWAY = """\
workers: 1
listen: {{port: {port}}}
admin: {{port: {admin}}}
store: {{kind: sqlite, directory: {folder}/data}}
data_directory: {folder}/data
upstream: {{base_url: "{scheme}://localhost:{upstream}/v1", verify_tls: false}}
limits: {{requests_per_connection: 1000000}}
{seed}
"""

PROMPT = """\
---
name: bench
model: {{id: gpt-4o-mini, options: {{temperature: 0.1}}}}
---
system:
You are a support agent. Answer in at most three sentences and ask back when unsure. {edition}
"""


@dataclass(slots=True)
class Peer:
    """`pid` is the process that serves; it has a processor of its own."""

    name: str
    port: int
    pid: int


def pinned(name: str, port: int, pid: int) -> Peer:
    cpu.pin(pid, cpu.MEASURED)
    return Peer(name, port, pid)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    limit = time.monotonic() + START_LIMIT
    while time.monotonic() < limit:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port} after {START_LIMIT:.0f} s")


@contextlib.contextmanager
def process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as started:
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(10)
            except subprocess.TimeoutExpired:
                started.kill()


@contextlib.contextmanager
def provider(folder: Path, certificate: tuple[Path, Path] | None) -> Iterator[int]:
    port = free_port()
    extra = [str(path) for path in certificate] if certificate else []
    command = [sys.executable, "-m", "benchmarks.overhead.provider", str(port), *extra]
    with process(command, folder / "provider.log"):
        wait_for(port)
        yield port


@contextlib.contextmanager
def nginx(folder: Path, upstream: int, scheme: str) -> Iterator[Peer]:
    binary = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if binary is None:
        raise FileNotFoundError("nginx is not installed; on Debian: apt-get install nginx-light")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, upstream=upstream, scheme=scheme))
    with process([binary, "-c", str(config)], folder / "nginx.log") as master:
        wait_for(port)
        yield pinned("nginx", port, cpu.children(master.pid)[0])


@contextlib.contextmanager
def gateway(folder: Path, upstream: int, scheme: str, *, managed: bool) -> Iterator[Peer]:
    """One worker. `managed`: a prompt is injected and a rollout runs at 10 %; else it passes through."""
    folder.mkdir(parents=True, exist_ok=True)
    port, admin = free_port(), free_port()
    seed = ""
    if managed:
        prompts = folder / "prompts"
        prompts.mkdir(exist_ok=True)
        (prompts / "bench.prompty").write_text(PROMPT.format(edition="First edition."))
        seed = f"seed: {{directory: {prompts}, deploy: true}}\nbindings: {{default: bench}}"
    config = folder / "gateway.yaml"
    values = {"port": port, "admin": admin, "folder": folder, "upstream": upstream, "scheme": scheme}
    config.write_text(GATEWAY.format(seed=seed, **values))
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
    with process(command, folder / "gateway.log"):
        wait_until_ready(admin)
        if managed:
            start_rollout(admin)
        children = call(admin, "/readyz")["children"]
        yield pinned("gateway, rollout" if managed else "gateway, pass", port, children["worker-0"]["pid"])


def wait_until_ready(admin: int) -> None:
    limit = time.monotonic() + START_LIMIT
    while time.monotonic() < limit:
        with contextlib.suppress(OSError):
            if call(admin, "/readyz")["ready"]:
                return
        time.sleep(0.05)
    raise TimeoutError("the gateway is not ready; see gateway.log")


def call(admin: int, path: str, body: object = None) -> dict[str, dict[str, dict[str, int]]]:
    """One request to the admin API, JSON in and out."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{admin}{path}", data, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        decoded: dict[str, dict[str, dict[str, int]]] = json.load(answer)
        return decoded


def start_rollout(admin: int) -> None:
    call(admin, "/v1/prompts/bench/versions", {"file": PROMPT.format(edition="Second edition.")})
    call(admin, "/v1/prompts/bench/rollouts", {"version": 2, "weight": 0.1, "reason": "benchmark"})
    time.sleep(2.0)  # the weight takes effect one second after the commit


def nginx_version() -> str:
    binary = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") or "nginx"
    said = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True).stderr
    match = re.search(r"nginx/[\d.]+", said)
    return match[0] if match else "nginx"
