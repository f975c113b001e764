"""How many connections a listening socket lets wait (Linux: tcpi_sacked of a listener's TCP_INFO)."""

from __future__ import annotations

import socket
import struct


def backlog_of(sock: socket.socket) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    found: int = struct.unpack_from("=I", info, 28)[0]
    return found
