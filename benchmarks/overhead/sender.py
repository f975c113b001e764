"""One large request from a process of its own. `python -m benchmarks.overhead.sender PORT BYTES TURNS`.

`TURNS` messages make up so many bytes together. Prints when the first byte went and the answer came
(monotonic, s), and the answer's status.
"""

from __future__ import annotations

import os
import socket
import sys
import time

from benchmarks.overhead import cpu
from benchmarks.overhead.peers import KEY


def request(port: int, size: int, turns: int) -> bytes:
    each = "QUJD" * (size // turns // 4)  # base64, as of an image
    roles = ("user", "assistant")
    messages = ",".join(f'{{"role":"{roles[i % 2]}","content":"{each}"}}' for i in range(turns))
    content = f'{{"model":"gpt-4o-mini","messages":[{messages}]}}'.encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + content


def main(port: int, size: int, turns: int) -> None:
    cpu.pin(os.getpid(), cpu.OTHERS)
    asked = request(port, size, turns)
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(60)
        started = time.monotonic()
        sock.sendall(asked)
        said = sock.recv(4096)
        print(started, time.monotonic(), said[9:12].decode(), flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:4]))
