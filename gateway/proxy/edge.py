"""The edge of one worker: all its client connections, their limits, their end.

    connection   one client: phases, keep-alive, backpressure
    framing      bytes → heads and bodies
    heads        what a head must be beyond its grammar
    link         an answer's status line, headers and framing

Time limits are one sweep a second over the connections instead of a timer for each.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from gateway.proxy.base import OpenHandler
from gateway.proxy.beginnings import Beginnings
from gateway.proxy.connection import EdgeConnection
from gateway.proxy.header_lines import HeaderLines
from gateway.settings import Limits, Timeouts


class Edge:
    """All client connections of one worker. `clock` gives monotonic seconds, `random` [0, 1)."""

    def __init__(
        self,
        open_handler: OpenHandler,
        limits: Limits,
        timeouts: Timeouts,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.open_handler = open_handler
        self.limits = limits
        self.lines = HeaderLines()
        self.beginnings = Beginnings()
        self.timeouts = timeouts
        self.clock = clock
        self.random = random
        self.draining = False
        self.connections: set[EdgeConnection] = set()
        self.accepted = 0  # connections so far
        self.requests = 0  # so far; whose head was good
        self.refused = 0  # so far, by the edge itself
        self.exchanges = 0  # now: requests whose answer is not complete

    def protocol_factory(self) -> asyncio.BaseProtocol:
        connection: Any = EdgeConnection(self)
        return cast(asyncio.BaseProtocol, connection)

    @property
    def buffered(self) -> int:
        """Bytes read and not yet used."""
        return sum(connection.buffered for connection in self.connections)

    def sweep(self, now: float) -> None:
        """Enforce the time limits; to be called about once a second."""
        for connection in list(self.connections):
            connection.sweep(now)

    def drain(self) -> None:
        """Every connection ends with the answer it owes; idle ones end now."""
        self.draining = True
        for connection in list(self.connections):
            connection.close_if_idle()

    def close(self) -> None:
        """Cut every connection, as when draining has taken too long."""
        for connection in list(self.connections):
            connection.kill()
