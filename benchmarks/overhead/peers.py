"""What stands between client and provider: known proxies and other gateways, each on one processor.

A peer that is not installed is named and left out; the run goes on (`Missing`). This gateway is in `own`,
the environments of LiteLLM and Portkey in `installed`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.overhead import cpu, installed

START_LIMIT = 120.0  # s; LiteLLM alone takes some for being imported
SBIN = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"

CHAT = "/v1/chat/completions"

NGINX = """\
{user}
worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 32768;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_max_body_size 100m;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    keepalive_requests 1000000;
    upstream provider {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
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

HAPROXY = """\
global
    nbthread 1
    maxconn 8000
    ssl-server-verify none
defaults
    mode http
    option http-keep-alive
    option http-no-delay
    http-reuse aggressive
    timeout connect 5s
    timeout client 300s
    timeout server 300s
frontend front
    bind 127.0.0.1:{port}
    default_backend provider
backend provider
    server provider 127.0.0.1:{upstream} pool-max-conn 1024{tls}
"""

LITELLM = """\
model_list:
  - model_name: gpt-4o-mini
    litellm_params:
      {{model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-benchmark}}
general_settings: {{master_key: {key}}}
"""
KEY = "sk-benchmark-0123456789abcdef0123456789abcdef"  # the clients' credential; LiteLLM starts only with one


class Missing(Exception):
    """The peer is not installed; says how it is."""


@dataclass(slots=True)
class Peer:
    """`pid` is the root of its processes, `worker` the one that serves; `headers` are sent with each request
    (lines with their ends), `path` instead of the usual one. `slow`: it is measured with less load."""

    name: str
    port: int
    pid: int
    worker: int = 0
    headers: str = ""
    path: str = CHAT
    slow: bool = False

    def __post_init__(self) -> None:
        self.worker = self.worker or self.pid


@dataclass(frozen=True, slots=True)
class Upstream:
    """The provider's port, how it is reached, and its process."""

    port: int
    scheme: str
    pid: int


def pinned(peer: Peer) -> Peer:
    cpu.pin_tree(peer.pid, cpu.MEASURED)
    return peer


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + START_LIMIT
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise RuntimeError(f"ended at its start: {log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port} after {START_LIMIT:.0f} s; see {log}")


@contextlib.contextmanager
def process(
    command: list[str], log: Path, *, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=env) as started,
    ):
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(10)
            except subprocess.TimeoutExpired:
                started.kill()


@contextlib.contextmanager
def provider(
    folder: Path, certificate: tuple[Path, Path] | None = None, *, awake: bool = False
) -> Iterator[Upstream]:
    port = free_port()
    extra = [str(path) for path in certificate] if certificate else []
    options = ["--awake"] if awake else []
    command = [sys.executable, "-m", "benchmarks.overhead.provider", *options, str(port), *extra]
    log = folder / f"provider-{port}.log"
    with process(command, log) as started:
        wait_for(port, started, log)
        cpu.pin(started.pid, cpu.OTHERS)
        yield Upstream(port, "https" if certificate else "http", started.pid)


def binary(name: str, package: str) -> str:
    found = shutil.which(name, path=SBIN)
    if found is None:
        raise Missing(f"{name} is not installed; on Debian: apt-get install {package}")
    return found


@contextlib.contextmanager
def nginx(folder: Path, upstream: Upstream, *, workers: int = 1) -> Iterator[Peer]:
    command = binary("nginx", "nginx-light")
    folder.mkdir(parents=True, exist_ok=True)
    port, config, log = free_port(), folder / "nginx.conf", folder / "nginx.log"
    values = {"folder": folder, "port": port, "upstream": upstream.port, "scheme": upstream.scheme}
    user = "user root;" if os.geteuid() == 0 else ""  # another could not write large bodies to the folder
    config.write_text(NGINX.format(workers=workers, user=user, **values))
    with process([command, "-c", str(config)], log) as master:
        wait_for(port, master, log)
        while not (started := cpu.children(master.pid)):  # the master listens before its worker is there
            time.sleep(0.02)
        yield pinned(Peer("nginx", port, master.pid, started[0]))


@contextlib.contextmanager
def haproxy(folder: Path, upstream: Upstream) -> Iterator[Peer]:
    command = binary("haproxy", "haproxy")
    folder.mkdir(parents=True, exist_ok=True)
    port, config, log = free_port(), folder / "haproxy.cfg", folder / "haproxy.log"
    tls = " ssl verify none" if upstream.scheme == "https" else ""
    config.write_text(HAPROXY.format(port=port, upstream=upstream.port, tls=tls))
    with process([command, "-db", "-f", str(config)], log) as started:
        wait_for(port, started, log)
        yield pinned(Peer("HAProxy", port, started.pid))


@contextlib.contextmanager
def naive(folder: Path, upstream: Upstream) -> Iterator[Peer]:
    port, log = free_port(), folder / "naive.log"
    url = f"{upstream.scheme}://127.0.0.1:{upstream.port}"
    with process([sys.executable, "-m", "benchmarks.overhead.naive", str(port), url], log) as started:
        wait_for(port, started, log)
        yield pinned(Peer("naive aiohttp", port, started.pid))


@contextlib.contextmanager
def litellm(folder: Path, upstream: Upstream) -> Iterator[Peer]:
    """Without a database, with one worker; prices are those that it ships with."""
    command = installed.command("litellm")
    if command is None:
        raise Missing("LiteLLM is not installed; run scripts/test-peers")
    folder.mkdir(parents=True, exist_ok=True)
    port, config, log = free_port(), folder / "litellm.yaml", folder / "litellm.log"
    config.write_text(LITELLM.format(upstream=upstream.port, key=KEY))
    arguments = [*command, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with process([*arguments, "--num_workers", "1"], log, env=installed.environment()) as started:
        wait_for(port, started, log)
        yield pinned(Peer("LiteLLM", port, started.pid, slow=True))


@contextlib.contextmanager
def portkey(folder: Path, upstream: Upstream) -> Iterator[Peer]:
    command = installed.command("portkey")
    if command is None:
        raise Missing("Portkey's gateway is not installed; run scripts/test-peers")
    port, log = free_port(), folder / "portkey.log"
    headers = f"x-portkey-provider: openai\r\nx-portkey-custom-host: http://localhost:{upstream.port}/v1\r\n"
    with process([*command, "--headless", f"--port={port}"], log, env=installed.environment()) as started:
        wait_for(port, started, log)
        yield pinned(Peer("Portkey", port, started.pid, headers=headers, slow=True))


@contextlib.contextmanager
def other(folder: Path, upstream: Upstream, given: str) -> Iterator[Peer]:
    """Any other gateway: `NAME=COMMAND`, in which {port}, {upstream} and {folder} are filled in, for example
    `--peer "Bifrost=bifrost-http -port {port} -app-dir {folder}"`. `NAME/PATH=` says the path."""
    label, _, command = given.partition("=")
    name, _, path = label.partition("/")
    folder.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "log.txt"
    values = {"port": port, "upstream": f"http://127.0.0.1:{upstream.port}", "folder": folder}
    arguments = [part.format(**values) for part in shlex.split(command)]
    if not arguments or shutil.which(arguments[0]) is None:
        raise Missing(f"{name}: {arguments[0] if arguments else 'its command'} is not on PATH")
    with process(arguments, log, env=installed.environment()) as started:
        wait_for(port, started, log)
        yield pinned(Peer(name, port, started.pid, path=f"/{path}" if path else CHAT, slow=True))


def direct(upstream: Upstream) -> Peer:
    """The provider itself, as the client sees it without anything between."""
    return Peer("direct", upstream.port, upstream.pid)
