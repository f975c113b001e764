"""Debian's nginx in front of a trivial upstream, as a second opinion on HTTP."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

_CONFIG = """
daemon off; worker_processes 1; {user}
pid {directory}/nginx.pid; error_log {directory}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    {http}
}}
"""


@contextlib.contextmanager
def running_nginx(directory: Path, http: str) -> Iterator[int]:
    """The port of an nginx with `http` as its http block; LISTEN in it stands for the address.

    nginx cannot report a port that it chose; it inherits a bound socket, as in its own binary upgrade, so
    that connections queue until it is ready and nothing has to be waited for."""
    if NGINX is None:
        raise FileNotFoundError("nginx is not installed")
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        port: int = listener.getsockname()[1]
        config = directory / "nginx.conf"
        http = http.replace("LISTEN", f"127.0.0.1:{port}")
        user = "user root;" if os.geteuid() == 0 else ""  # its own would not see the directory
        config.write_text(_CONFIG.format(directory=directory, http=http, user=user))
        process = subprocess.Popen(
            [NGINX, "-e", str(directory / "error.log"), "-c", str(config), "-p", str(directory)],
            pass_fds=[listener.fileno()],
            env={**os.environ, "NGINX": f"{listener.fileno()};"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


@dataclass
class TrivialUpstream:
    """Answers 200 to everything on one thread and notes the bodies, in order."""

    bodies: list[bytes] = field(default_factory=list)
    port: int = 0

    @contextlib.contextmanager
    def running(self) -> Iterator["TrivialUpstream"]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            thread = threading.Thread(target=self._serve, args=(listener,))
            thread.start()
            try:
                yield self
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                thread.join(timeout=10)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(body) < length:
            body += connection.recv(65536)
        self.bodies.append(body)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
