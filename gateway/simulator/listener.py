"""A listening socket that can be closed and opened again at the same place: a provider that refuses."""

import asyncio
import socket
import ssl
from collections.abc import Callable

BACKLOG = 4096


class Listener:
    """`where` is an address to bind, or a bound socket, which may be shared with other processes."""

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        where: socket.socket | tuple[str, int],
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._factory = factory
        self._where = where
        self._ssl = ssl_context
        self._server: asyncio.Server | None = None
        self.address = ("", 0)  # once it is open

    async def open(self) -> None:
        """Accept connections. Raises `OSError` where the address is taken."""
        if self._server is not None:
            return
        make = asyncio.get_running_loop().create_server
        where = self._where
        if isinstance(where, socket.socket):
            where.listen(BACKLOG)
            server = await make(self._factory, sock=where.dup(), ssl=self._ssl, backlog=BACKLOG)
        else:
            server = await make(self._factory, *where, ssl=self._ssl, backlog=BACKLOG)
        self._server = server
        name = server.sockets[0].getsockname()
        self.address = (name[0], name[1])
        if not isinstance(where, socket.socket):
            self._where = (where[0], name[1])  # port 0 took a free one, which is kept

    def refuse(self) -> asyncio.Server | None:
        """Refuse connections from now on: for a shared socket in all its processes, as `shutdown` does on
        Linux. What was accepted lives on; the server is returned for waiting until that has ended."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            if isinstance(self._where, socket.socket):
                self._where.shutdown(socket.SHUT_RDWR)
        return server

    def close(self) -> None:
        """Never to be opened again."""
        if isinstance(self._where, socket.socket):
            self._where.close()
