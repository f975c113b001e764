"""Whether a peer has left a connection that nobody reads.

While reading is paused the event loop does not poll the socket, so neither an end of file nor a reset is
heard of; and an end of file would only be read after the bytes before it. The kernel knows all the same.
"""

from __future__ import annotations

import asyncio
import select

# POLLRDHUP (Linux) is there as soon as the peer's FIN is, whatever is unread. Elsewhere only a reset shows.
_GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


def hung_up(transport: asyncio.Transport) -> bool:
    """The peer of a socket transport has closed or reset the connection, or shut down its sending."""
    sock = transport.get_extra_info("socket")
    if sock is None or transport.is_closing():
        return False
    poller = select.poll()
    poller.register(sock.fileno(), _GONE)
    return bool(poller.poll(0))
